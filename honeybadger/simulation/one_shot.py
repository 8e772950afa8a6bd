"""Watches the wire: a correct node says nothing twice that may be said once, whatever incarnation of it speaks."""

from __future__ import annotations

from collections.abc import Collection

from honeybadger.protocols.messages import (
    Aux,
    CoinShare,
    Conf,
    DecryptionShares,
    Echo,
    Message,
    Ready,
    Term,
    Val,
)
from honeybadger.simulation.network import InMemoryNetwork

#: sender, kind, epoch, proposer, round
Slot = tuple[int, str, int, int, int]


class SaidTwice(AssertionError):
    """A node sent two different values where one is allowed."""


def one_shot_value(message: Message) -> object:
    """What must never differ: the root, the bit, the set or the share; None for messages that may differ (BVAL).

    Not the shard of VAL, which differs by recipient, and not that of ECHO, which the root binds.
    """
    match message:
        case Val() | Echo() | Ready():
            return message.root
        case Aux() | Term():
            return message.value
        case Conf():
            return message.values
        case CoinShare():
            return message.share
        case DecryptionShares():
            return tuple(message.shares)
    return None


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
        """Check, then pass on."""
        value = one_shot_value(message)
        if value is not None and sender not in self._exempt:
            proposer, number = getattr(message, "proposer", -1), getattr(message, "round", 0)
            slot = (sender, type(message).__name__, message.epoch, proposer, number)
            first = self.said.setdefault(slot, value)
            if first != value:
                raise SaidTwice(f"node {sender} said {first!r} and {value!r} as {slot[1:]}")
        self._transmit(sender, recipient, message)
