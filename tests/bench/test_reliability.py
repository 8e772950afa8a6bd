"""The table of `docs/reliability.md`: rows not tried again stay, and a page without the markers is refused."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bench.studies import reliability


def fill(monkeypatch: pytest.MonkeyPatch, page: Path, throughput: int, *options: str, valid: bool = True) -> int:
    summary: dict[str, Any] = {"valid": valid, "reason": "it went wrong", "throughput_tx_per_s": throughput}
    monkeypatch.setattr(reliability, "run", lambda trial: summary)
    monkeypatch.setattr(sys, "argv", ["reliability", str(page), *options])
    return reliability.main()


def test_only_replaces_just_the_rows_it_names(tmp_path, monkeypatch):
    monkeypatch.setattr(reliability, "TRIALS", [reliability.Trial("none", "-n 4"), reliability.Trial("a kill", "-n 7")])
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{reliability.BEGIN}\n{reliability.END}\nafter\n", encoding="utf-8")
    assert fill(monkeypatch, page, 1111) == 0
    assert fill(monkeypatch, page, 2222, "--only", "kill", valid=False) == 1
    text = page.read_text(encoding="utf-8")
    assert "| none | `-n 4` | valid | valid; 1,111 tx/s |" in text
    assert "| a kill | `-n 7` | valid | **NOT AS EXPECTED** “it went wrong”; 2,222 tx/s |" in text
    assert text.count("1,111") == text.count("2,222") == 1
    assert text.startswith("before\n") and text.endswith("after\n")


@pytest.mark.parametrize("content", [None, "a page without markers", reliability.BEGIN])
def test_a_page_that_cannot_take_the_table_is_refused(tmp_path, monkeypatch, capsys, content):
    page = tmp_path / "page.md"
    if content is not None:
        page.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit) as refused:
        fill(monkeypatch, page, 1)
    assert refused.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("python -m bench.studies.reliability: error: ")


def test_the_story_tells_who_waited_in_vain() -> None:
    left_out = "node 3's proposals are in only 2 of 85 blocks, so its clients wait"
    told = reliability.story(
        {"valid": True, "reason": "", "offered_tx": 2000, "offered_unanswered_tx": 7, "warnings": [left_out]}
    )
    assert list(told) == ["valid", "7 of 2,000 offered transactions never answered", left_out]
