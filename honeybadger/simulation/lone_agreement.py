"""One binary agreement alone, as a protocol, and coins without pairings: for thousands of runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol, HeldBytes
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.agreements import AGREEMENTS
from honeybadger.protocols.honey_badger.binary_agreement import OfAgreement
from honeybadger.protocols.honey_badger.common_coin import CommonCoin, coin_identity
from honeybadger.protocols.honey_badger.messages import Vote
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.wire import Message

#: the only instance there is
EPOCH, PROPOSER = 1, 0


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=48).digest()


@dataclass(frozen=True)
class IdealCoinKey:
    """In place of the threshold signature: an ideal coin that costs nothing.

    Not secure: who has the key can make all shares. Users are trusted to make their own only, of index `index`, and to
    toss with `threshold` shares. `seed`: of the coins.
    """

    threshold: int
    index: int
    seed: int

    def sign_share(self, identity: bytes) -> bytes:
        return _digest("share", self.seed, self.index, identity)

    def toss(
        self, identity: bytes, shares: Mapping[int, bytes], suspects: Collection[int]
    ) -> tuple[int | None, frozenset[int]]:
        bad = frozenset(node for node, share in shares.items() if share != _digest("share", self.seed, node, identity))
        coin = _digest("coin", self.seed, identity)[0] & 1
        return (coin if len(shares) - len(bad) >= self.threshold else None), bad


def with_ideal_coins(context: Context, seed: int) -> Context:
    """The same node with coins that cost nothing."""
    public, secret = context.public_keys, context.secret_keys
    key = IdealCoinKey(public.coin.threshold, context.me, seed)
    return replace(
        context,
        public_keys=replace(public, coin=key),  # type: ignore[arg-type]
        secret_keys=replace(secret, coin=key),  # type: ignore[arg-type]
    )


def identity_of(context: Context, number: int) -> bytes:
    """What the coin of round `number` is made of."""
    return coin_identity(context.chain_id, EPOCH, PROPOSER, number)


class LoneAgreement(ConsensusProtocol):
    """The agreement that the parameters name, with input `bit`; `decided(bit)` is called once."""

    def __init__(self, context: Context, bit: int, decided: Callable[[int], None]) -> None:
        self._context, self._bit, self._begun = context, bit, False
        suspects: set[int] = set()

        def make_coin(number: int, on_value: Callable[[int], None]) -> CommonCoin:
            keys = context.public_keys, context.secret_keys
            return CommonCoin(
                context.me, identity_of(context, number), *keys, suspects, context.outbox, on_value, f"round {number}"
            )

        parameters = HoneyBadgerParameters.of(context.parameters)
        self.agreement = AGREEMENTS[parameters.agreement](
            EPOCH,
            PROPOSER,
            context.quorums,
            parameters.coin_schedule,
            make_coin,
            context.outbox,
            decided,
            journal=context.journal,
        )

    @property
    def epoch(self) -> int:
        return EPOCH

    @property
    def horizon(self) -> int:
        return EPOCH

    @property
    def settled(self) -> int:
        return 0

    def poke(self) -> None:
        if not self._begun:
            self._begun = True
            for vote, _, number, value in self._context.journal.votes(EPOCH):
                self.agreement.resume(Vote(vote), number, value)
            self.agreement.propose(self._bit)

    def handle(self, sender: int, message: Message) -> None:
        if isinstance(message, OfAgreement):
            self.agreement.handle(sender, message)
        else:
            self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)

    def skip_to(self, epoch: int) -> None:
        """There is one epoch."""

    def timeout(self, name: str) -> None:
        """There are no timers."""

    def held_bytes(self) -> HeldBytes:
        return HeldBytes({}, 0, 0, 0)
