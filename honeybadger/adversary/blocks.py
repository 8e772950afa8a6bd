"""Attacks on block certificates and on nodes that catch up."""

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from honeybadger.adversary.base import Adversary, flipped
from honeybadger.ledger.certificates import block_statement, signed_certificate
from honeybadger.node.block_messages import BlockCertificate, BlockShare, BodyPart, CertifiedHeader
from honeybadger.protocols.context import Context
from honeybadger.protocols.wire import Message


class BadCertificates(Adversary):
    """Takes part in consensus, but its shares of block certificates are bad, and the blocks that it serves are false.

    Shares, by height: of another block, nobody's point, the identity, junk. Served blocks, in turn: with a certificate
    that certifies nothing, with junk in place of the header, with a wrong byte in the body. The rest of such a block is
    true, so only the check that it is meant for can refuse it.

    Correct nodes must certify and catch up without it: BAD_CERTIFICATE for shares that were tried, and for each
    false block that was asked for.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: blocks served to each node; the parts of a body follow their header
        self._served = dict.fromkeys(self.others, 0)
        self._lies = context.public_keys.suite.lies

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        match message:
            case BlockShare():
                return [replace(message, share=self._share(message.height))]
            case CertifiedHeader():
                self._served[recipient] += 1
                if self._served[recipient] % 3 == 1:
                    return [replace(message, certificate=self._forged(2 + self.number(1000)))]
                if self._served[recipient] % 3 == 2:
                    return [replace(message, header=self.context.randbytes(130))]
            case BodyPart() if self._served[recipient] % 3 == 0:
                return [replace(message, shard=flipped(message.shard))]
            case BlockCertificate():
                return [replace(message, certificate=self._forged(2 + message.height))]
        return [message]

    def _forged(self, number: int) -> bytes:
        return signed_certificate(self._lies.stranger(number))

    def _share(self, height: int) -> bytes:
        match height % 4:
            case 0:
                other = block_statement(height.to_bytes(32, "big"))
                return self.context.secret_keys.certificate.sign_share(other)
            case 1:
                return self._lies.stranger(2 + height)
            case 2:
                return self._lies.malformed()[0]
        return self.context.randbytes(64)


class DripBlocks(Adversary):
    """Takes part in consensus, but serves blocks one message every `EVERY_S` seconds: correct, and never silent.

    Correct nodes must catch up about as fast as without it. Nothing can be proven: it might be slow.
    """

    EVERY_S = 4.0
    #: messages kept for one node, of which a new answer displaces the oldest
    KEPT = 1000

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._waiting: dict[int, deque[Message]] = {node: deque(maxlen=self.KEPT) for node in self.others}
        self._next = 0.0

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, CertifiedHeader | BodyPart):
            return [message]
        self._waiting[recipient].append(message)
        return []

    def tick(self, now: float) -> None:
        if now < self._next:
            return
        self._next = now + self.EVERY_S
        for node, waiting in self._waiting.items():
            if waiting:
                self.outbox.send(node, waiting.popleft())
