"""Single instances of reliable broadcast or binary agreement, with a network that the test moves by hand."""

import random
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Any

from crypto.erasure import ReedSolomon
from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement
from honeybadger.protocols.honey_badger.messages import (
    Aux,
    Aux2,
    BVal,
    BVal2,
    CoinShare,
    Conf,
    Echo,
    EchoHash,
    Ready,
    Term,
    Val,
    Want,
)
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast
from honeybadger.protocols.honey_badger.shard_answers import ShardAnswers
from honeybadger.protocols.honey_badger.shards_wanted import ShardsWanted
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.protocols.wire import Message
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.network import Endpoint, InMemoryNetwork
from honeybadger.simulation.schedulers import Order, shuffled

EPOCH, PROPOSER = 1, 0
CHAIN = b"scripted chain".ljust(32, b".")


class Recorder:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.to: list[tuple[int, Message]] = []
        self.faults: list[tuple[int, StrEnum]] = []

    def broadcast(self, message: Message) -> None:
        self.sent.append(message)

    def send(self, node: int, message: Message) -> None:
        self.to.append((node, message))

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self.faults.append((node, kind))

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


class IdealCoins:
    """Perfect coins. `value` refuses to tell before a correct node has released its share."""

    def __init__(self, seed: int, quorums: Quorums) -> None:
        self._rng = random.Random(seed)
        self._values: dict[int, int] = {}
        self.quorums = quorums
        self.released: set[int] = set()

    def toss(self, number: int) -> int:
        while number not in self._values:
            self._values[len(self._values)] = self._rng.getrandbits(1)
        return self._values[number]

    def value(self, number: int) -> int:
        assert number in self.released, "nobody can know this coin yet"
        return self.toss(number)

    def maker(self, me: int) -> Callable[[int, Callable[[int], None]], "IdealCoin"]:
        return partial(IdealCoin, self, me)


class IdealCoin:
    """In place of `CommonCoin`: known once f+1 nodes have sent any share and this one has released its own."""

    def __init__(self, coins: IdealCoins, me: int, number: int, on_value: Callable[[int], None]) -> None:
        self._coins, self._me, self._number, self._on_value = coins, me, number, on_value
        self._from: set[int] = set()
        self.released, self.value = False, None

    def release(self) -> bytes:
        self.released = True
        self._coins.released.add(self._number)
        self._from.add(self._me)
        return bytes(48)

    def handle_share(self, sender: int, share: bytes) -> None:
        self._from.add(sender)
        self.try_combine()

    def try_combine(self) -> None:
        if self.released and self.value is None and len(self._from) >= self._coins.quorums.weak:
            self.value = self._coins.toss(self._number)
            self._on_value(self.value)


HANDLERS: dict[type[Message], str] = {
    Val: "handle_val",
    Echo: "handle_echo",
    EchoHash: "handle_echo_hash",
    Ready: "handle_ready",
    BVal: "handle_bval",
    Aux: "handle_aux",
    Conf: "handle_conf",
    CoinShare: "handle_coin_share",
    Term: "handle_term",
    BVal2: "handle_bval2",
    Aux2: "handle_aux2",
}


def deliver(instance: BinaryAgreement | ReliableBroadcast, sender: int, message: Message) -> None:
    """Hand a message to an instance, as the epoch does."""
    getattr(instance, HANDLERS[type(message)])(sender, message)


def once(results: dict[int, Any], me: int, result: Any) -> None:
    """Node `me` has decided or delivered."""
    assert me not in results, "a second time"
    results[me] = result


class AgreementNet:
    """One agreement among correct nodes 0 … ; the faulty ones, the last, are the script's voice."""

    def __init__(
        self,
        nodes: int,
        seed: int = 0,
        *,
        schedule: Any = "every-round",
        kind: type[BinaryAgreement] = Mmr14Conf,
        scheduler: Order = shuffled,
    ) -> None:
        self.quorums = quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        self.network = InMemoryNetwork(nodes, seed, scheduler)
        self.correct = range(nodes - quorums.faults)
        self.coins = IdealCoins(seed, quorums)
        self.nodes: dict[int, BinaryAgreement] = {}
        self.decided: dict[int, int] = {}
        for me in self.correct:
            self.nodes[me] = agreement = kind(
                EPOCH,
                PROPOSER,
                quorums,
                schedule,
                self.coins.maker(me),  # type: ignore[arg-type]
                self.network.outbox(me),
                partial(once, self.decided, me),
            )
            self.network.attach(me, Endpoint(partial(deliver, agreement)))

    def propose(self, bits: Sequence[int]) -> None:
        for me, bit in zip(self.correct, bits, strict=True):
            self.nodes[me].propose(bit)

    def inject(self, senders: Sequence[int], recipients: Sequence[int], message: Message) -> None:
        """Faulty senders' message, delivered at once."""
        for sender in senders:
            for recipient in recipients:
                deliver(self.nodes[recipient], sender, message)

    def let(self, message: type[Message], frm: Sequence[int], to: Sequence[int], **fields: Any) -> None:
        """Deliver the pending messages of this type, from these to these, with these field values."""
        self.network.deliver_where(
            lambda s, r, m: (
                isinstance(m, message)
                and s in frm
                and r in to
                and all(getattr(m, name) == value for name, value in fields.items())
            )
        )

    def settle(self) -> None:
        self.network.run()

    @property
    def agreed(self) -> bool:
        """All correct nodes have decided, on the same."""
        return len(self.decided) == len(self.correct) and len(set(self.decided.values())) == 1


class BroadcastNet:
    """One reliable broadcast; `silent` nodes only speak through the script."""

    def __init__(self, nodes: int, seed: int = 0, *, silent: Sequence[int] = (), proposer: int = 0) -> None:
        self.quorums = quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        self.code = ReedSolomon(quorums.data_shards, nodes)
        self.network = InMemoryNetwork(nodes, seed)
        self.proposer = proposer
        self.delivered: dict[int, bytes] = {}
        self.nodes: dict[int, ReliableBroadcast] = {}
        for me in range(nodes):
            if me in silent:
                continue
            journal, outbox = JournalModel(), self.network.outbox(me)
            answers = ShardAnswers(me, quorums, journal, outbox)
            wanted = ShardsWanted(quorums, self.network.timers(me))
            self.network.timers(me).expired = partial(self._look, wanted)
            self.nodes[me] = instance = ReliableBroadcast(
                me,
                EPOCH,
                proposer,
                quorums,
                self.code,
                1 << 14,
                outbox,
                partial(once, self.delivered, me),
                wanted.add,
                journal,
            )
            self.network.attach(me, Endpoint(partial(self._deliver, instance, answers)))

    @staticmethod
    def _look(wanted: ShardsWanted, timer: str) -> None:
        wanted.look()

    @staticmethod
    def _deliver(instance: ReliableBroadcast, answers: ShardAnswers, sender: int, message: Message) -> None:
        if isinstance(message, Want):
            answers.handle_want(sender, message)
        else:
            deliver(instance, sender, message)

    def send(self, sender: int, recipients: Sequence[int], message: Message) -> None:
        for recipient in recipients:
            self.network.transmit(sender, recipient, message)
