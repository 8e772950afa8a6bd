"""The Python in docs/search.md plants a bug and finds it; the page shows what it prints."""

import re
from pathlib import Path

import pytest

from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_planted_bug_is_found_as_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = re.search(r"^```python\n(.*?)^```\n\n```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    # To be put back after the test.
    monkeypatch.setitem(BROADCASTS, "hash-echo", BROADCASTS["hash-echo"])
    exec(compile(found[1], "search.md", "exec"), {})
    assert capsys.readouterr().out == found[2]
