"""What a run needs from the place where its nodes live."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from honeybadger.cluster.manifest import Manifest


class Address(NamedTuple):
    """Host and ports of a node: for peers and for clients."""

    host: str
    port: int
    client_port: int


class RunningNode(Protocol):
    """One node. The docstrings of `NodeProcess`, a node on this machine, explain its members.

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
        """Whether it was killed on purpose, or is out of reach for good: then it need not have everything."""

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


class Place:
    """Where nodes are started, for one run after the other."""

    #: whether nodes read the same monotonic clock as the load generator
    shares_clock = True

    def addresses(self, nodes: int, base_port: int | None) -> list[Address]:
        """The address of each node; ClusterError if a port is in use."""
        raise NotImplementedError

    def distribute(self, directory: Path, manifest: Manifest) -> None:
        """Bring manifest and key files from `directory` to the nodes."""

    def start(self, directory: Path, extras: Sequence[tuple[str, ...]]) -> Sequence[RunningNode]:
        """Start all nodes; `extras`: further arguments for each."""
        raise NotImplementedError

    def lost(self) -> Mapping[int, str]:
        """Nodes of this run that are out of reach for good, and why."""
        return {}

    def collect(self) -> None:
        """After the nodes have ended, bring their files to `RunningNode.data`, `events` and `log`."""

    def clean_up(self) -> None:
        """After a run, even a failed one: remove what is left of its nodes. A second call does nothing."""

    def facts(self) -> dict[str, Any]:
        """Keys of the summary for this place; they replace keys of the same name."""
        raise NotImplementedError
