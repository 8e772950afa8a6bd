"""The Python in docs/experiments.md runs as it stands on the results of an experiment, and prints the right figures."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.results import experiment_results

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_with_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="no pandas: make .venv/.installed-test")
    rates = [1000.0, 4000, 1200, 0]
    experiment_results(tmp_path / "runs" / "quick", rates, **{"batch-size": [200, 1000], "repeats": 2})
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(EXAMPLE, "experiments.md", "exec"), names)
    *table, seconds = capsys.readouterr().out.splitlines()
    assert [line.split() for line in table[-2:]] == [
        ["200", "2", "1100.0", "1000.0", "1200.0"],
        ["1000", "1", "4000.0", "4000.0", "4000.0"],
    ]
    assert seconds == "second by second: [990, 990, 990, 990, 990, 990]"
