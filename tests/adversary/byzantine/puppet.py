"""The base of most attacks: an honest protocol object whose messages are changed on their way out."""

from collections.abc import Sequence

from honeybadger.protocols.messages import Message
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import ByzantineNode, FilteredOutbox, Strategy


class Silent(Strategy):
    """Says nothing, ever."""


class Puppet(Strategy):
    """Drives an honest object; subclasses override `change` (outgoing) and `witness` (incoming)."""

    node: ByzantineNode
    me: int
    quorums: Quorums
    #: whether it brings a transaction of its own (it is never done proposing if that cannot be committed)
    has_transaction = True

    def start(self, node: ByzantineNode) -> None:
        self.node, self.me, self.quorums = node, node.me, node.context.quorums
        self.own_transactions = [b"from byzantine node %d" % node.me]
        self._held: list[tuple[int, Message]] = []
        if self.has_transaction:
            node.context.application.submit(self.own_transactions)  # type: ignore[attr-defined]
        self.honest = self.make_honest()
        self.honest.poke()

    def make_honest(self):
        outbox = FilteredOutbox(self.node.outbox, self.quorums.nodes, self.change)  # type: ignore[arg-type]
        return self.node.honest(outbox)

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        """What goes to `recipient` in place of the honest object's `message`."""
        return [message]

    def witness(self, sender: int, message: Message) -> None:
        """A message arrived; called before the honest object sees it."""

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        self.witness(sender, message)
        self._held.append((sender, message))
        # The links of a real node hold back what lies beyond its horizon.
        while True:
            ready = [item for item in self._held if item[1].epoch <= self.honest.horizon]
            if not ready:
                break
            self._held = [item for item in self._held if item[1].epoch > self.honest.horizon]
            for held_sender, held in ready:
                self.honest.handle(held_sender, held)

    def send_all(self, message: Message) -> None:
        """To every node, unchanged."""
        self.node.outbox.broadcast(message)


class Sleeper(Puppet):
    """An honest node that is away until `wake`; nothing sent to it is lost."""

    def start(self, node: ByzantineNode) -> None:
        self.awake = False
        self.mail: list[tuple[int, Message]] = []
        super().start(node)

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if self.awake:
            return [message]
        self.unsent = [*getattr(self, "unsent", []), (recipient, message)]
        return []

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        if self.awake:
            super().receive(node, sender, message)
        else:
            self.mail.append((sender, message))

    def wake(self) -> None:
        self.awake = True
        for recipient, message in getattr(self, "unsent", []):
            self.node.outbox.send(recipient, message)
        for sender, message in self.mail:
            super().receive(self.node, sender, message)
