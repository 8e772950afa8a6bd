"""What nodes say to each other about blocks, whatever the protocol: certificate shares and catch-up.

Their tags are below 0, so that the tags from 1 on belong to the protocol.
"""

from typing import Annotated

from msgspec import Meta

from honeybadger.ledger.certificates import LONGEST
from honeybadger.protocols.wire import Digest, Message, ThresholdShare

Height = Annotated[int, Meta(ge=1, le=2**32 - 1)]
#: a signature, and the headers up to the block that is signed
Certificate = Annotated[bytes, Meta(min_length=1, max_length=LONGEST)]
#: one request asks for at most this many blocks
BLOCKS_PER_REQUEST = 4
#: a body travels in parts of this many bytes
PART_BYTES = 512 * 1024


class BlockShare(Message, frozen=True, tag=-1):
    """The sender has the block of this epoch on disk: its threshold signature share on the block's hash."""

    height: Height
    block_hash: Digest
    share: ThresholdShare


class BlockRequest(Message, frozen=True, tag=-2):
    """Please send the blocks from `first` on, those you have with a certificate. (`epoch` is 0.)"""

    first: Height
    count: Annotated[int, Meta(ge=1, le=BLOCKS_PER_REQUEST)]


class CertifiedHeader(Message, frozen=True, tag=-3):
    """A block's header and the certificate that f+1 nodes made for it; the body follows. (`epoch` is 0.)"""

    header: Annotated[bytes, Meta(max_length=512 * 1024)]
    certificate: Certificate
    body_bytes: Annotated[int, Meta(ge=0, le=2**40)]


class BodyPart(Message, frozen=True, tag=-4):
    """Bytes of a block's body from `offset` on. (`epoch` is 0.)"""

    height: Height
    offset: Annotated[int, Meta(ge=0, le=2**40)]
    shard: Annotated[bytes, Meta(min_length=1, max_length=PART_BYTES)]

    @property
    def payload(self) -> int:
        return len(self.shard)


class CertificateRequest(Message, frozen=True, tag=-5):
    """Please send the certificate of this block, or your share of it if you have none. (`epoch` is 0.)"""

    height: Height


class BlockCertificate(Message, frozen=True, tag=-6):
    """The certificate of a block that the receiver has. (`epoch` is 0.)"""

    height: Height
    certificate: Certificate


BLOCK_MESSAGES: tuple[type[Message], ...] = (
    BlockShare,
    BlockRequest,
    CertifiedHeader,
    BodyPart,
    CertificateRequest,
    BlockCertificate,
)
