"""A home directory that cannot be found is one line."""

import asyncio
import io
import sys
from typing import Any

import pytest

from bench.places.hosts.agent import Agent
from bench.places.hosts.inventory import Host
from bench.places.hosts.link import HostError, Link
from honeybadger.cli.main import main


@pytest.fixture(params=["~nosuchuser", "~"])
def home(request, monkeypatch) -> str:
    """Somebody who does not exist, or nobody in particular: no HOME, and no such user."""

    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    return str(request.param)


def test_of_known_hosts(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "m.toml").write_text("nodes = 1\n")
    (tmp_path / "hosts.toml").write_text('hosts = [{ name = "a", ssh = "192.0.2.1" }]\n')
    arguments = ["bench", "run", str(tmp_path / "m.toml"), "--hosts", str(tmp_path / "hosts.toml")]
    monkeypatch.setattr(sys, "argv", ["honeybadger", *arguments, "--known-hosts", f"{home}/known"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert said.startswith(f"error: --known-hosts {home}/known: Could not") and said.count("\n") == 1


def test_of_a_key(home, tmp_path):
    link = Link(Host(name="a", ssh="192.0.2.1", key=f"{home}/key"), tmp_path, 60.0, print, print)
    with pytest.raises(HostError, match=f"the key {home}/key cannot be used: Could not"):
        asyncio.run(link._connect())


def test_of_the_run_directory(home):
    answers: list[dict[str, Any]] = []
    agent = Agent(io.BytesIO(), io.BytesIO())
    agent._say = lambda header, *_: answers.append(header)  # type: ignore[method-assign]
    agent._obey(agent.do_begin, {"id": 7, "directory": f"{home}/runs", "silence_s": 1.0, "keep": False})
    assert answers[0]["error"].startswith("Could not determine home directory")
