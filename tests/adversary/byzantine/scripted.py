"""Single instances of reliable broadcast or binary agreement, with a network that the test moves by hand."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from crypto.erasure import ErasureCode
from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.binary_agreement import BinaryAgreement
from honeybadger.protocols.common_coin import CommonCoin, coin_identity
from honeybadger.protocols.messages import Aux, BVal, CoinShare, Conf, Echo, Message, Ready, Term, Val
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.reliable_broadcast import ReliableBroadcast
from honeybadger.simulation.cluster import dealt_keys
from honeybadger.simulation.network import Endpoint, InMemoryNetwork
from honeybadger.simulation.schedulers import Scheduler, shuffled

EPOCH, PROPOSER = 1, 0
CHAIN = b"scripted chain".ljust(32, b".")


class Recorder:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.to: list[tuple[int, Message]] = []
        self.faults: list[tuple[int, FaultKind]] = []

    def broadcast(self, message: Message) -> None:
        self.sent.append(message)

    def send(self, node: int, message: Message) -> None:
        self.to.append((node, message))

    def fault(self, node: int, kind: FaultKind, detail: str) -> None:
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
        if number not in self.released:
            raise AssertionError("nobody can know this coin yet")
        return self.toss(number)

    def maker(self, me: int) -> Callable[[int, Callable[[int], None]], "IdealCoin"]:
        return lambda number, on_value: IdealCoin(self, me, number, on_value)


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


class RealCoins(IdealCoins):
    """The shipped coins; the adversary computes the value once a correct node has released its share."""

    def __init__(self, quorums: Quorums, net: "AgreementNet") -> None:
        self.quorums, self.net = quorums, net
        self.public, self.secret = dealt_keys(quorums.nodes, quorums.faults)
        self.released = set()

    def toss(self, number: int) -> int:
        from crypto.threshold_signature import coin_bit

        identity = coin_identity(CHAIN, EPOCH, PROPOSER, number)
        shares = {k: self.secret[k].coin.sign_share(identity) for k in range(self.quorums.weak)}
        signature, _ = self.public.coin.combine(identity, shares)
        assert signature is not None
        return coin_bit(signature)

    def maker(self, me: int):
        suspects: set[int] = set()

        def make(number: int, on_value: Callable[[int], None]) -> CommonCoin:
            identity = coin_identity(CHAIN, EPOCH, PROPOSER, number)
            outbox = self.net.network.outbox(me)
            return CommonCoin(me, identity, self.public, self.secret[me], suspects, outbox, on_value)

        return make

    def value(self, number: int) -> int:
        shares = [m for _, _, m in self.net.said if isinstance(m, CoinShare) and m.round == number]
        if not shares:
            raise AssertionError("nobody can know this coin yet")
        return self.toss(number)


def deliver(agreement: BinaryAgreement, sender: int, message: Message) -> None:
    """Hand a message to an instance, as the epoch does."""
    handlers = {
        BVal: agreement.handle_bval,
        Aux: agreement.handle_aux,
        Conf: agreement.handle_conf,
        CoinShare: agreement.handle_coin_share,
        Term: agreement.handle_term,
    }
    handlers[type(message)](sender, message)  # type: ignore[operator]


class AgreementNet:
    """One agreement among correct nodes 0 … ; the faulty ones, the last, are the script's voice."""

    def __init__(
        self,
        nodes: int,
        seed: int = 0,
        *,
        faulty: int | None = None,
        schedule: Any = "every-round",
        kind: type[BinaryAgreement] = BinaryAgreement,
        real_coins: bool = False,
        scheduler: Scheduler = shuffled,
    ) -> None:
        self.quorums = quorums = Quorums(nodes, Quorums.largest_faults(nodes))
        self.network = InMemoryNetwork(nodes, seed, scheduler)
        self.correct = range(nodes - (quorums.faults if faulty is None else faulty))
        self.faulty = range(len(self.correct), nodes)
        self.coins = RealCoins(quorums, self) if real_coins else IdealCoins(seed, quorums)
        self.said: list[tuple[int, int, Message]] = []
        self.nodes: dict[int, BinaryAgreement] = {}
        self.decided: dict[int, int] = {}
        transmit = self.network.transmit

        def heard(sender: int, recipient: int, message: Message) -> None:
            self.said.append((sender, recipient, message))
            transmit(sender, recipient, message)

        self.network.transmit = heard  # type: ignore[method-assign]
        for me in self.correct:
            self.nodes[me] = agreement = kind(
                EPOCH,
                PROPOSER,
                quorums,
                schedule,
                self.coins.maker(me),  # type: ignore[arg-type]
                self.network.outbox(me),
                lambda bit, me=me: self._decide(me, bit),
            )
            self.network.attach(me, Endpoint(lambda s, m, a=agreement: deliver(a, s, m)))

    def _decide(self, me: int, bit: int) -> None:
        if me in self.decided:
            raise AssertionError("decided twice")
        self.decided[me] = bit

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
        """Deliver all that is left, in the scheduler's order."""
        self.network.run()

    @property
    def agreed(self) -> bool:
        """All correct nodes have decided, on the same."""
        return len(self.decided) == len(self.correct) and len(set(self.decided.values())) == 1


class BroadcastNet:
    """One reliable broadcast; `silent` nodes only speak through the script."""

    def __init__(self, nodes: int, seed: int = 0, *, silent: Sequence[int] = (), proposer: int = 0) -> None:
        self.quorums = quorums = Quorums(nodes, Quorums.largest_faults(nodes))
        self.code = ErasureCode(quorums.data_shards, nodes)
        self.network = InMemoryNetwork(nodes, seed)
        self.proposer = proposer
        self.delivered: dict[int, bytes] = {}
        self.nodes: dict[int, ReliableBroadcast] = {}
        for me in range(nodes):
            if me in silent:
                continue
            self.nodes[me] = instance = ReliableBroadcast(
                me,
                EPOCH,
                proposer,
                quorums,
                self.code,
                1 << 14,
                self.network.outbox(me),
                lambda value, me=me: self._deliver(me, value),
            )
            self.network.attach(me, Endpoint(self._handler(instance)))

    def _deliver(self, me: int, value: bytes) -> None:
        if me in self.delivered:
            raise AssertionError("delivered twice")
        self.delivered[me] = value

    @staticmethod
    def _handler(instance: ReliableBroadcast) -> Callable[[int, Message], None]:
        def handle(sender: int, message: Message) -> None:
            match message:
                case Val():
                    instance.handle_val(sender, message)
                case Echo():
                    instance.handle_echo(sender, message)
                case Ready():
                    instance.handle_ready(sender, message)

        return handle

    def send(self, sender: int, recipients: Sequence[int], message: Message) -> None:
        for recipient in recipients:
            self.network.transmit(sender, recipient, message)
