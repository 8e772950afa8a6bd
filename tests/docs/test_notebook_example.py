"""The Python in docs/experiments.md runs as it stands on the results of an experiment, and prints the right figures."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.results import experiment_results

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
PLAIN, WITH_PANDAS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [1000.0, 4000, 1200, 0]
    experiment_results(tmp_path / "runs" / "quick", rates, **{"batch-size": [200, 1000], "repeats": 2})
    monkeypatch.chdir(tmp_path)


def test_the_plain_example(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PLAIN, "experiments.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "B = 200: 1,100 tx/s, median of 2 runs",
        "B = 1000: 4,000 tx/s, median of 1 runs",
        "second by second: [990, 990, 990, 990, 990, 990]",
        "measured on: abacus",
    ]


def test_the_example_with_pandas() -> None:
    pytest.importorskip("pandas", reason="no pandas: make .venv/.installed-test")
    names: dict[str, Any] = {}
    exec(compile(PLAIN + WITH_PANDAS, "experiments.md", "exec"), names)
    figures = names["rates"].agg(["count", "median"])
    assert figures.to_dict("index") == {200: {"count": 2, "median": 1100.0}, 1000: {"count": 1, "median": 4000.0}}
