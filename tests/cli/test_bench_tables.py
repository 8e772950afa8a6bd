"""Tables of `honeybadger bench` in terminals of several widths: whole words, whole numbers, and what was left out."""

import re
from pathlib import Path

import pytest
from support.results import experiment_results

from bench.show.report import CRYPTO_TITLE

MORE = "--format markdown shows every figure with its spread"
PARTITION = "0,1|2,3@0-3"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    raw = {"protocol": ["honeybadger", "pbft"], "nodes": [4, 10], "repeats": 3, "partition": ["", PARTITION]}
    experiment_results(tmp_path, [10_000.0 + number for number in range(24)], **raw)
    return tmp_path


@pytest.fixture
def report(run, monkeypatch, results):
    """Its lines in a terminal of so many columns."""

    def report(columns: int, *options: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        status, out, _ = run("bench", "report", results, *options)
        assert status == 0
        return out.splitlines()

    return report


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100, 130, 200, 400])
@pytest.mark.parametrize("options", [(), ("--runs",)])
def test_it_fits_without_breaking_a_word_or_a_number(report, columns, options):
    lines = report(columns, *options)
    shown = [line for line in lines if line and line[0] in "┏┃┡│└"]
    assert all(len(line) <= columns for line in shown)
    cells = [cell.strip() for line in shown for cell in re.split("[┃│]", line) if cell.strip() and line[0] in "┃│"]
    words = "nodes protocol partition repeat seed valid runs offered accepted committed latency epoch CPU sent written "
    words += "at N−f messages/epoch messages agreement rounds coins/epoch proposals/block check decrypt "
    words += f"p50 p99 ms tx/s MB/s µs/tx ms/epoch ± bytes/tx honeybadger pbft – yes of 3 … {PARTITION}"
    for word in " ".join(cells).split():
        assert word in words.split() or re.fullmatch(r"\[?\d{1,3}(,\d{3})*(\.\d+)?\]?", word), word
    assert any(line[:1] == "┏" for line in lines[: [*lines, CRYPTO_TITLE].index(CRYPTO_TITLE)]) != (
        "protocol: pbft" in lines
    )


def test_the_narrower_the_fewer_columns_and_it_says_what_is_missing(report):
    full, wide, usual, tiny = (report(columns) for columns in (400, 130, 80, 30))
    assert "epoch p50 ms" in full[0] + full[1] + full[2] and MORE not in full
    assert any("accepted" in line for line in wide) and any("[10," in line for line in wide) and MORE in wide
    assert not any("accepted" in line or "[" in line for line in usual) and MORE in usual
    assert any("committed" in line for line in usual)
    # Cryptography has a table of its own, where that has room.
    told = [any("decrypt" in line for line in lines) for lines in (full, wide, usual, tiny)]
    assert told == [not any("cryptography too" in line for line in lines) for lines in (full, wide, usual, tiny)]
    assert told[0] and not told[-1]
    # A block says everything.
    assert "committed tx/s: 10,008 [10,000 … 10,016]" in tiny and MORE not in tiny
    assert "sent bytes/tx: 1,234 [1,234 … 1,234]" in tiny


def test_a_pipe_without_columns_is_wide(run, monkeypatch, results):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert max(map(len, run("bench", "report", results)[1].splitlines())) > 100


def test_ratios_are_a_table_or_blocks(run, monkeypatch, results):
    for columns, line in ((200, "│ 3, 3 "), (80, "committed tx/s: ≈ 1.00 [1.00 … 1.00]")):
        monkeypatch.setenv("COLUMNS", str(columns))
        status, out, _ = run("bench", "compare", results, results)
        assert status == 0 and line in re.sub(" +", " ", out)
        assert "code of A: commit abc\n" in out


def test_nothing_is_said_of_invalid_runs_where_there_are_none(report, tmp_path):
    assert report(80)[-1] == "24 runs, all valid"
