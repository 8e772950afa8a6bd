"""The commands of docs/experiments.md for many machines, on loopback: a scheduler, two workers, and a sweep."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.nodes.cluster_harness import background_command, wait_until

from bench.measure.results import read_results
from honeybadger.cluster.processes import free_ports

pytestmark = pytest.mark.processes

PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"
EXPERIMENT = """
duration = 0.1
warmup = 0.0
window = 4
batch-size = [8, 12]
repeats = 100
"""


@contextmanager
def dask(words: list[str], home: Path, ready: str, times: int) -> Iterator[subprocess.Popen[bytes]]:
    """`dask …` in a directory of its own, once its log says `ready` so many times; killed in the end, with its
    children."""
    home.mkdir()
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen([sys.executable, "-m", "dask", *words], cwd=home, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: (home / "log").read_text().count(ready) == times)
            yield process
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for one in [process, *family]:
                one.kill()


def test_a_sweep_on_workers_elsewhere_keeps_what_is_done_when_the_scheduler_dies(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(EXPERIMENT)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    typed = re.findall(r"^(?:dask|honeybadger bench run .* --scheduler).*$", PAGE.read_text(), re.M)
    assert len(typed) == 3
    scheduler, worker, sweep = (shlex.split(line.replace("10.0.0.1:8786", address)) for line in typed)
    assert worker[2] == sweep[-1] == f"tcp://{address}"
    scheduler = [*" ".join(scheduler[1:]).replace("10.0.0.1", "127.0.0.1").split(), "--port", address.split(":")[1]]
    sweep[sweep.index("bench/experiments/quick.toml")] = str(tmp_path / "small.toml")
    with (
        dask(scheduler, tmp_path / "first", "Scheduler at", 1) as first,
        dask(worker[1:], tmp_path / "second", "Registered to", 2),
        background_command(*sweep[1:], "--crypto", "ideal", "--out", str(tmp_path / "out")) as process,
    ):
        said = iter(process.stderr.readline, b"")
        assert any(b"tx/s, latency" in line for line in said)
        first.kill()
        rest = [line.decode() for line in said]
        assert process.wait(60) == 1
    assert rest[-1].startswith("error: the Dask scheduler has gone; what is done is kept")
    assert not any("Traceback" in line for line in rest)
    done = read_results(tmp_path / "out")
    assert 1 <= len(done) < 200 and all(result.valid for result in done)
