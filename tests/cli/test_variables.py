"""Mistyped environment variables are pointed out by every command, which then goes on."""

import pytest

MISTYPED = "attention: no option reads HONEYBADGER_BACH_SIZE; did you mean HONEYBADGER_BATCH_SIZE?"
COMMANDS = [("keygen",), ("local", "--rate", "0"), ("bench", "run", "nowhere.toml"), ("ledger", "show", "nowhere")]
COMMANDS += [("submit", "-"), ("status",), ("node",), ("cluster", "load"), ("bench", "report", "nowhere")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_by_every_command(arguments, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HONEYBADGER_BACH_SIZE", "100")
    first, *rest = run(*arguments)[2].splitlines()
    assert first == MISTYPED
    assert [line[:7] for line in rest] == ["error: "], "the command goes on, to what is wrong with its arguments"


def test_one_line_for_each_and_none_for_those_of_other_commands(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HONEYBADGER_RATE", "5")  # of `local`
    monkeypatch.setenv("HONEYBADGER_NODES", "4")
    assert run("keygen", "--out", tmp_path / "c")[2] == ""
    monkeypatch.setenv("HONEYBADGER_X\x1b[31m", "")
    monkeypatch.setenv("HONEYBADGER_NODS", "7")
    assert run("keygen", "--out", tmp_path / "d")[2].splitlines() == [
        "attention: no option reads HONEYBADGER_NODS; did you mean HONEYBADGER_NODES?",
        "attention: no option reads HONEYBADGER_X?[31m",
    ]
