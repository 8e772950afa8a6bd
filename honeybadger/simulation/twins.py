"""A faulty node as twins: two correct protocol objects with one identity and the same keys.

Each twin talks to a part of the nodes, newly drawn for every epoch; parts may overlap. To the others it is a node that
says two things, each of them well-formed: most equivocations that a correct implementation could be led into.

Source: Bano, Sonnino, Chursin, Perelman, Li, Ching, Malkhi: "Twins: BFT Systems Made Robust" (OPODIS 2021).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from honeybadger.adversary.outbox import FilteredOutbox
from honeybadger.protocols.base import ConsensusProtocol
from honeybadger.protocols.messages import Message
from honeybadger.simulation.cluster import ByzantineNode, Strategy

#: how likely a node is in contact with both twins in an epoch
BOTH = 0.15


class Twins(Strategy):
    """See the module. `seed` draws the parts; `own_transactions` are what the twins propose, one each."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._parts: dict[int, tuple[frozenset[int], frozenset[int]]] = {}
        self.twins: list[ConsensusProtocol] = []
        self._held: list[list[tuple[int, Message]]] = [[], []]
        self.own_transactions: list[bytes] = []

    def start(self, node: ByzantineNode) -> None:
        """See `Strategy`."""
        self._me = node.me
        self._nodes = node.context.quorums.nodes
        self.own_transactions = [b"of twin %d of node %d" % (twin, node.me) for twin in (0, 1)]
        submit = getattr(node.context.application, "submit", None)
        if submit is not None:
            submit(self.own_transactions)
        self.twins = [node.honest(FilteredOutbox(node.outbox, self._nodes, self._way_out(twin))) for twin in (0, 1)]
        for twin in self.twins:
            twin.poke()

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        """A message reaches the twins that its sender is in contact with; one's own reach both."""
        for number in (0, 1):
            if sender == self._me or sender in self._part(message.epoch)[number]:
                self._held[number].append((sender, message))
                self._deliver(number)

    def _deliver(self, number: int) -> None:
        """Links hold back what lies beyond the horizon."""
        twin = self.twins[number]
        while True:
            ready = [item for item in self._held[number] if item[1].epoch <= twin.horizon]
            if not ready:
                return
            self._held[number] = [item for item in self._held[number] if item[1].epoch > twin.horizon]
            for sender, message in ready:
                twin.handle(sender, message)

    def _way_out(self, number: int) -> _WayOut:
        return _WayOut(self, number)

    def _part(self, epoch: int) -> tuple[frozenset[int], frozenset[int]]:
        """The nodes in contact with each twin in this epoch."""
        parts = self._parts.get(epoch)
        if parts is None:
            rng = random.Random(f"twins {self._seed} {epoch}")
            sides: tuple[set[int], set[int]] = (set(), set())
            for other in range(self._nodes):
                side = rng.randrange(2)
                sides[side].add(other)
                if rng.random() < BOTH:
                    sides[1 - side].add(other)
            parts = self._parts[epoch] = (frozenset(sides[0]), frozenset(sides[1]))
        return parts


class _WayOut:
    """What one twin may send to whom."""

    def __init__(self, twins: Twins, number: int) -> None:
        self._twins = twins
        self._number = number

    def __call__(self, recipient: int, message: Message) -> Sequence[Message]:
        twins = self._twins
        if recipient == twins._me or recipient in twins._part(message.epoch)[self._number]:
            return [message]
        return []
