"""What a node itself does about blocks: it certifies its own, serves them, and takes over those that it missed.

Everything before the newest certified block is settled: it can be taken over from f+1 nodes, of which one is correct.
What comes after it may have to be run again, by all nodes, if they die before its certificate is on a disk. Therefore
`settled_epoch` is where the vote journal may forget, what peers are told (they keep their messages until then), and
where the protocol begins after a restart.

Without `enabled` nothing of this happens, and what is durable counts as settled.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from honeybadger.ledger.block import Block, Header
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.errors import LedgerError
from honeybadger.network.codec import FORGET
from honeybadger.node.application import PENDING_BLOCKS_TO_PAUSE, CommittedBlock
from honeybadger.node.block_messages import (
    BlockCertificate,
    BlockRequest,
    BlockShare,
    BodyPart,
    CertificateRequest,
    CertifiedHeader,
)
from honeybadger.node.block_server import BlockServer
from honeybadger.node.catch_up import CatchUp
from honeybadger.node.certifier import Certifier
from honeybadger.node.core import Core
from honeybadger.protocols.wire import Message
from honeybadger.transactions import Transactions

#: how often to look whether blocks must be fetched, seconds; also between two certificates made on demand
POLL_S = 0.05
#: newest blocks whose certificates are looked after at a restart
CERTIFY_AGAIN = 16


def settled_epoch(chain: Chain, *, enabled: bool) -> int:
    """The highest epoch that never has to be run again."""
    return chain.certified_epoch if enabled else max(0, chain.epoch)


class Recovery:
    """Takes every message: those about blocks are for the parts here, all others for the protocol."""

    def __init__(self, core: Core, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        manifest, keys, store, outbox, links = core.manifest, core.keys, core.store, core.outbox, core.peers.links
        self._core = core
        self._application = core.application
        self._chain = core.chain
        self._protocol = core.protocol
        self._links = links
        self._enabled = core.runtime.recovery
        self._certifier = Certifier(
            keys.node, manifest.public_keys, keys.secret_keys, store, outbox, self._block_certified, now
        )
        self._catch_up = CatchUp(manifest, outbox, core.chain, self, sorted(links), now)
        self._server = BlockServer(
            store, outbox, self._uncertified, lambda peer, size: links[peer].outgoing.make_room(size), now
        )
        self._next_poll = self._next_certification = 0.0
        self._routes: dict[type[Message], Callable[[int, Any], None]] = {
            BlockShare: self._certifier.handle_share,
            BlockCertificate: self._certifier.handle_certificate,
            CertificateRequest: self._answer,
            BlockRequest: self._answer,
            CertifiedHeader: self._catch_up.handle_header,
            BodyPart: self._catch_up.handle_part,
        }

    @property
    def settled_epoch(self) -> int:
        """The highest epoch whose votes this node may forget."""
        return self._chain.certified_epoch if self._enabled else self._application.durable_epoch

    @property
    def announced_epoch(self) -> int:
        """The highest epoch whose messages peers need not keep for this node."""
        return self._chain.certified_epoch if self._enabled else FORGET

    @property
    def rest_s(self) -> float:
        """How long nothing need be looked at: a peer that keeps blocks back says nothing."""
        return min(POLL_S if self._catch_up.is_fetching else math.inf, self._certifier.rest_s)

    def may_go_on(self) -> bool:
        """Whether the disk keeps up, so that more blocks may come."""
        return len(self._application.pending) < 2 * PENDING_BLOCKS_TO_PAUSE

    def start(self) -> None:
        """After a restart: the newest blocks may lack a certificate everywhere, and their number may differ by node."""
        top = self._chain.durable_height
        if not self._enabled or not top:
            return
        newest = self._core.store.newest_certified()
        certified = newest.height if newest is not None else 0
        self._certifier.block_certified(certified)
        for header in self._core.store.headers(max(certified, top - CERTIFY_AGAIN) + 1, top):
            self._certifier.sign(header)

    def each_tick(self) -> None:
        """Between two flushes: look now and then whether this node is behind."""
        self._server.sent()
        self._certifier.poll()
        now = self._now()
        if now >= self._next_poll:
            self._next_poll = now + POLL_S
            self._catch_up.poll(self._protocol.epoch)

    def each_second(self) -> None:
        """Ask for certificates that did not come by themselves."""
        if self._enabled:
            self._certifier.ask(peer for peer, link in self._links.items() if link.connected)

    def block_durable(self, block: CommittedBlock) -> None:
        if block.certified:
            self._certifier.block_certified(block.header.height)
        elif self._enabled:
            self._certifier.block_durable(block.header)

    def handle(self, sender: int, message: Message) -> None:
        """Process any message, own ones included."""
        (self._routes.get(type(message)) or self._protocol.handle)(sender, message)

    def _answer(self, sender: int, message: CertificateRequest | BlockRequest) -> None:
        """Read what a peer wants. A block that is damaged here is somebody else's to serve, and no reason to die."""
        try:
            if isinstance(message, BlockRequest):
                self._server.serve(sender, message)
            else:
                self._certifier.handle_request(sender, message)
        except LedgerError as error:
            self._core.notices.say_once(f"the ledger is damaged, see `honeybadger ledger repair`: {error}")

    def peer_epoch(self, peer: int) -> int:
        """The highest epoch that the peer says it has certified on disk; 0 if it is not there, or does not take part
        in recovery."""
        link = self._links[peer]
        return link.peer_durable if link.connected and link.peer_durable < FORGET else 0

    def _uncertified(self, header: Header) -> None:
        """A peer wants a block whose certificate is missing here: make it, at most one in a while."""
        now = self._now()
        if now >= self._next_certification:
            self._next_certification = now + POLL_S
            self._certifier.sign(header)

    def _block_certified(self, height: int, epoch: int, certificate: bytes) -> None:
        self._chain.certify(height, certificate)
        # After a restart the epochs of uncertified blocks are run again; now that is no longer needed.
        self._pass(epoch)

    def adopt(self, block: Block, transactions: Transactions, certificate: bytes) -> None:
        """Append the next block, which peers have certified."""
        if block.header.height != self._chain.height + 1:
            # Adopting the block before it let the protocol commit this one by itself.
            return
        self._application.adopt(block, transactions, certificate)
        self._pass(block.header.epoch)
        self._core.notices.events.emit("adopted", height=block.header.height, epoch=block.header.epoch)

    def _pass(self, epoch: int) -> None:
        """Go on behind an epoch whose block is there, unless the protocol has: a certificate may be late."""
        if self._protocol.epoch <= epoch:
            self._protocol.skip_to(epoch + 1)
        self._application.passed(epoch)
