"""A faulty node as twins: two correct protocol objects with one identity and the same keys.

Each twin talks to a part of the nodes, newly drawn for every epoch; parts may overlap. To the others it is a node that
says two things, each of them well-formed: most equivocations that a correct implementation could be led into.

Source: Bano, Sonnino, Chursin, Perelman, Li, Ching, Malkhi: "Twins: BFT Systems Made Robust" (OPODIS 2021).
"""

import random
from collections.abc import Sequence
from functools import partial

from honeybadger.adversary.outbox import FilteredOutbox
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import ByzantineNode, HoldsBack, Strategy

#: how likely a node is in contact with both twins in an epoch
BOTH = 0.15


class Twins(Strategy):
    """`seed` draws the parts; `own_transactions` are what the twins propose, one each."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._parts: dict[int, tuple[set[int], set[int]]] = {}

    def start(self, node: ByzantineNode) -> None:
        self._me = node.me
        self._nodes = node.context.quorums.nodes
        self.own_transactions = [b"of twin %d of node %d" % (twin, node.me) for twin in (0, 1)]
        node.submit(self.own_transactions)
        ways = [partial(self._sent, twin) for twin in (0, 1)]
        twins = [node.honest(FilteredOutbox(node.outbox, self._nodes, way)) for way in ways]
        self._links = [HoldsBack(twin) for twin in twins]
        for twin in twins:
            twin.poke()

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        """A message reaches the twins that its sender is in contact with."""
        for number, link in enumerate(self._links):
            if self._in_contact(number, sender, message.epoch):
                link.receive(sender, message)

    def _sent(self, number: int, recipient: int, message: Message) -> Sequence[Message]:
        return [message] if self._in_contact(number, recipient, message.epoch) else []

    def _in_contact(self, number: int, node: int, epoch: int) -> bool:
        """Whether a twin and a node hear each other in this epoch; both twins hear what either says to itself."""
        if epoch not in self._parts:
            rng = random.Random(f"twins {self._seed} {epoch}")
            sides: tuple[set[int], set[int]] = (set(), set())
            for other in range(self._nodes):
                side = rng.randrange(2)
                sides[side].add(other)
                if rng.random() < BOTH:
                    sides[1 - side].add(other)
            self._parts[epoch] = sides
        return node == self._me or node in self._parts[epoch][number]
