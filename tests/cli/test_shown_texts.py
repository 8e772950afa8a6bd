"""What comes from outside is shown as it is: no table takes it for markup, and none of it reaches a terminal raw."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.table import Table

from honeybadger.cli import status
from honeybadger.cli.console import PlainConsole
from honeybadger.cli.main import main
from honeybadger.cli.submit import _Submission
from honeybadger.cluster.keygen import make_cluster
from honeybadger.network.client_protocol import Refused
from honeybadger.protocols.parameters import Parameters

HOSTS = ["fe80::1", "fd00:a:b:cc::d", "node-2", "10.0.0.1"]


@pytest.mark.parametrize("text", ["[fe80::1]:7100", "[red]x[/red]", "[/x]", "x :a: :smile:", "[link=http://x]y[/link]"])
def test_no_text_is_markup(text: str) -> None:
    console = PlainConsole(file=io.StringIO(), width=100)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.print(table)
    console.print(text)
    assert console.file.getvalue().count(text) == 4  # type: ignore[attr-defined]


def test_nothing_reaches_the_terminal_that_is_more_than_text() -> None:
    console = PlainConsole(file=io.StringIO(), width=100, force_terminal=True)
    console.print("a\x1b[2J\x07\u202eb\nc\tä→")
    assert console.file.getvalue() == "a?[2J??b\nc?ä→\n"  # type: ignore[attr-defined]


def run_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: list[dict[str, Any] | None]) -> int:
    addresses = [(host, 7100, 7101) for host in HOSTS]
    make_cluster(4, 1, Parameters(), addresses)[0].save(tmp_path / "cluster.toml")
    monkeypatch.setattr(status, "_ask", lambda *_: answers)
    monkeypatch.setattr(sys, "argv", ["honeybadger", "status", "--cluster", str(tmp_path / "cluster.toml")])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


GOOD = {
    "height": 5,
    "epoch": 6,
    "peers_connected": 3,
    "mempool": 7,
    "silent_through": 0,
    "faults": [],
    "connections_cut": {},
}


def test_status_shows_every_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = {**GOOD, "faults": [[3, "[/bad\x1b[2J]", 2]], "connections_cut": {"[b]peers": 4}}
    assert run_status(monkeypatch, tmp_path, [GOOD, faulty, GOOD, GOOD]) == 0
    out = capsys.readouterr().out
    for text in ("[fe80::1]:7101", "[fd00:a:b:cc::d]:7101", "node 3: [/bad?[2J] ×2", "connections of [b]peers cut ×4"):
        assert text in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    "lie", [{}, {**GOOD, "height": "many"}, {**GOOD, "faults": [1]}, {**GOOD, "connections_cut": {"peers": "x"}}]
)
def test_status_of_a_node_that_answers_nonsense(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], lie: dict[str, Any]
) -> None:
    assert run_status(monkeypatch, tmp_path, [GOOD, lie, GOOD, None]) == 1
    out = capsys.readouterr().out
    assert out.count("nonsense") == 1 and out.count("no answer") == 1 and out.count("3 of 3") == 2


def test_a_reason_that_a_node_gives_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    replies: list[Refused] = []
    with socket.socket() as idle, os.fdopen(os.open(os.devnull, os.O_RDONLY)) as empty:
        node: Any = SimpleNamespace(
            socket=idle.fileno(),
            send=lambda request: replies.append(Refused(0, "\x1b[2J\n7", [0])),
            receive_now=lambda: replies.pop() if replies else None,
        )
        _Submission(node, 1.0, "node 0").run(empty.fileno(), iter([[b"x"]]))
    assert capsys.readouterr().out == "refused: \\x1b[2J 7\n"
