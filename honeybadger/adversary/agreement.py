"""Attacks on binary agreement and the common coin."""

from __future__ import annotations

from collections.abc import Sequence

from crypto.bls12_381 import BLS12_381
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Recent
from honeybadger.protocols.base import Context
from honeybadger.protocols.common_coin import coin_identity
from honeybadger.protocols.messages import Aux, BVal, CoinShare, Conf, Message, Term

#: the point at infinity
IDENTITY = bytes([0xC0]) + bytes(47)
#: x = 4, y with the larger sign: on the curve, outside the subgroup of prime order
NON_SUBGROUP = bytes([0xA0]) + bytes(46) + b"\x04"


def some_point(scalar: int) -> bytes:
    """A valid element of G1 that is nobody's share."""
    group = BLS12_381.g1
    return group.encode(group.multiply(group.generator, scalar))


class EquivocateVotes(Adversary):
    """Different BVAL, AUX, CONF and TERM to different nodes; in every second instance, both to each node.

    With both, the contradiction follows at once (two AUX, three CONF, two TERM to one node). Otherwise a node's
    votes depend on its index only, and TERM goes out with the first AUX, long before anything is decided.

    Correct nodes must count the first AUX, CONF and TERM of a sender and agree. EQUIVOCATION for the second ones; both
    BVALs are legal, and votes that differ between recipients cannot be proven.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._terminated: Recent[tuple[int, int, int], bool] = Recent(32 * context.quorums.nodes**2)

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        if not isinstance(message, BVal | Aux | Conf | Term):
            return [message]
        epoch, proposer = message.epoch, message.proposer
        if (epoch + proposer) % 2:
            return self._both(message)
        value = bool(recipient % 2)
        match message:
            case BVal() | Aux():
                votes: list[Message] = [type(message)(epoch, proposer, message.round, value)]
                key = (epoch, proposer, recipient)
                if isinstance(message, Aux) and key not in self._terminated:
                    self._terminated[key] = True
                    votes.append(Term(epoch, proposer, value))
                return votes
            case Conf():
                return [Conf(epoch, proposer, message.round, 1 + recipient % 3)]
        # Said already, unless this node was decided by others' TERMs before it came to vote.
        return [] if (epoch, proposer, recipient) in self._terminated else [Term(epoch, proposer, value)]

    @staticmethod
    def _both(message: BVal | Aux | Conf | Term) -> Sequence[Message]:
        epoch, proposer = message.epoch, message.proposer
        match message:
            case Conf():
                rest = [Conf(epoch, proposer, message.round, v) for v in (1, 2, 3) if v != message.values]
                return [*rest, message]
            case Term():
                return [Term(epoch, proposer, not message.value), message]
        return [type(message)(epoch, proposer, message.round, not message.value), message]


class BadCoinShares(Adversary):
    """With its AUX, hence as early as it can, a bad share of the next coin of that agreement; never a good one.

    By turns a point that is nobody's share, the share of another round, instance, epoch or chain, another node's
    share, the identity, a point outside the subgroup, and junk. In every fourth epoch also shares for rounds that
    have no coin.

    Correct nodes must toss the same coins without it: BAD_COIN_SHARE where a coin is needed (with the default
    schedule that is rare, so nothing may be recorded at all), UNEXPECTED_COIN_SHARE for rounds without one.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._shares: Recent[tuple[int, int, int], bytes] = Recent(32 * context.quorums.nodes)
        self._copy = IDENTITY
        self._turn = 0

    def witness(self, sender: int, message: Message) -> None:
        """See `Adversary`."""
        if isinstance(message, CoinShare) and sender != self.me:
            self._copy = message.share

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        if isinstance(message, CoinShare):
            return []
        if not isinstance(message, Aux):
            return [message]
        epoch, proposer, number = message.epoch, message.proposer, message.round
        coin = number if self._every_round else number + (2 - number) % 3
        lies: list[Message] = [CoinShare(epoch, proposer, coin, self._share(epoch, proposer, coin))]
        if epoch % 4 == 1 and coin != number:
            lies.append(CoinShare(epoch, proposer, number, IDENTITY))
        return [*lies, message]

    @property
    def _every_round(self) -> bool:
        return self.context.parameters.coin_schedule == "every-round"

    def _share(self, epoch: int, proposer: int, number: int) -> bytes:
        key = (epoch, proposer, number)
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = self._bad_share(epoch, proposer, number)
        return share

    def _bad_share(self, epoch: int, proposer: int, number: int) -> bytes:
        self._turn += 1
        chain_id = self.context.chain_id
        sign = self.context.secret_keys.coin.sign_share
        match self._turn % 9:
            case 1:
                return some_point(2 + self._turn)
            case 2:
                return sign(coin_identity(chain_id, epoch, proposer, number + 3))
            case 3:
                return sign(coin_identity(chain_id, epoch, (proposer + 1) % self.quorums.nodes, number))
            case 4:
                return sign(coin_identity(chain_id, epoch + 1, proposer, number))
            case 5:
                return sign(coin_identity(bytes(32), epoch, proposer, number))
            case 6:
                return self._copy
            case 7:
                return IDENTITY
            case 8:
                return NON_SUBGROUP
        return self.context.randbytes(48)
