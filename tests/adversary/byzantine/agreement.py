"""Attacks on binary agreement and the common coin."""

import random
from collections.abc import Sequence
from dataclasses import replace

from byzantine.puppet import Puppet
from honeybadger.adversary.agreement import IDENTITY, NON_SUBGROUP, some_point
from honeybadger.protocols.common_coin import coin_identity
from honeybadger.protocols.messages import Aux, BVal, CoinShare, Conf, Message, Term


class Contradictor(Puppet):
    """Scenario 10: after each AUX, CONF and TERM also all others; both BVALs. `split`: one value to each half."""

    def __init__(self, split: bool = False) -> None:
        self._split = split

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        match message:
            case BVal() | Aux() | Term():
                both = [message, type(message)(*self._fields(message), not message.value)]
            case Conf(values=values):
                both = [message, *(Conf(*self._fields(message), v) for v in (1, 2, 3) if v != values)]
            case _:
                return [message]
        return [both[recipient % 2]] if self._split else both

    @staticmethod
    def _fields(message: Message) -> tuple[int, ...]:
        return tuple(getattr(message, name) for name in message.__struct_fields__[:-1])


class TermSpam(Puppet):
    """Scenario 14: TERM in every instance it hears of, before anything else; `value` None: both, by recipient."""

    def __init__(self, value: bool | None) -> None:
        self._value = value

    def start(self, node) -> None:
        self._seen: set[int] = set()
        super().start(node)

    def witness(self, sender: int, message: Message) -> None:
        if message.epoch not in self._seen and message.epoch <= self.honest.horizon:
            self._seen.add(message.epoch)
            for proposer in range(self.quorums.nodes):
                for node in range(self.quorums.nodes):
                    value = bool(node % 2) if self._value is None else self._value
                    self.node.outbox.send(node, Term(message.epoch, proposer, value))

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        return [] if isinstance(message, Term) else [message]


class NoVoter(Puppet):
    """Votes 0 on everything, and claims all sets."""

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        match message:
            case BVal() | Aux():
                return [type(message)(message.epoch, message.proposer, message.round, False)]
            case Conf():
                return [Conf(message.epoch, message.proposer, message.round, 3)]
            case Term():
                return []
        return [message]


class FarVoter(Puppet):
    """Scenario 16: with each vote of its own also votes of rounds and epochs far ahead."""

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, Aux):
            return [message]
        epoch, proposer, number = message.epoch, message.proposer, message.round
        return [
            message,
            *(BVal(epoch, proposer, number + k, bool(k & 1)) for k in (1, 7, 120, 121, 10**6)),
            *(Aux(epoch, proposer, number + k, bool(k & 1)) for k in (2, 200, 10**6)),
            *(Conf(epoch, proposer, number + k, 3) for k in (3, 400, 10**6)),
            BVal(epoch + 10**6, proposer, 0, True),
            Term(epoch + 10**6, proposer, True),
        ]


def bad_share(kind: str, strategy: Puppet, message: CoinShare, seen: list[bytes]) -> bytes:
    """A share that is not this node's share of this coin."""
    secret = strategy.node.context.secret_keys.coin
    chain_id = strategy.node.context.chain_id
    match kind:
        case "random point":
            return some_point(2 + message.round)
        case "other round":
            return secret.sign_share(coin_identity(chain_id, message.epoch, message.proposer, message.round + 1))
        case "other instance":
            other = (message.proposer + 1) % strategy.quorums.nodes
            return secret.sign_share(coin_identity(chain_id, message.epoch, other, message.round))
        case "other epoch":
            return secret.sign_share(coin_identity(chain_id, message.epoch + 1, message.proposer, message.round))
        case "other chain":
            return secret.sign_share(coin_identity(bytes(32), message.epoch, message.proposer, message.round))
        case "other node":
            return seen[-1] if seen else IDENTITY
        case "identity":
            return IDENTITY
        case "non-subgroup":
            return NON_SUBGROUP
        case "junk":
            return random.Random(message.round).randbytes(48)
    raise ValueError(kind)


COIN_SHARE_KINDS = (
    "random point",
    "other round",
    "other instance",
    "other epoch",
    "other chain",
    "other node",
    "identity",
    "non-subgroup",
    "junk",
)


class BadCoinShares(Puppet):
    """Scenarios 8 and 41: sends bad coin shares, as early as it can."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._others: list[bytes] = []
        self._sent: set[tuple[int, int, int]] = set()

    def witness(self, sender: int, message: Message) -> None:
        if isinstance(message, CoinShare) and sender != self.me:
            self._others.append(message.share)
            self._spoil(message)
        elif isinstance(message, Conf) and self._kind != "other node":
            self._spoil(CoinShare(message.epoch, message.proposer, message.round, bytes(48)))

    def _spoil(self, message: CoinShare) -> None:
        key = (message.epoch, message.proposer, message.round)
        if key not in self._sent:
            self._sent.add(key)
            share = bad_share(self._kind, self, message, self._others)
            self.send_all(CoinShare(*key, share))

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        return [] if isinstance(message, CoinShare) else [message]


class OtherChain(Puppet):
    """Scenario 17: a node of another chain with the same keys: its coins and ciphertexts are bound elsewhere."""

    def make_honest(self):
        self.node.context = replace(self.node.context, chain_id=b"another chain".ljust(32, b"."))
        return super().make_honest()
