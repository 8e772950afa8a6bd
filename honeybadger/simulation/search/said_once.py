"""Nothing that a node of Honey Badger may say once is said twice, by any of its incarnations."""

from collections.abc import Collection

from honeybadger.protocols.honey_badger.messages import (
    Aux,
    Aux2,
    CoinShare,
    Conf,
    DecryptionShares,
    Echo,
    EchoHash,
    Ready,
    Term,
    Val,
    Want,
)
from honeybadger.protocols.wire import Message
from honeybadger.simulation.network import InMemoryNetwork

#: sender, kind, epoch, proposer, round
Slot = tuple[int, str, int, int, int]


class SaidTwice(AssertionError):
    """A node sent two different values where one is allowed."""


#: The field that must never differ. BVALs may differ; so may the shard of VAL, by recipient, and the root binds ECHO's.
ONCE: dict[type[Message], str] = {
    **dict.fromkeys((Val, Echo, EchoHash, Ready, Want), "root"),
    **dict.fromkeys((Aux, Term), "value"),
    **dict.fromkeys((Conf, Aux2), "values"),
    CoinShare: "share",
    DecryptionShares: "shares",
}


class OneShotMonitor:
    """Sits in front of `network.transmit` and raises SaidTwice; it outlives the nodes' incarnations.

    `exempt`: nodes that may lie.
    """

    def __init__(self, network: InMemoryNetwork, exempt: Collection[int] = ()) -> None:
        self._exempt = frozenset(exempt)
        self._transmit = network.transmit
        self.said: dict[Slot, object] = {}
        network.transmit = self.transmit  # type: ignore[method-assign]

    def transmit(self, sender: int, recipient: int, message: Message) -> None:
        once = ONCE.get(type(message))
        if once and sender not in self._exempt:
            value = getattr(message, once)
            proposer, number = getattr(message, "proposer", -1), getattr(message, "round", 0)
            # ECHO and ECHO_HASH are one vote.
            kind = "Vote" if isinstance(message, Echo | EchoHash) else type(message).__name__
            slot = (sender, kind, message.epoch, proposer, number)
            first = self.said.setdefault(slot, value)
            if first != value:
                raise SaidTwice(f"node {sender} said {first!r} and {value!r} as {slot[1:]}")
        self._transmit(sender, recipient, message)
