"""Attacks that the named strategies (`honeybadger.adversary`) do not make: for searches and for single scenarios."""

from collections.abc import Sequence

from msgspec.structs import replace

from honeybadger.adversary import Adversary
from honeybadger.adversary.dispersal import FalseProposer
from honeybadger.adversary.garbage import PLAINTEXTS as SHORT_PLAINTEXTS
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.protocols.honey_badger.messages import Aux, BVal, Conf, DecryptionShares, Echo, Term
from honeybadger.protocols.wire import Message

#: proposals that decrypt, but to nothing acceptable (B/N = 4 and max_tx_bytes = 2,000 in the tests)
PLAINTEXTS: dict[str, bytes] = {
    **SHORT_PLAINTEXTS,
    "too many": encode_contribution([bytes([i]) for i in range(5)]),
    "long transaction": encode_contribution([bytes(2001)]),
    "too long": encode_contribution([bytes(9000)]),
}


class TermSpam(Adversary):
    """Scenario 14: TERM in every instance it hears of, before anything else; `value` None: both, by recipient."""

    def __init__(self, context: Context, value: bool | None = None) -> None:
        super().__init__(context)
        self._value = value
        self._seen: set[int] = set()

    def witness(self, sender: int, message: Message) -> None:
        if message.epoch not in self._seen:
            self._seen.add(message.epoch)
            for proposer in range(self.quorums.nodes):
                for node in self.others:
                    value = bool(node % 2) if self._value is None else self._value
                    self.outbox.send(node, Term(message.epoch, proposer, value))

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        return [] if isinstance(message, Term) else [message]


class NoVoter(Adversary):
    """Votes 0 on everything, and claims all sets."""

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        match message:
            case BVal() | Aux():
                return [replace(message, value=False)]
            case Conf():
                return [replace(message, values=3)]
            case Term():
                return []
        return [message]


class LateProposer(FalseProposer):
    """Proposes only once it has heard enough; `ran`: the epochs in which it did."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.ran: set[int] = set()

    def shards(self, epoch: int) -> Sequence[bytes]:
        return ()


class Copier(LateProposer):
    """Scenario 18: proposes a correct node's ciphertext as its own, `later` epochs after it."""

    def __init__(self, context: Context, victim: int, later: int = 0) -> None:
        super().__init__(context)
        self._victim, self._later = victim, later

    def witness(self, sender: int, message: Message) -> None:
        if not isinstance(message, Echo) or message.proposer != self._victim:
            return
        epoch, shards = message.epoch + self._later, self.overhear(sender, message)
        if shards and epoch not in self.ran:
            self.ran.add(epoch)
            self.disperse_late(epoch, shards)


class CopiesTheFirst(Copier):
    """Of node 0, in the same epoch."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, 0)


class CopiesLater(Copier):
    """Of node 0, in the next epoch."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, 0, 1)


class FrontRunner(LateProposer):
    """Scenario 36: fixes its proposal only after it has seen decryption shares of a correct node."""

    def witness(self, sender: int, message: Message) -> None:
        if isinstance(message, DecryptionShares) and sender != self.me and message.epoch not in self.ran:
            self.ran.add(message.epoch)
            self.disperse_late(message.epoch, self.code.encode(self.encrypt(message.epoch, b"\x91\xc4\x01x")))
