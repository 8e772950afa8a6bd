"""What the searches run: one agreement alone, as a protocol; and coins without pairings, for thousands of runs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

from crypto.bls.signature import coin_bit
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement
from honeybadger.protocols.honey_badger.common_coin import CommonCoin, coin_identity
from honeybadger.protocols.honey_badger.messages import Ready, Val, Vote
from honeybadger.protocols.wire import Message
from support.byzantine.scripted import deliver


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=48).digest()


@dataclass(frozen=True)
class FastCoinKey:
    """In place of the threshold signature: who has the key (everybody here) can make all shares. `index`: whose."""

    threshold: int
    index: int = -1

    def sign_share(self, identity: bytes) -> bytes:
        return _digest("share", self.index, identity)

    def toss(
        self, identity: bytes, shares: Mapping[int, bytes], suspects: Collection[int]
    ) -> tuple[int | None, frozenset[int]]:
        bad = frozenset(node for node, share in shares.items() if share != _digest("share", node, identity))
        return (coin_bit(_digest("coin", identity)) if len(shares) - len(bad) >= self.threshold else None), bad


def with_fast_coins(context: Context) -> Context:
    """The same node with coins that cost nothing."""
    public, secret = context.public_keys, context.secret_keys
    key = FastCoinKey(public.coin.threshold, context.me)
    return replace(
        context,
        public_keys=replace(public, coin=key),
        secret_keys=replace(secret, coin=key),  # type: ignore[arg-type]
    )


class AgreementOnly:
    """One binary agreement, epoch 1 and proposer 0, as a `ConsensusProtocol`."""

    epoch = horizon = 1
    leader = None
    settled = 0

    def __init__(self, context: Context, bit: int, decided: Callable[[int], None]) -> None:
        self._context, self._bit = context, bit
        self._begun = False
        suspects: set[int] = set()

        def make_coin(number: int, on_value: Callable[[int], None]) -> CommonCoin:
            identity = coin_identity(context.chain_id, 1, 0, number)
            keys = context.public_keys, context.secret_keys
            return CommonCoin(context.me, identity, *keys, suspects, context.outbox, on_value)

        self.agreement = BinaryAgreement(
            1,
            0,
            context.quorums,
            context.parameters.coin_schedule,
            make_coin,
            context.outbox,
            decided,
            journal=context.journal,
        )

    def poke(self) -> None:
        if not self._begun:
            self._begun = True
            for vote, _, number, value in self._context.journal.votes(1):
                self.agreement.resume(Vote(vote), number, value)
            self.agreement.propose(self._bit)

    def handle(self, sender: int, message: Message) -> None:
        # Liars send messages of broadcasts, too.
        if not isinstance(message, Val | Ready):
            deliver(self.agreement, sender, message)

    def skip_to(self, epoch: int) -> None:
        pass

    def timeout(self, name: str) -> None:
        pass
