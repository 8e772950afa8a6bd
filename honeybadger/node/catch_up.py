"""Takes over blocks from other nodes when this one is behind.

A node is behind when peers have epochs on disk that it has not committed. If f+1 of them are several epochs ahead,
or if it has made no progress for a while, it asks peers, a range each, for the next blocks; nobody for more than it
says it has. Whatever comes is checked: header and certificate (threshold signature of f+1 nodes), then the body
against the header; so one honest peer is enough, and a peer that serves anything else is named and not asked again for
a while.

A peer may also be slow on purpose, and every message of it correct; `patience` tells which ranges are late. Late ranges
are no work in progress: other peers are asked in their place, and for the same blocks, the lowest first. A peer that
was late is asked again only where fewer than two others are at work.

Bounds: blocks within 2 * PARALLEL requests above the chain are in memory, each at most twice: it is asked of two peers
at a time, and a third takes the place of the second. A slow peer makes the blocks of one request be fetched twice.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger.block import Block, Header, body_bytes, check_block
from honeybadger.ledger.certificates import verify_certificate
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.errors import LedgerError
from honeybadger.node.block_messages import BLOCKS_PER_REQUEST, PART_BYTES, BlockRequest, BodyPart, CertifiedHeader
from honeybadger.node.patience import Patience
from honeybadger.protocols.context import Outbox
from honeybadger.protocols.faults import FaultKind
from honeybadger.transactions import Transactions

#: this many epochs behind f+1 peers, waiting for their messages is not worth while
FAR_BEHIND = 4
#: without progress for so long, a node that peers are ahead of asks for blocks, seconds
STALLED_S = 1.0
#: a peer that sends nothing of what it was asked for is no longer waited for, seconds
SILENCE_S = 5.0
#: a peer that served garbage is not asked for this long, seconds
DISTRUST_S = 60.0
#: peers asked at a time, late ones aside
PARALLEL = 3
#: the cost of a block on top of the bytes of its body, when the speeds of peers are compared
BLOCK_BYTES = 128 * 1024
#: a request is for a single block if more would be longer than this, judging by the last one
REQUEST_BYTES = 16 * 1024 * 1024


@dataclass
class _Request:
    """What a peer was asked for and has not sent yet, and as much as has come of the first of these blocks."""

    wanted: list[int]
    asked_at: float
    heard_at: float
    #: what the whole answer costs as far as is known, bytes
    cost: int
    header: Header | None = None
    certificate: bytes = b""
    body_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)

    def begin(self, header: Header | None, certificate: bytes = b"", body_bytes: int = 0) -> None:
        """The body of this block comes next."""
        self.header, self.certificate, self.body_bytes, self.body = header, certificate, body_bytes, bytearray()


class BlockTaker(Protocol):
    """The node that is behind."""

    def may_go_on(self) -> bool:
        """False while its own disk lags behind."""

    def peer_epoch(self, peer: int) -> int:
        """The highest epoch that the peer says it has on disk."""

    def adopt(self, block: Block, transactions: Transactions, certificate: bytes) -> None:
        """Append the next block."""


class CatchUp:
    """Asks `peers` for what `chain` lacks, and gives it to `taker`, the lowest block first."""

    def __init__(
        self,
        manifest: Manifest,
        outbox: Outbox,
        chain: Chain,
        taker: BlockTaker,
        peers: list[int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._quorums = manifest.quorums
        self._chain_id = manifest.chain_id
        self._public = manifest.public_keys.certificate
        self._outbox = outbox
        self._chain = chain
        self._taker = taker
        self._peers = peers
        #: by peer, the oldest first
        self._requests: dict[int, _Request] = {}
        self._ready: dict[int, tuple[Block, Transactions, bytes]] = {}
        self._distrusted: dict[int, float] = {}
        self._patience = Patience(self._quorums)
        #: of the block that came last
        self._body_bytes = 0
        self._turn = 0
        self._epoch = 0
        self._progress_at = now()

    @property
    def is_fetching(self) -> bool:
        """Whether somebody was asked for blocks, so that `poll` should be called often."""
        return bool(self._requests)

    def poll(self, epoch: int) -> None:
        """Look whether blocks are to be asked for; `epoch`: the first that is not committed."""
        now = self._now()
        if epoch != self._epoch:
            self._epoch, self._progress_at = epoch, now
        self._forget()
        if not self._taker.may_go_on():
            # What has come waits unread, so nobody is late.
            for request in self._requests.values():
                request.asked_at = request.heard_at = now
            return
        for peer, request in list(self._requests.items()):
            if now - request.heard_at > self._patience.stretched(SILENCE_S):
                del self._requests[peer]
                self._patience.mark_slow(peer)
        ahead = [peer for peer in self._peers if self._taker.peer_epoch(peer) >= epoch]
        far = [peer for peer in ahead if self._taker.peer_epoch(peer) >= epoch + FAR_BEHIND]
        if len(far) < self._quorums.weak:
            self._patience.begin()
        stalled = now - self._progress_at > STALLED_S
        if not (len(far) >= self._quorums.weak or stalled or self._requests):
            return
        useful = [p for p in ahead if p not in self._requests and now > self._distrusted.get(p, 0.0)]
        useful.sort(key=lambda p: (p in self._patience.slow, (p - self._turn) % self._quorums.nodes))
        for peer in useful:
            in_time = [
                request
                for request in self._requests.values()
                if not self._patience.is_late(now - request.asked_at, request.cost, peer)
            ]
            if len(in_time) >= (2 if peer in self._patience.slow else PARALLEL):
                continue
            # Each block belongs to a later epoch than the one before it.
            top = self._chain.height + self._taker.peer_epoch(peer) - max(0, self._chain.epoch)
            taken = {number for request in in_time for number in request.wanted} | self._ready.keys()
            wanted = self._next_range(top, taken)
            if wanted:
                self._ask(peer, wanted, now)

    def _ask(self, peer: int, wanted: list[int], now: float) -> None:
        """Ask the peer for these blocks. Who was asked before it is late, and of two the second gives way to it."""
        for number in wanted:
            for i, late in enumerate([p for p, request in self._requests.items() if number in request.wanted]):
                self._patience.mark_slow(late)
                if i > 0:
                    del self._requests[late]
                    self._patience.replaced(late)
        self._requests[peer] = _Request(wanted, now, now, BLOCK_BYTES * len(wanted))
        self._turn = peer + 1
        self._outbox.send(peer, BlockRequest(0, wanted[0], len(wanted)))

    def _next_range(self, top: int, taken: set[int]) -> list[int]:
        """The first blocks in the window, up to `top`, that are not taken: as many as one request may be for."""
        most = max(1, min(BLOCKS_PER_REQUEST, REQUEST_BYTES // max(1, self._body_bytes)))
        height = self._chain.height
        window = range(height + 1, min(height + 2 * PARALLEL * most, top) + 1)
        free = [number for number in window if number not in taken][:most]
        return [number for i, number in enumerate(free) if number == free[0] + i]

    def handle_header(self, sender: int, message: CertifiedHeader) -> None:
        try:
            header = Header.decode(message.header)
        except LedgerError as error:
            self._distrust(sender, str(error))
            return
        request = self._heard(sender)
        if request is None or header.height not in request.wanted:
            return
        if request.header is not None and request.header.height == header.height:
            return
        if header.chain_id != self._chain_id or not verify_certificate(self._public, header.hash, message.certificate):
            self._distrust(sender, f"certificate of block {header.height}")
            return
        if message.body_bytes != body_bytes(header):
            self._distrust(sender, f"body of block {header.height}")
            return
        if request.wanted[0] < header.height:
            # What comes from a peer comes in order, so what it has left out will not come.
            request.wanted = [number for number in request.wanted if number >= header.height]
            self._patience.mark_slow(sender)
        request.begin(header, message.certificate, message.body_bytes)
        request.cost += message.body_bytes
        self._body_bytes = message.body_bytes
        self._complete(sender, request)

    def handle_part(self, sender: int, message: BodyPart) -> None:
        request = self._heard(sender)
        if request is None or request.header is None or request.header.height != message.height:
            return
        if message.offset != len(request.body):
            # No proof of anything: the peer may be answering an earlier request as well, which we gave up.
            return
        # Full parts only: a peer that drips single bytes would hold up the block without end.
        if len(message.shard) != min(PART_BYTES, request.body_bytes - len(request.body)):
            self._distrust(sender, f"body of block {message.height}")
            return
        request.body += message.shard
        self._complete(sender, request)

    def _heard(self, sender: int) -> _Request | None:
        """The request that the sender is to answer. It may be answering earlier ones still, so it is not silent."""
        request = self._requests.get(sender)
        if request is not None:
            request.heard_at = self._now()
        return request

    def _complete(self, sender: int, request: _Request) -> None:
        """If the body is there, check it; then append what follows the tip."""
        header = request.header
        if header is None or len(request.body) < request.body_bytes:
            return
        body = bytes(request.body)
        try:
            transactions = check_block(header, body)
        except LedgerError as error:
            self._distrust(sender, f"body of block {header.height}: {error}")
            return
        self._ready[header.height] = (Block(header, body), transactions, request.certificate)
        self._came(sender, request, header.height)
        self._forget()
        following = self._chain.height + 1
        while (ready := self._ready.pop(following, None)) is not None:
            self._taker.adopt(*ready)
            following += 1

    def _came(self, sender: int, request: _Request, number: int) -> None:
        """A block has come as it was asked for; nobody else needs to send it."""
        if request.wanted == [number]:
            self._patience.answered(sender, request.heard_at - request.asked_at, request.cost)
        for peer, other in list(self._requests.items()):
            if number in other.wanted:
                other.cost -= BLOCK_BYTES if other is not request else 0
                self._take_back(peer, other, number)

    def _take_back(self, peer: int, request: _Request, number: int) -> None:
        request.wanted.remove(number)
        if request.header is not None and request.header.height == number:
            request.begin(None)
        if not request.wanted:
            del self._requests[peer]

    def _forget(self) -> None:
        """The chain may have grown, by whatever way."""
        height = self._chain.height
        for number in [number for number in self._ready if number <= height]:
            del self._ready[number]
        for peer, request in list(self._requests.items()):
            for number in [number for number in request.wanted if number <= height]:
                self._take_back(peer, request, number)

    def _distrust(self, peer: int, why: str) -> None:
        self._outbox.fault(peer, FaultKind.BAD_CERTIFICATE, why)
        self._distrusted[peer] = self._now() + DISTRUST_S
        self._requests.pop(peer, None)
