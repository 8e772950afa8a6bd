"""A file that this process may not read: the line says whose it is and what to do."""

import os
import pwd
from pathlib import Path

import pytest

from honeybadger.cluster.secret_file import closed

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What nobody may read or enter; root, who may run this, may read everything."""
    paths: list[Path] = []
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) not in paths)
    return paths


def test_ones_own_file_lacks_a_mode(tmp_path: Path, shut: list[Path]) -> None:
    keys = tmp_path / "keys.toml"
    keys.touch(0o600)
    assert closed(keys) == ""
    shut.append(keys)
    keys.chmod(0)
    assert closed(keys) == f"you may not read {keys} (mode 0000): chmod u+rX {keys}"


def test_the_file_of_another_user(tmp_path: Path, shut: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys.toml"
    keys.touch()
    shut.append(keys)
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000_000)
    user = "user 4000000000"
    do = f"run this as {ME}, or chown it to {user}"
    assert closed(keys) == f"{keys} belongs to {ME}, and {user} may not read it: {do}"


def test_the_directory_may_be_what_is_closed(tmp_path: Path, shut: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "node-0"
    home.mkdir(0o700)
    (home / "keys.toml").touch()
    shut.append(home)
    assert closed(home / "keys.toml") == f"you may not read {home} (mode 0700): chmod u+rX {home}"
    assert closed(tmp_path / "missing") == ""


def test_the_command_says_so(tmp_path: Path, shut: list[Path], honeybadger) -> None:  # type: ignore[no-untyped-def]
    keys = tmp_path / "keys.toml"
    keys.touch(0)
    keys.chmod(0)
    shut.append(keys)
    (tmp_path / "cluster.toml").touch()
    told = honeybadger("node", "--cluster", tmp_path / "cluster.toml", "--keys", keys, "--data", tmp_path / "data")
    assert told == (2, "", f"error: --keys: you may not read {keys} (mode 0000): chmod u+rX {keys}\n")
