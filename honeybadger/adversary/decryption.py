"""Attacks on threshold decryption."""

from collections.abc import Sequence

from msgspec.structs import replace

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Recent
from honeybadger.adversary.dispersal import EPOCHS
from honeybadger.node.block_messages import BlockShare
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.messages import CoinShare, DecryptionShares, Term
from honeybadger.protocols.wire import Message

Shares = list[tuple[int, bytes]]


class BadDecryptionShares(Adversary):
    """Decryption shares that are wrong: one of them or all, or for other proposals than the agreed ones.

    In two of four epochs they go out with the node's first TERM, before anything is agreed, for all N proposals or
    for none: a correct node takes the first message of a sender, so it cannot come too late. Otherwise they replace
    the honest message: one share spoilt (nobody's, of another ciphertext, of the identity, malformed otherwise,
    junk), or a proposal missing, extra, twice, out of order or out of range.

    Correct nodes must decrypt without it: BAD_DECRYPTION_SHARE if its shares were tried, WRONG_SHARE_SET.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._early: Recent[int, DecryptionShares] = Recent(EPOCHS)
        self._false: Recent[int, DecryptionShares] = Recent(EPOCHS)
        self._lies = context.public_keys.suite.lies
        self._turn = 0

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        epoch = message.epoch
        if isinstance(message, DecryptionShares):
            if epoch in self._early:
                return []
            return [self._false.once(epoch, lambda: DecryptionShares(epoch, self._spoil(list(message.shares))))]
        if isinstance(message, Term) and epoch % 2:
            early = self._early.once(epoch, lambda: DecryptionShares(epoch, self._strange(epoch % 4 == 1)))
            # To a recipient that has it already, it is nothing new.
            return [early, message]
        return [message]

    def _strange(self, full: bool) -> Shares:
        """Nobody's shares, for all proposals or for none."""
        return [(j, self._lies.stranger(3 + j)) for j in range(self.quorums.nodes if full else 0)]

    def _spoil(self, shares: Shares) -> Shares:
        self._turn += 1
        turn = self._turn % 10
        if turn < 5:
            position = self.number(len(shares))
            proposer = shares[position][0]
            identity, malformed, *_ = self._lies.malformed()
            bad = (
                self._lies.stranger(2 + self._turn),
                shares[position - 1][1] if len(shares) > 1 else identity,
                identity,
                malformed,
                self.context.randbytes(len(identity)),
            )[turn]
            return [*shares[:position], (proposer, bad), *shares[position + 1 :]]
        first, last = shares[0], shares[-1]
        return (
            shares[:-1],
            [*shares, (self.quorums.nodes, last[1])],
            [first, *shares],
            [*shares, (65535, last[1])],
            [*shares, first],
        )[turn - 5]


class StaleShares(Adversary):
    """Its valid shares of the past in place of new ones: decryption, coin and certificate shares alike.

    A share of an earlier epoch, round or block stands where the new one belongs; the very first of each kind is good.

    Correct nodes must do without them: BAD_DECRYPTION_SHARE, BAD_COIN_SHARE and BAD_CERTIFICATE where they were
    tried (of coins: rarely).
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # The shares to repeat, the first ones made: of proposals by proposer, and one each of coins and blocks.
        self._first: dict[int | str, bytes] = {}

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        match message:
            case DecryptionShares():
                old = [(j, self._first.setdefault(j, share)) for j, share in message.shares]
                return [DecryptionShares(message.epoch, old)]
            case CoinShare() | BlockShare():
                return [replace(message, share=self._first.setdefault(type(message).__name__, message.share))]
        return [message]
