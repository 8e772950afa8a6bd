"""Takes over blocks from other nodes when this one is behind, and serves those that are.

A node is behind when peers have epochs on disk that it has not committed. If f+1 of them are several epochs ahead,
or if it has made no progress for a while, it asks peers, a range each, for the next blocks. Whatever comes is
checked: header and certificate (threshold signature of f+1 nodes), then the body against the header; so one honest
peer is enough, and a peer that serves anything else is named and not asked again for a while.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from crypto.dealer import PublicKeys
from honeybadger.ledger.block import Block, Header, check_block
from honeybadger.ledger.certificates import block_statement
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.store import BlockStore
from honeybadger.node.block_messages import (
    BLOCKS_PER_REQUEST,
    PART_BYTES,
    BlockRequest,
    BodyPart,
    CertifiedHeader,
)
from honeybadger.node.rate import PerSecond
from honeybadger.protocols.base import FaultKind, Outbox
from honeybadger.protocols.quorums import Quorums

#: this many epochs behind f+1 peers, waiting for their messages is not worth while
FAR_BEHIND = 4
#: without progress for so long, a node that peers are ahead of asks for blocks, seconds
STALLED_S = 1.0
#: an unanswered request is given to another peer after this, seconds
PATIENCE_S = 5.0
#: a peer that served garbage is not asked for this long, seconds
DISTRUST_S = 60.0
#: peers asked at a time
PARALLEL = 3
#: answers to one peer per second: bytes (a little more for the last), and blocks, which may be empty
SERVED_BYTES_PER_S = 256 * 1024 * 1024
SERVED_BLOCKS_PER_S = 256
#: what a message costs the link beside the bytes of body or header in it, at the most
MESSAGE_BYTES = 512


@dataclass
class _Request:
    """One block that was asked for, and as much of it as has come."""

    peer: int
    asked_at: float
    header: Header | None = None
    certificate: bytes = b""
    body_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)


class CatchUp:
    """See the module. `peer_epoch(peer)`: the highest epoch the peer says it has on disk; `adopt(block, txs,
    certificate)` appends the next block; `may_fetch()` is False while the own disk lags behind;
    `on_uncertified(header)`: somebody wants a block that has no certificate here. `make_room(peer, size)`: whether
    the link to the peer can hold so much more."""

    def __init__(
        self,
        quorums: Quorums,
        chain_id: bytes,
        public_keys: PublicKeys,
        store: BlockStore,
        outbox: Outbox,
        peer_epoch: Callable[[int], int],
        adopt: Callable[[Block, list[bytes], bytes], None],
        may_fetch: Callable[[], bool],
        peers: list[int],
        on_uncertified: Callable[[Header], None],
        make_room: Callable[[int, int], bool],
    ) -> None:
        self._quorums = quorums
        self._chain_id = chain_id
        self._public = public_keys.certificate
        self._store = store
        self._outbox = outbox
        self._peer_epoch = peer_epoch
        self._adopt = adopt
        self._may_fetch = may_fetch
        self._peers = peers
        self._requests: dict[int, _Request] = {}
        self._ready: dict[int, tuple[Block, list[bytes], bytes]] = {}
        self._distrusted: dict[int, float] = {}
        #: left a request unanswered and have not answered one since: asked last
        self._silent: set[int] = set()
        self._on_uncertified = on_uncertified
        self._make_room = make_room
        #: bytes that were sent to each peer and that its link has not been given yet
        self._leaving: Counter[int] = Counter()
        self._served_bytes = PerSecond(SERVED_BYTES_PER_S)
        self._served_blocks = PerSecond(SERVED_BLOCKS_PER_S)
        self._turn = 0
        self._epoch = 0
        self._progress_at = time.monotonic()
        self.adopted = 0

    def poll(self, height: int, epoch: int) -> None:
        """Look whether blocks are to be asked for: the chain's height, and the first epoch that is not committed."""
        now = time.monotonic()
        if epoch != self._epoch:
            self._epoch, self._progress_at = epoch, now
        for number, request in list(self._requests.items()):
            if number <= height:
                del self._requests[number]
            elif now - request.asked_at > PATIENCE_S:
                del self._requests[number]
                self._silent.add(request.peer)
        ahead = [peer for peer in self._peers if self._peer_epoch(peer) >= epoch]
        far = [peer for peer in ahead if self._peer_epoch(peer) >= epoch + FAR_BEHIND]
        stalled = now - self._progress_at > STALLED_S
        if not self._may_fetch() or not ahead or not (len(far) >= self._quorums.weak or stalled or self._requests):
            return
        useful = [peer for peer in ahead if now > self._distrusted.get(peer, 0.0)]
        useful.sort(key=lambda p: (p in self._silent, (p - self._turn) % self._quorums.nodes))
        for peer in useful[:PARALLEL]:
            if any(request.peer == peer for request in self._requests.values()):
                continue
            first = self._first_wanted(height)
            if first is None:
                return
            self._turn = peer + 1
            count = 1
            while count < BLOCKS_PER_REQUEST and not self._is_taken(first + count):
                count += 1
            for wanted in range(first, first + count):
                self._requests[wanted] = _Request(peer, now)
            self._outbox.send(peer, BlockRequest(0, first, count))

    def _first_wanted(self, height: int) -> int | None:
        """Beginning of the next range that nobody was asked for."""
        first = height + 1
        while self._is_taken(first):
            first += 1
        return first if first <= height + PARALLEL * BLOCKS_PER_REQUEST else None

    def _is_taken(self, number: int) -> bool:
        """Whether somebody was asked for this block, or it has come."""
        return number in self._requests or number in self._ready

    def handle_header(self, sender: int, message: CertifiedHeader, height: int) -> None:
        """A header that was asked for: check it and its certificate."""
        try:
            header = Header.decode(message.header)
        except LedgerError as error:
            self._distrust(sender, str(error))
            return
        request = self._requests.get(header.height)
        if request is None or request.peer != sender or request.header is not None:
            return
        if header.chain_id != self._chain_id or not self._public.verify(
            block_statement(header.hash), message.certificate
        ):
            self._distrust(sender, f"certificate of block {header.height}")
            return
        # What a canonical body of so many transactions and bytes can need, at the most.
        if message.body_bytes > header.tx_bytes + 5 * header.tx_count + 5:
            self._distrust(sender, f"body of block {header.height}")
            return
        self._silent.discard(sender)
        self._is_answering(sender)
        request.header, request.certificate, request.body_bytes = header, message.certificate, message.body_bytes
        self._complete(sender, header.height, height)

    def handle_part(self, sender: int, message: BodyPart, height: int) -> None:
        """The next bytes of a body whose header is certified."""
        request = self._requests.get(message.height)
        if request is None or request.peer != sender or request.header is None:
            return
        if message.offset != len(request.body):
            # No proof of anything: the peer may be answering an earlier request as well, which we gave up.
            return
        # Full parts only: a peer that drips single bytes would hold the block for ever.
        if len(message.shard) != min(PART_BYTES, request.body_bytes - len(request.body)):
            self._distrust(sender, f"body of block {message.height}")
            return
        request.body += message.shard
        self._is_answering(sender)
        self._complete(sender, message.height, height)

    def _complete(self, sender: int, wanted: int, height: int) -> None:
        """If the body is there, check it; then append what follows the tip."""
        request = self._requests[wanted]
        if request.header is None or len(request.body) < request.body_bytes:
            return
        body = bytes(request.body)
        try:
            transactions = check_block(request.header, body)
        except LedgerError as error:
            self._distrust(sender, f"body of block {wanted}: {error}")
            return
        del self._requests[wanted]
        self._ready[wanted] = (Block(request.header, body), transactions, request.certificate)
        for old in [number for number in self._ready if number <= height]:
            del self._ready[old]
        following = height + 1
        while (ready := self._ready.pop(following, None)) is not None:
            self._adopt(*ready)
            self.adopted += 1
            following += 1

    # -- serving -------------------------------------------------------------------------------------------

    def serve(self, sender: int, request: BlockRequest) -> None:
        """Send what was asked for, as far as it is certified; a bounded amount per peer and second, and whole blocks
        only: a link that is given more than it can hold drops the first parts, and the rest is of no use."""
        for height in range(request.first, request.first + request.count):
            if not self._served_blocks.take(sender):
                return
            certificate = self._store.certificate(height)
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

    def _is_answering(self, peer: int) -> None:
        """What comes from a peer comes in order, so whatever else it was asked for is only later."""
        now = time.monotonic()
        for request in self._requests.values():
            if request.peer == peer:
                request.asked_at = now

    def _distrust(self, peer: int, why: str) -> None:
        self._outbox.fault(peer, FaultKind.BAD_CERTIFICATE, why)
        self._distrusted[peer] = time.monotonic() + DISTRUST_S
        for height in [h for h, request in self._requests.items() if request.peer == peer]:
            del self._requests[height]
