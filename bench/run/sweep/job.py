"""What goes to a worker and comes back: plain bytes, so that no file system need be shared.

A worker with other code could not do the same run, so each job names the code that it is for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

import bench
import crypto
import honeybadger
from bench.plan.simulation_settings import SimulationSettings
from honeybadger.cluster.errors import ClusterError
from honeybadger.simulation.virtual_time.table import CostTable

#: of all files of a run together
MOST_BYTES = 1 << 28
_NAME = r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*"


class UnfitWorker(ClusterError):
    """A worker cannot do what was planned elsewhere."""


class Job(msgspec.Struct, frozen=True):
    """One run. `options`: those of its settings; `table`: the costs, whatever file `how` names; `keep`: its raw files
    too."""

    options: dict[str, Any]
    repeat: int
    how: SimulationSettings
    table: CostTable
    keep: bool

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self, enc_hook=str)

    @staticmethod
    def decode(data: bytes) -> Job:
        return msgspec.msgpack.decode(data, type=Job, dec_hook=lambda kind, value: kind(value))


class Answer(msgspec.Struct, frozen=True):
    """The files of a run, by their path in its directory; none, and a line about it, if they were too large."""

    files: dict[str, bytes] = {}
    problem: str = ""

    @staticmethod
    def packed(directory: Path) -> bytes:
        paths = sorted(path for path in directory.rglob("*") if path.is_file())
        total = sum(path.stat().st_size for path in paths)
        if total > MOST_BYTES:
            what = f"its files take {total / 1e6:,.0f} MB, more than the {MOST_BYTES / 1e6:,.0f} MB that a worker sends"
            return msgspec.msgpack.encode(Answer(problem=what))
        return msgspec.msgpack.encode(Answer({str(path.relative_to(directory)): path.read_bytes() for path in paths}))

    @staticmethod
    def decode(data: object) -> Answer:
        """ClusterError for anything else than an answer whose files stay in the directory of their run."""
        try:
            answer = msgspec.msgpack.decode(data if isinstance(data, bytes) else b"", type=Answer)
        except (msgspec.DecodeError, RecursionError):
            raise ClusterError("a worker sent something else than the files of a run") from None
        for name in answer.files:
            if not re.fullmatch(_NAME, name, re.ASCII):
                raise ClusterError(f"a worker sent a file named {name!r:.80}")
        return answer

    def write(self, directory: Path) -> None:
        for name, data in self.files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(data)


@cache
def this_code() -> str:
    """Version and digest of this project's code: the same on machines where the same run gives the same bytes."""
    digest = digest_of(Path(package.__path__[0]) for package in (bench, crypto, honeybadger))
    return f"{version('honeybadger')}, code {digest}"


def digest_of(packages: Iterable[Path]) -> str:
    """Of the names and the contents of all Python files in these directories: 12 hexadecimal digits."""
    found = hashlib.sha256()
    for home in packages:
        for path in sorted(home.rglob("*.py")):
            of_file = hashlib.sha256(path.read_bytes()).hexdigest()
            found.update(f"{path.relative_to(home.parent).as_posix()} {of_file}\n".encode())
    return found.hexdigest()[:12]
