"""Serves certified blocks to nodes that are behind."""

import time
from collections import Counter
from collections.abc import Callable

from honeybadger.ledger.block import Header
from honeybadger.ledger.certificates import certificate_of
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.node.block_messages import PART_BYTES, BlockRequest, BodyPart, CertifiedHeader
from honeybadger.node.rate import PerSecond
from honeybadger.protocols.context import Outbox

#: answers to one peer per second: bytes (a little more for the last), and blocks, which may be empty
SERVED_BYTES_PER_S = 256 * 1024 * 1024
SERVED_BLOCKS_PER_S = 256
#: the most that a message costs the link in addition to the bytes of body or header in it
MESSAGE_BYTES = 512


class BlockServer:
    """`on_uncertified(header)`: somebody wants a block that has no certificate here;
    `make_room(peer, size)`: whether the link to the peer can hold that much more."""

    def __init__(
        self,
        store: SQLiteStore,
        outbox: Outbox,
        on_uncertified: Callable[[Header], None],
        make_room: Callable[[int, int], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._on_uncertified = on_uncertified
        self._make_room = make_room
        #: bytes that were sent to each peer and that its link has not been given yet
        self._leaving: Counter[int] = Counter()
        self._served_bytes = PerSecond(SERVED_BYTES_PER_S, now)
        self._served_blocks = PerSecond(SERVED_BLOCKS_PER_S, now)

    def serve(self, sender: int, request: BlockRequest) -> None:
        """Send what was asked for, as far as it is certified; a bounded amount per peer and second, and whole blocks
        only: a link that is given more than it can hold drops the first parts, and the rest is of no use."""
        for height in range(request.first, request.first + request.count):
            if not self._served_blocks.take(sender):
                return
            certificate = certificate_of(self._store, height)
            if certificate is None:
                header = self._store.header(height)
                if header is not None:
                    self._on_uncertified(header)
                return
            block = self._store.block(height)
            if block is None or not self._served_bytes.take(sender, len(block.body)):
                return
            body, encoded_header = block.body, block.header.encode()
            size = len(encoded_header) + len(body) + MESSAGE_BYTES * (2 + len(body) // PART_BYTES)
            if not self._make_room(sender, self._leaving[sender] + size):
                return
            self._leaving[sender] += size
            self._outbox.send(sender, CertifiedHeader(0, encoded_header, certificate, len(body)))
            for offset in range(0, len(body), PART_BYTES):
                self._outbox.send(sender, BodyPart(0, height, offset, body[offset : offset + PART_BYTES]))

    def sent(self) -> None:
        """The links have been given everything that was sent."""
        self._leaving.clear()
