"""examples/results.ipynb runs from top to bottom in an empty directory, and keeps no outputs and no machine's paths."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.results import made_up, write

from bench.plan.experiment import Experiment

nbclient = pytest.importorskip("nbclient", reason="no nbclient: make .venv/.installed-test")
nbformat = pytest.importorskip("nbformat", reason="no nbformat: make .venv/.installed-test")
pytest.importorskip("ipykernel", reason="no ipykernel: make .venv/.installed-test")

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "results.ipynb"


def text(cell: Any) -> str:
    """What a cell printed and showed."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(parts)


@pytest.mark.processes
def test_it_runs_and_shows_what_it_says(tmp_path: Path) -> None:
    for path in (NOTEBOOK, EXAMPLES / "results.toml"):
        shutil.copy(path, tmp_path)
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, 4)
    client = nbclient.NotebookClient(
        notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        make, load, group, draw, epochs, compare = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert "9 runs in runs/results-virtual-time, all valid" in text(make)
        assert text(load).count("virtual time") == 9
        assert "'throughput_tx_per_s': 'tx/s'" in text(group)
        rates = [line.split()[0] for line in text(group).splitlines()[-3:]]
        assert rates == ["2000.0", "4000.0", "6000.0"]
        assert any("image/png" in output.get("data", {}) for output in draw.outputs)
        assert "broadcast_s" in text(epochs) and "NaN" not in text(epochs)
        assert text(compare).startswith("runs/results is not there")
        for run in Experiment.load(EXAMPLES / "results.toml").runs:
            write(tmp_path / "runs" / "results", run, made_up(run, rate=run.settings.rate))
        client.execute_cell(compare, len(notebook.cells) - 1)
        assert "processes" in text(compare) and "virtual time" in text(compare)


def test_nothing_of_a_machine_is_kept_in_it() -> None:
    raw = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in raw["cells"] if cell["cell_type"] == "code"]
    assert 6 <= len(raw["cells"]) <= 10 and len(code) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert raw["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
