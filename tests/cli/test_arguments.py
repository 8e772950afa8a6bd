"""What the commands accept: anything else ends in one `error:` line before anything is done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench.local_run
from honeybadger.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: status, output, errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["honeybadger", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[bench.local_run.LocalSettings]:
    """What `honeybadger local` would run; the run itself is left out."""
    seen: list[bench.local_run.LocalSettings] = []

    class FakeRun:
        def __init__(self, settings: bench.local_run.LocalSettings, show: object) -> None:
            seen.append(settings)

        def run(self) -> dict[str, object]:
            return {"valid": True}

    monkeypatch.setattr(bench.local_run, "LocalRun", FakeRun)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return seen


def refused(result: tuple[int, str, str], says: str) -> None:
    status, out, err = result
    assert status != 0 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
    assert says in err
    assert len(err) < 400


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nodes = [4]", "nodes = [4]"),
        ("nodes = {a = 1}", "nodes"),
        ("nodes = 2020-01-01", "nodes"),
        ("nodes = 4.5", "nodes = 4.5 is not of type integer"),
        ("nodes = true", "nodes = True"),
        ('nodes = "4"', "nodes = 4"),
        ("curve = 3", "curve = 3"),
        ('curve = "yes"', "curve = yes"),
        ('encryption = ["never"]', "encryption"),
        ("durability = 1", "durability = 1"),
        ('durability = "hope"', "durability: 'hope'"),
        ("duration = nan", "duration"),
        ("duration = 0", "duration"),
        ('out = ""', "out"),
        ("as_json = true", "unknown key as_json"),
        ("no-curve = true", "unknown key no-curve"),
        ('config = "x"', "unknown key config"),
        ("tx-size = 20\ntx_size = 20", "twice"),
        ("nodes = ", "not a valid TOML file"),
        ('protocol = "raft"', "raft"),
        (f"nodes = [{'7, ' * 1000}]", "nodes"),
    ],
)
def test_a_wrong_config_is_one_line(run: Run, tmp_path: Path, settings: list[object], line: str, says: str) -> None:
    config = tmp_path / "run.toml"
    config.write_text(line + "\n")
    refused(run("local", "--config", config), says)
    assert not settings


def test_keys_of_a_config_are_the_long_flag_names(
    run: Run, tmp_path: Path, settings: list[bench.local_run.LocalSettings]
) -> None:
    config = tmp_path / "run.toml"
    config.write_text("json = true\nnodes = 7\ntx_size = 20\nrestart-all = true\nduration = 3\ncurve = false\n")
    status, out, _ = run("local", "--config", config, "--tx-size", "30")
    assert (status, out) == (0, '{\n  "valid": true\n}\n')
    (chosen,) = settings
    assert (chosen.nodes, chosen.tx_bytes, chosen.restart, chosen.duration_s) == (7, 30, 7, 3.0)
    assert chosen.runtime.curve is False


def test_the_environment_uses_flag_names_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings: list[bench.local_run.LocalSettings]
) -> None:
    monkeypatch.setenv("HONEYBADGER_JSON", "1")
    monkeypatch.setenv("HONEYBADGER_RESTART_ALL", "1")
    assert run("local")[:2] == (0, '{\n  "valid": true\n}\n')
    assert settings[0].restart == 4


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1"])
@pytest.mark.parametrize("name", ["--rate", "--duration", "--warmup", "--restart-after"])
def test_numbers_are_finite(run: Run, settings: list[object], name: str, value: str) -> None:
    refused(run("local", name, value), name)
    assert not settings


@pytest.mark.parametrize("value", ["nan", "inf", "0"])
@pytest.mark.parametrize("command", [("status",), ("submit", "-")])
def test_timeouts_are_finite(run: Run, command: tuple[str, ...], value: str) -> None:
    refused(run(*command, "--cluster", "x", "--timeout", value), "--timeout")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--batch-size", 0), "batch_size = 0"),
        (("--protocol", "raft"), 'unknown protocol "raft"'),
        (("--max-proposal-bytes", 100), "max_proposal_bytes = 100"),
        (("--max-proposal-bytes", "9" * 3000), "max_proposal_bytes = 999"),
        (("-n", "9" * 30), "too many"),
        (("--seed", "9" * 30), "--seed"),
        (("--out", ""), "--out"),
        (("--protocol", "x" * 5000), "unknown protocol"),
        (("--protocol", "\x1b[31m\nraft"), "[31m raft"),
    ],
)
def test_local_checks_before_it_begins(run: Run, settings: list[object], options: tuple[str, ...], says: str) -> None:
    refused(run("local", *options), says)
    assert not settings


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("local", "--no-such-option"), "--no-such-option"),
        (("local", "--nodes", "many"), "'many'"),
        (("local", "--nodes", "9" * 5000), "99999…"),
        (("local", "--durability", "hope"), "'fsync'"),
        (("submit", "-"), "--cluster"),
        (("nonsense",), "nonsense"),
        (("ledger", "nonsense"), "nonsense"),
        (("ledger", "show", "x", "--height", "9" * 23), "--height"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(run: Run, arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    refused(result, says)
    assert result[0] == 2


def test_no_command_shows_the_overview(run: Run) -> None:
    _, out, err = run()
    assert "Commands:" in out + err


@pytest.mark.parametrize("host", ["", "a b", " ", "h" * 256, "a\nb"])
def test_keygen_refuses_a_host_that_is_none(run: Run, tmp_path: Path, host: str) -> None:
    refused(run("keygen", "--host", host, "--out", tmp_path / "c"), "is not a host name")
    assert not (tmp_path / "c").exists()


def test_keygen_wants_a_name_for_its_directory(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run("keygen", "--out", ""), "--out")
    assert not list(tmp_path.iterdir())
