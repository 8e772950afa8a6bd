"""Takes over blocks from other nodes when this one is behind.

A node is behind when peers have epochs on disk that it has not committed. If f+1 of them are several epochs ahead,
or if it has made no progress for a while, it asks peers, a range each, for the next blocks; nobody for more than it
says it has. Whatever comes is checked: header and certificate (threshold signature of f+1 nodes), then the body
against the header; so one honest peer is enough, and a peer that serves anything else is named and not asked again for
a while.

A peer may also be slow on purpose, and every message of it correct. Therefore a range counts as late, in the eyes of
another peer, when that peer would have delivered it long ago, judging by its last answer; before anybody has answered,
after a second. Late ranges are no work in progress: other peers are asked in their place, and for the same blocks, the
lowest first. Whoever was late is asked again only where fewer than two others are at work. That may hit a correct peer,
but no more than f are marked at a time, so liars cannot push all others out. On a network that is slow as a whole,
waiting grows longer (`_stretched`), so that answers are not given up for ever.

Bounds: blocks within 2 * PARALLEL requests above the chain are in memory, each at most twice: it is asked of two peers
at a time, and a third takes the place of the second. A slow peer makes the blocks of one request be fetched twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median_low

from crypto.dealer import PublicKeys
from honeybadger.ledger.block import Block, Header, check_block
from honeybadger.ledger.certificates import block_statement
from honeybadger.ledger.errors import LedgerError
from honeybadger.node.block_messages import (
    BLOCKS_PER_REQUEST,
    PART_BYTES,
    BlockRequest,
    BodyPart,
    CertifiedHeader,
)
from honeybadger.protocols.base import FaultKind, Outbox
from honeybadger.protocols.quorums import Quorums

#: this many epochs behind f+1 peers, waiting for their messages is not worth while
FAR_BEHIND = 4
#: without progress for so long, a node that peers are ahead of asks for blocks, seconds
STALLED_S = 1.0
#: a peer that sends nothing of what it was asked for is no longer waited for, seconds
PATIENCE_S = 5.0
#: a peer that served garbage is not asked for this long, seconds
DISTRUST_S = 60.0
#: peers asked at a time, late ones aside
PARALLEL = 3
#: a range is late, for a peer, after this many seconds and this many times what it would have taken itself
GRACE_S = 0.1
LATE = 3
#: the same before any peer has answered, seconds
FIRST_S = 1.0
#: these times are doubled so often on a slow network, at the most
MOST_DOUBLED = 4
#: what a block costs beside the bytes of its body, when the speeds of peers are compared
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


class CatchUp:
    """See the module. `peer_epoch(peer)`: the highest epoch the peer says it has on disk; `adopt(block, txs,
    certificate)` appends the next block; `may_fetch()` is False while the own disk lags behind."""

    def __init__(
        self,
        quorums: Quorums,
        chain_id: bytes,
        public_keys: PublicKeys,
        outbox: Outbox,
        peer_epoch: Callable[[int], int],
        adopt: Callable[[Block, list[bytes], bytes], None],
        may_fetch: Callable[[], bool],
        peers: list[int],
    ) -> None:
        self._quorums = quorums
        self._chain_id = chain_id
        self._public = public_keys.certificate
        self._outbox = outbox
        self._peer_epoch = peer_epoch
        self._adopt = adopt
        self._may_fetch = may_fetch
        self._peers = peers
        #: by peer, the oldest first
        self._requests: dict[int, _Request] = {}
        self._ready: dict[int, tuple[Block, list[bytes], bytes]] = {}
        self._distrusted: dict[int, float] = {}
        #: were late, or left something out, the first of them first; f at the most
        self._slow: list[int] = []
        #: what each peer's last answer took, seconds, and what it cost
        self._answered: dict[int, tuple[float, int]] = {}
        #: who had to give way to a third lately, and how many times f+1 had to, less the answers since
        self._replaced: set[int] = set()
        self._doubled = 0
        #: of the block that came last
        self._body_bytes = 0
        self._turn = 0
        self._epoch = 0
        self._progress_at = time.monotonic()
        self.adopted = 0

    @property
    def is_fetching(self) -> bool:
        """Whether somebody was asked for blocks, so that `poll` should be called often."""
        return bool(self._requests)

    def poll(self, height: int, tip_epoch: int, epoch: int) -> None:
        """Look whether blocks are to be asked for: the chain's height, the epoch of its last block (0 if there is
        none), and the first epoch that is not committed."""
        now = time.monotonic()
        if epoch != self._epoch:
            self._epoch, self._progress_at = epoch, now
        self._forget(height)
        if not self._may_fetch():
            # What has come waits unread, so nobody is late.
            for request in self._requests.values():
                request.asked_at = request.heard_at = now
            return
        for peer, request in list(self._requests.items()):
            if now - request.heard_at > self._stretched(PATIENCE_S):
                del self._requests[peer]
                self._mark_slow(peer)
        ahead = [peer for peer in self._peers if self._peer_epoch(peer) >= epoch]
        far = [peer for peer in ahead if self._peer_epoch(peer) >= epoch + FAR_BEHIND]
        if len(far) < self._quorums.weak:
            # What was usual in the past says nothing of the next time.
            self._answered.clear()
            self._replaced.clear()
            self._doubled = 0
        stalled = now - self._progress_at > STALLED_S
        if not (len(far) >= self._quorums.weak or stalled or self._requests):
            return
        useful = [p for p in ahead if p not in self._requests and now > self._distrusted.get(p, 0.0)]
        useful.sort(key=lambda p: (p in self._slow, (p - self._turn) % self._quorums.nodes))
        for peer in useful:
            in_time = [request for request in self._requests.values() if not self._is_late(request, peer, now)]
            if len(in_time) >= (2 if peer in self._slow else PARALLEL):
                continue
            # Each block belongs to a later epoch than the one before it.
            top = height + self._peer_epoch(peer) - tip_epoch
            taken = {number for request in in_time for number in request.wanted} | self._ready.keys()
            wanted = self._next_range(height, top, taken)
            if wanted:
                self._ask(peer, wanted, now)

    def _ask(self, peer: int, wanted: list[int], now: float) -> None:
        """Ask the peer for these blocks. Who was asked before it is late, and of two the second gives way to it."""
        for number in wanted:
            for i, late in enumerate([p for p, request in self._requests.items() if number in request.wanted]):
                self._mark_slow(late)
                if i > 0:
                    del self._requests[late]
                    self._replaced.add(late)
        if len(self._replaced) >= self._quorums.weak:
            self._replaced.clear()
            self._doubled = min(self._doubled + 1, MOST_DOUBLED)
        self._requests[peer] = _Request(wanted, now, now, BLOCK_BYTES * len(wanted))
        self._turn = peer + 1
        self._outbox.send(peer, BlockRequest(0, wanted[0], len(wanted)))

    def _next_range(self, height: int, top: int, taken: set[int]) -> list[int]:
        """The first blocks in the window, up to `top`, that are not taken: as many as one request may be for."""
        most = max(1, min(BLOCKS_PER_REQUEST, REQUEST_BYTES // max(1, self._body_bytes)))
        window = range(height + 1, min(height + 2 * PARALLEL * most, top) + 1)
        free = [number for number in window if number not in taken][:most]
        return [number for i, number in enumerate(free) if number == free[0] + i]

    def _is_late(self, request: _Request, peer: int, now: float) -> bool:
        """Whether `peer` would have answered this request of another one long ago."""
        patience_s = FIRST_S
        if self._answered:
            # Longer answers take longer, but short ones not less than the way there and back.
            took = {p: took_s * max(1.0, request.cost / cost) for p, (took_s, cost) in self._answered.items()}
            # Not less than what is usual: the last answer of this peer may have been a lucky one.
            patience_s = GRACE_S + LATE * max(took.get(peer, 0.0), median_low(took.values()))
        return now - request.asked_at > self._stretched(patience_s)

    def _stretched(self, patience_s: float) -> float:
        """Longer where one peer after the other is replaced: f of them may be faulty, but f+1 are a slow network."""
        return patience_s * (1 << self._doubled)

    def handle_header(self, sender: int, message: CertifiedHeader, height: int) -> None:
        """A header that was asked for: check it and its certificate."""
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
        if header.chain_id != self._chain_id or not self._public.verify(
            block_statement(header.hash), message.certificate
        ):
            self._distrust(sender, f"certificate of block {header.height}")
            return
        # What a canonical body of so many transactions and bytes can need, at the most.
        if message.body_bytes > header.tx_bytes + 5 * header.tx_count + 5:
            self._distrust(sender, f"body of block {header.height}")
            return
        if request.wanted[0] < header.height:
            # What comes from a peer comes in order, so what it has left out will not come.
            request.wanted = [number for number in request.wanted if number >= header.height]
            self._mark_slow(sender)
        request.begin(header, message.certificate, message.body_bytes)
        request.cost += message.body_bytes
        self._body_bytes = message.body_bytes
        self._complete(sender, request, height)

    def handle_part(self, sender: int, message: BodyPart, height: int) -> None:
        """The next bytes of a body whose header is certified."""
        request = self._heard(sender)
        if request is None or request.header is None or request.header.height != message.height:
            return
        if message.offset != len(request.body):
            # No proof of anything: the peer may be answering an earlier request as well, which we gave up.
            return
        # Full parts only: a peer that drips single bytes would hold the block for ever.
        if len(message.shard) != min(PART_BYTES, request.body_bytes - len(request.body)):
            self._distrust(sender, f"body of block {message.height}")
            return
        request.body += message.shard
        self._complete(sender, request, height)

    def _heard(self, sender: int) -> _Request | None:
        """The request that the sender is to answer. It may be answering earlier ones still, so it is not silent."""
        request = self._requests.get(sender)
        if request is not None:
            request.heard_at = time.monotonic()
        return request

    def _complete(self, sender: int, request: _Request, height: int) -> None:
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
        self._forget(height)
        following = height + 1
        while (ready := self._ready.pop(following, None)) is not None:
            self._adopt(*ready)
            self.adopted += 1
            following += 1

    def _came(self, sender: int, request: _Request, number: int) -> None:
        """A block has come as it was asked for; nobody else needs to send it."""
        if request.wanted == [number]:
            self._doubled = max(0, self._doubled - 1)
            self._answered[sender] = (request.heard_at - request.asked_at, request.cost)
        for peer, other in list(self._requests.items()):
            if number in other.wanted:
                other.cost -= BLOCK_BYTES if other is not request else 0
                self._take_back(peer, other, number)

    def _take_back(self, peer: int, request: _Request, number: int) -> None:
        """This block is no longer wanted from the peer."""
        request.wanted.remove(number)
        if request.header is not None and request.header.height == number:
            request.begin(None)
        if not request.wanted:
            del self._requests[peer]

    def _forget(self, height: int) -> None:
        """The chain has grown up to `height`, by whatever way."""
        for number in [number for number in self._ready if number <= height]:
            del self._ready[number]
        for peer, request in list(self._requests.items()):
            for number in [number for number in request.wanted if number <= height]:
                self._take_back(peer, request, number)

    def _mark_slow(self, peer: int) -> None:
        marked = [*(p for p in self._slow if p != peer), peer]
        self._slow = marked[max(0, len(marked) - self._quorums.faults) :]

    def _distrust(self, peer: int, why: str) -> None:
        self._outbox.fault(peer, FaultKind.BAD_CERTIFICATE, why)
        self._distrusted[peer] = time.monotonic() + DISTRUST_S
        self._requests.pop(peer, None)
