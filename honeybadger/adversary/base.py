"""What every strategy of a faulty node is made of."""

from collections.abc import Callable, Sequence

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.protocols.honey_badger.epoch import ciphertext_label
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters, is_encrypted
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.wire import Message

#: an array of no transactions: a valid proposal that changes nothing
EMPTY_BATCH = encode_contribution([])


def flipped(data: bytes) -> bytes:
    """The same, but for one bit of the first byte; one byte in place of none."""
    return bytes([data[0] ^ 1]) + data[1:] if data else b"\1"


class Adversary:
    """Sits between the honest protocol object of one faulty node and its outbox; this one changes nothing.

    Subclasses override `change`, `witness` and `tick`. They lie to others only: to itself the node sends what its
    honest object says, so it can follow the cluster and goes on attacking. Choices come from turns and from
    `context.randbytes`, so seeded randomness gives the same attack again.
    """

    #: the honest object; there from the first call of `witness` or `tick` on
    honest: ConsensusProtocol

    def __init__(self, context: Context) -> None:
        self.context = context
        self.me = context.me
        self.quorums = context.quorums
        self.outbox = context.outbox
        self.others = [node for node in range(context.quorums.nodes) if node != context.me]

    @classmethod
    def unfit(cls, parameters: Parameters) -> str:
        """Why there is nothing to attack in a chain with these parameters, for people; "" if there is."""
        return ""

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        """What goes to `recipient` (perhaps this node) in place of the honest node's `message`."""
        return [message] if recipient == self.me else self.lie(recipient, message)

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """`change` for another node than this one."""
        return [message]

    def witness(self, sender: int, message: Message) -> None:
        """A protocol message arrived (perhaps from this node); called before the honest object sees it."""

    def tick(self, now: float) -> None:
        """Called again and again; `now`: seconds of a clock that never goes back. A call does little work."""

    def send_others(self, message: Message) -> None:
        """To every node but this one, unchanged."""
        for node in self.others:
            self.outbox.send(node, message)

    def encrypted(self, epoch: int) -> bool:
        return is_encrypted(HoneyBadgerParameters.of(self.context.parameters).encryption, epoch)

    def label(self, epoch: int) -> bytes:
        """What this node's ciphertext of an epoch is bound to."""
        return ciphertext_label(self.context.chain_id, epoch, self.me)

    def encrypt(self, epoch: int, plaintext: bytes, randbytes: Callable[[int], bytes] | None = None) -> bytes:
        """A valid ciphertext of any plaintext, as this node's proposal for an epoch."""
        encryption = self.context.public_keys.encryption
        return encryption.encrypt(plaintext, self.label(epoch), randbytes or self.context.randbytes)

    def number(self, below: int) -> int:
        """A random number from 0 to `below` - 1."""
        return int.from_bytes(self.context.randbytes(8), "big") % below
