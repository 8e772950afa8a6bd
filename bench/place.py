"""Where the nodes of a run live: what a run needs of this machine, of other hosts, or of anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from honeybadger.cluster.manifest import Manifest


class Address(NamedTuple):
    """Where a node is reached: by peers, by clients, and by a browser on its own machine (0: not at all)."""

    host: str
    port: int
    client_port: int
    http_port: int = 0


class RunningNode(Protocol):
    """One node. `NodeProcess` is one on this machine; its docstrings say what each of these does.

    `data`, `events` and `log` are paths on this machine, wherever the node is; `data` is complete after
    `Place.collect`, and the times in `events` are of this machine's monotonic clock.
    """

    index: int
    restarts: int
    data: Path
    log: Path

    @property
    def events(self) -> Path: ...

    @property
    def killed(self) -> bool:
        """Whether it was killed on purpose, or is out of reach for good: it is not asked to have everything."""
        ...

    @property
    def exit_status(self) -> int | None: ...

    @property
    def last_words(self) -> str: ...

    @property
    def traceback(self) -> str: ...

    def restart(self, *extra: str) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def wait(self, timeout_s: float) -> int | None: ...


class Place(Protocol):
    """Where the nodes of one run after the other are started.

    `shares_clock`: whether nodes read the same monotonic clock as the load generator.
    """

    @property
    def shares_clock(self) -> bool: ...

    def addresses(self, nodes: int, base_port: int | None) -> list[Address]:
        """Of each node; ClusterError if a port is in use."""
        ...

    def distribute(self, directory: Path, manifest: Manifest) -> None:
        """Bring manifest and key files, which are in `directory`, to where the nodes are."""
        ...

    def start(self, directory: Path, extras: Sequence[tuple[str, ...]]) -> Sequence[RunningNode]:
        """Start all nodes, each with further arguments of its own."""
        ...

    def lost(self) -> Mapping[int, str]:
        """Nodes of this run that are out of reach for good, and why."""
        ...

    def collect(self) -> None:
        """Bring what the nodes left, which have ended, to `RunningNode.data`, `events` and `log`."""
        ...

    def clean_up(self) -> None:
        """After a run, whatever became of it: remove what is left of its nodes. A second time does nothing."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the summary says of this place; replaces keys of the same name."""
        ...
