"""An in-memory network whose nodes may die and come back.

A crash loses a random part of what is under way of the node's messages, and all that is under way to it. Peers keep
what they sent in epochs beyond the one that a node has announced, and send it again to a new incarnation.
"""

from collections.abc import Callable, Collection

from honeybadger.protocols.wire import Message
from honeybadger.simulation.network import Endpoint, InMemoryNetwork
from honeybadger.simulation.schedulers import Order


class RestartableNetwork(InMemoryNetwork):
    """Keeps what was sent to each node, for its next incarnation.

    `forgetful`: senders that keep nothing (a Byzantine node need not).
    """

    def __init__(self, nodes: int, seed: int, scheduler: Order, forgetful: Collection[int] = ()) -> None:
        super().__init__(nodes, seed, scheduler)
        self._forgetful = frozenset(forgetful)
        self._retained: dict[tuple[int, int], list[Message]] = {}
        self._announced = dict.fromkeys(range(nodes), 0)
        self._down: set[int] = set()

    def transmit(self, sender: int, recipient: int, message: Message) -> None:
        """Put a message on its way, and keep it."""
        if sender not in self._forgetful and message.epoch > self._announced[recipient]:
            self._retained.setdefault((sender, recipient), []).append(message)
        if recipient not in self._down:
            super().transmit(sender, recipient, message)

    def announce(self, node: int, epoch: int) -> None:
        """`node` never again needs messages of epochs up to `epoch`."""
        self._announced[node] = max(self._announced[node], epoch)
        for (_, recipient), messages in self._retained.items():
            if recipient == node:
                messages[:] = [message for message in messages if message.epoch > epoch]

    def crashed(self, node: int, survives: Callable[[], bool]) -> None:
        """What is under way to `node` is lost; of what it has sent, what `survives`; it keeps nothing for others."""
        self._down.add(node)
        self._endpoints.pop(node, None)
        self.lose(lambda sender, recipient, message: recipient == node or (sender == node and not survives()))
        for pair in [pair for pair in self._retained if pair[0] == node]:
            del self._retained[pair]

    def restarted(self, node: int, endpoint: Endpoint) -> None:
        """A new incarnation: everything that is kept for it is sent again."""
        self._down.discard(node)
        self.attach(node, endpoint)
        for (sender, recipient), messages in self._retained.items():
            if recipient == node:
                for message in messages:
                    self._schedule(sender, recipient, message)
