"""The named strategies as `Strategy` objects of the simulation."""

from collections.abc import Callable
from typing import Any

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.corrupt import CorruptProtocol
from honeybadger.protocols.context import Context
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import ByzantineNode, HoldsBack, Strategy

#: seconds that pass at each message the node receives
SECONDS_PER_MESSAGE = 0.001


class Simulated(Strategy):
    """Runs a corrupt protocol object on the in-memory network; `make` as in `STRATEGIES`."""

    def __init__(self, make: Callable[[Context], Adversary]) -> None:
        self._make = make
        self._now = 0.0

    def start(self, node: ByzantineNode) -> None:
        self.protocol: Any = CorruptProtocol(node.context, node.specification.build, self._make, lambda: self._now)
        node.driven.append(self.protocol)
        self._link = HoldsBack(self.protocol)
        self.protocol.poke()

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        self._now += SECONDS_PER_MESSAGE
        self._link.receive(sender, message)
        self.protocol.poke()
