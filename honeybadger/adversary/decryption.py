"""Attacks on threshold decryption."""

from __future__ import annotations

from collections.abc import Sequence

from honeybadger.adversary.agreement import IDENTITY, NON_SUBGROUP, some_point
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Recent
from honeybadger.adversary.dispersal import EPOCHS
from honeybadger.node.block_messages import BlockShare
from honeybadger.protocols.base import Context
from honeybadger.protocols.messages import CoinShare, DecryptionShares, Message, Term

Shares = list[tuple[int, bytes]]


class BadDecryptionShares(Adversary):
    """Decryption shares that are wrong: one of them or all, or for other proposals than the agreed ones.

    In two of four epochs they go out with the node's first TERM, before anything is agreed, for all N proposals or
    for none: a correct node takes the first message of a sender, so it cannot come too late. Otherwise they replace
    the honest message: one share spoilt (a point that is nobody's, a share of another ciphertext, the identity,
    a point outside the subgroup, junk), or a proposal missing, extra, twice, out of order or out of range.

    Correct nodes must decrypt without it: BAD_DECRYPTION_SHARE if its shares were tried, WRONG_SHARE_SET.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._early: Recent[int, DecryptionShares] = Recent(EPOCHS)
        self._false: Recent[int, DecryptionShares] = Recent(EPOCHS)
        self._turn = 0

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        epoch = message.epoch
        if isinstance(message, DecryptionShares):
            if epoch in self._early:
                return []
            false = self._false.get(epoch)
            if false is None:
                false = self._false[epoch] = DecryptionShares(epoch, self._spoil(list(message.shares)))
            return [false]
        if isinstance(message, Term) and epoch % 2:
            early = self._early.get(epoch)
            if early is None:
                nodes = range(self.quorums.nodes) if epoch % 4 == 1 else ()
                early = self._early[epoch] = DecryptionShares(epoch, [(j, some_point(3 + j)) for j in nodes])
            # To a recipient that has it already, it is nothing new.
            return [early, message]
        return [message]

    def _spoil(self, shares: Shares) -> Shares:
        self._turn += 1
        turn = self._turn % 10
        if turn < 5:
            position = self.number(len(shares))
            proposer = shares[position][0]
            bad = (
                some_point(2 + self._turn),
                shares[position - 1][1] if len(shares) > 1 else IDENTITY,
                IDENTITY,
                NON_SUBGROUP,
                self.context.randbytes(48),
            )[turn]
            return [*shares[:position], (proposer, bad), *shares[position + 1 :]]
        first, last = shares[0], shares[-1]
        match turn:
            case 5:
                return shares[:-1]
            case 6:
                return [*shares, (self.quorums.nodes, last[1])]
            case 7:
                return [first, *shares]
            case 8:
                return [*shares, (65535, last[1])]
        return [*shares, first]


class StaleShares(Adversary):
    """Its valid shares of the past in place of new ones: decryption, coin and certificate shares alike.

    A share of an earlier epoch, round or block stands where the new one belongs; the very first of each kind is good.

    Correct nodes must do without them: BAD_DECRYPTION_SHARE, BAD_COIN_SHARE and BAD_CERTIFICATE where they were
    tried (of coins: rarely).
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # Per kind the share to repeat: the first one made, always another than the present one.
        self._decryption: dict[int, tuple[int, bytes]] = {}
        self._coin: tuple[tuple[int, int, int], bytes] | None = None
        self._block: tuple[int, bytes] | None = None

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        epoch = message.epoch
        match message:
            case DecryptionShares():
                shares = [(j, self._old_decryption(epoch, j, share)) for j, share in message.shares]
                return [DecryptionShares(epoch, shares)]
            case CoinShare():
                key = (epoch, message.proposer, message.round)
                if self._coin is None:
                    self._coin = (key, message.share)
                return [CoinShare(*key, self._coin[1])]
            case BlockShare():
                if self._block is None:
                    self._block = (message.height, message.share)
                return [BlockShare(epoch, message.height, message.block_hash, self._block[1])]
        return [message]

    def _old_decryption(self, epoch: int, proposer: int, share: bytes) -> bytes:
        # One per proposer, so at most N are kept.
        return self._decryption.setdefault(proposer, (epoch, share))[1]
