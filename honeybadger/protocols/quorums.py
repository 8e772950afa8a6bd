"""Quorum sizes: the only place where arithmetic on N and f is written.

N nodes, at most f of them Byzantine, N >= 3f+1. `ready` and `quorum` are equal only when N = 3f+1 exactly.
Source: Miller et al., "The Honey Badger of BFT Protocols" (CCS 2016), section 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quorums:
    """Quorum sizes of a group of `nodes` members of which `faults` may be Byzantine."""

    nodes: int
    faults: int

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise ValueError(f"a cluster needs at least one node, not {self.nodes}")
        if self.faults < 0 or self.nodes < 3 * self.faults + 1:
            raise ValueError(f"N = {self.nodes} tolerates at most f = {(self.nodes - 1) // 3}, not {self.faults}")

    @property
    def weak(self) -> int:
        """f+1: at least one of them is correct."""
        return self.faults + 1

    @property
    def ready(self) -> int:
        """2f+1: at least f+1 of them are correct, so every correct node will hear f+1."""
        return 2 * self.faults + 1

    @property
    def quorum(self) -> int:
        """N-f: as many as one can wait for; two such sets share a correct node."""
        return self.nodes - self.faults

    @property
    def data_shards(self) -> int:
        """N-2f: shards that restore a value; correct ones among any N-f."""
        return self.nodes - 2 * self.faults

    @staticmethod
    def largest_faults(nodes: int) -> int:
        """The largest f that `nodes` members can tolerate."""
        return (nodes - 1) // 3
