"""The named strategies as `Strategy` objects of the simulation."""

from __future__ import annotations

from collections.abc import Callable

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.corrupt import CorruptProtocol
from honeybadger.protocols.base import Context
from honeybadger.protocols.messages import Message
from honeybadger.simulation.cluster import ByzantineNode, Strategy

#: seconds that pass at each message the node receives
SECONDS_PER_MESSAGE = 0.001


class Simulated(Strategy):
    """Runs a corrupt protocol object on the in-memory network; `make` as in `STRATEGIES`."""

    def __init__(self, make: Callable[[Context], Adversary]) -> None:
        self._make = make
        self._now = 0.0
        self._held: list[tuple[int, Message]] = []
        self.protocol: CorruptProtocol

    def start(self, node: ByzantineNode) -> None:
        """See `Strategy`."""
        self.protocol = CorruptProtocol(node.context, node.specification.build, self._make, lambda: self._now)
        self.protocol.poke()

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        """See `Strategy`. As a real node's links do, this holds back what lies beyond the node's window."""
        self._now += SECONDS_PER_MESSAGE
        self._held.append((sender, message))
        while ready := [item for item in self._held if item[1].epoch <= self.protocol.horizon]:
            self._held = [item for item in self._held if item[1].epoch > self.protocol.horizon]
            for held_sender, held in ready:
                self.protocol.handle(held_sender, held)
        self.protocol.poke()
