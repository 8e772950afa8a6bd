"""Fault models and quorum sizes: the only place where arithmetic on N and f is written.

A protocol declares its `FaultModel`, which says how many faults N nodes tolerate and makes the `Quorums` for a choice
of N and f. With Byzantine faults, `ready` and `quorum` are equal only when N = 3f+1 exactly.
Source: Miller et al., "The Honey Badger of BFT Protocols" (CCS 2016), section 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FaultModel:
    """Which faults a protocol tolerates, and how many: at most f nodes are faulty, whichever they are, and
    N >= `nodes_per_fault` f + 1. `kind`: what a faulty node may do, in a word for people.

    A model with weights can be a subclass.
    """

    kind: str
    nodes_per_fault: int

    def largest_faults(self, nodes: int) -> int:
        """The largest f that `nodes` members can tolerate."""
        return max(0, nodes - 1) // self.nodes_per_fault

    def quorums(self, nodes: int, faults: int) -> Quorums:
        """The quorums of N nodes and f faults; ValueError, in one line, if N nodes cannot tolerate that many."""
        if nodes < 1:
            raise ValueError(f"a cluster needs at least one node, not {nodes}")
        most = self.largest_faults(nodes)
        if not 0 <= faults <= most:
            raise ValueError(f"N = {nodes} tolerates at most f = {most} ({self.kind} faults), not {faults}")
        return Quorums(nodes, faults)


#: a faulty node may do anything under its own name
BYZANTINE = FaultModel("Byzantine", 3)
#: a faulty node stops, and says nothing false
CRASH = FaultModel("crash", 2)


@dataclass(frozen=True, slots=True)
class Quorums:
    """Quorum sizes of a group of `nodes` members of which `faults` may be faulty; made by a `FaultModel`."""

    nodes: int
    faults: int

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
