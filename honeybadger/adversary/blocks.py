"""Attacks on block certificates and on nodes that catch up."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from honeybadger.adversary.agreement import IDENTITY, some_point
from honeybadger.adversary.base import Adversary
from honeybadger.ledger.certificates import block_statement
from honeybadger.node.block_messages import BlockCertificate, BlockShare, BodyPart, CertifiedHeader
from honeybadger.protocols.base import Context
from honeybadger.protocols.messages import Message


class BadCertificates(Adversary):
    """Takes part in consensus, but its shares of block certificates are bad, and the blocks that it serves are false.

    Shares, by height: of another block, nobody's point, the identity, junk. Served blocks, at random: junk in place
    of the header, a certificate that certifies nothing, or a body with a wrong byte.

    Correct nodes must certify and catch up without it: BAD_CERTIFICATE for shares that were tried, and for each
    false block that was asked for.
    """

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        match message:
            case BlockShare():
                share = self._share(message.height)
                return [BlockShare(message.epoch, message.height, message.block_hash, share)]
            case CertifiedHeader():
                return [self._header(message)]
            case BodyPart():
                shard = bytes([message.shard[0] ^ 1]) + message.shard[1:]
                return [BodyPart(message.epoch, message.height, message.offset, shard)]
            case BlockCertificate():
                return [BlockCertificate(message.epoch, message.height, some_point(2 + message.height))]
        return [message]

    def _share(self, height: int) -> bytes:
        match height % 4:
            case 0:
                other = block_statement(height.to_bytes(32, "big"))
                return self.context.secret_keys.certificate.sign_share(other)
            case 1:
                return some_point(2 + height)
            case 2:
                return IDENTITY
        return self.context.randbytes(48)

    def _header(self, message: CertifiedHeader) -> CertifiedHeader:
        match self.number(3):
            case 0:
                return CertifiedHeader(0, self.context.randbytes(130), message.certificate, message.body_bytes)
            case 1:
                return CertifiedHeader(0, message.header, some_point(2 + self.number(1000)), message.body_bytes)
        return message


class DripBlocks(Adversary):
    """Takes part in consensus, but serves blocks one message every `EVERY_S` seconds: correct, and never silent.

    Correct nodes must catch up beside it about as fast as without it. Nothing can be proven: it might be slow.
    """

    EVERY_S = 4.0
    #: messages kept for one node, of which a new answer displaces the oldest
    KEPT = 1000

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._waiting: dict[int, deque[Message]] = {node: deque(maxlen=self.KEPT) for node in self.others}
        self._next = 0.0

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        if not isinstance(message, CertifiedHeader | BodyPart):
            return [message]
        self._waiting[recipient].append(message)
        return []

    def tick(self, now: float) -> None:
        """See `Adversary`."""
        if now < self._next:
            return
        self._next = now + self.EVERY_S
        for node, waiting in self._waiting.items():
            if waiting:
                self.outbox.send(node, waiting.popleft())
