"""Makes block certificates: f+1 nodes state, by threshold signature, that a block is on their disks.

f+1 contain a correct node, and correct nodes have the same block at a height, so one certificate proves the block to
anybody who knows the cluster's public keys. The statement is signed with a key set of its own, apart from coins.

Why it must be there before a node forgets an epoch: as long as no f+1 nodes have the block, nobody can take it over,
and after a crash of all nodes the epoch has to be run again, by all of them. So votes are kept until then.

When blocks come fast, one in `EVERY` is signed (see `ledger.certificates`): each with a height that `EVERY` divides, so
that all nodes sign the same ones. Another one is signed only if for `QUIET_S` there was no block before it, or comes
none after it. A node that does not sign a block makes its certificate all the same if f+1 others sign it.

A node that misses a certificate (it was stored at no disk before a crash, or shares were dropped for a slow peer) asks
for it: a node with the certificate sends that, and a node with the block sends its share again.

Source: the threshold-signed blocks of erlang-hbbft; the quorum is f+1 because the subset is agreed already.
"""

import math
import time
from collections.abc import Callable, Iterable

from crypto.dealer import PublicKeys, SecretKeys
from honeybadger.ledger.block import Header
from honeybadger.ledger.certificates import (
    block_statement,
    certificate_of,
    signed_certificate,
    signed_every,
    verify_certificate,
)
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.node.block_messages import BlockCertificate, BlockShare, CertificateRequest
from honeybadger.node.rate import PerSecond
from honeybadger.protocols.context import Outbox
from honeybadger.protocols.faults import FaultKind

#: heights beyond the newest durable block for which shares are kept, and own blocks waiting for a certificate
WINDOW = 64
#: blocks come fast if they come within this time of each other, seconds
QUIET_S = 0.25
#: newest blocks for which a certificate is asked
ASK = 16
#: requests of one peer that are answered per second
ANSWERS_PER_S = 64


class Certifier:
    """Collects shares at one node. `on_certificate(height, epoch, certificate)` is called once per signed height."""

    def __init__(
        self,
        me: int,
        public_keys: PublicKeys,
        secret_keys: SecretKeys,
        store: SQLiteStore,
        outbox: Outbox,
        on_certificate: Callable[[int, int, bytes], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._me = me
        self._now = now
        self._public = public_keys.certificate
        self._secret = secret_keys.certificate
        self._store = store
        self._outbox = outbox
        self._on_certificate = on_certificate
        self._suspects: set[int] = set()
        self._answers = PerSecond(ANSWERS_PER_S, now)
        self._every = signed_every(self._public.nodes)
        self._durable = 0
        #: when it will have been quiet, monotonic seconds, and what is signed then: the newest block, if it is not yet
        self._quiet_at = 0.0
        self._waiting: Header | None = None
        #: blocks that are durable and for which there is no certificate yet, the oldest first
        self._own: dict[int, Header] = {}
        #: of those, the ones that were so at the last `ask`
        self._missing: set[int] = set()
        #: the first of each node; None if it was bad
        self._shares: dict[int, dict[int, BlockShare | None]] = {}

    def block_durable(self, header: Header) -> None:
        """This node has the block on disk: sign it now, or, if none follows it, soon."""
        now = self._now()
        was_quiet, self._quiet_at = now >= self._quiet_at, now + QUIET_S
        if was_quiet or header.height % self._every == 0:
            self.sign(header)
        else:
            self._add(header)
            self._waiting = header
            self._try(header.height)

    @property
    def rest_s(self) -> float:
        """How long nothing need be done here."""
        return math.inf if self._waiting is None else self._quiet_at - self._now()

    def poll(self) -> None:
        """Call it after `rest_s`."""
        if self._waiting is not None and self._now() >= self._quiet_at:
            self.sign(self._waiting)

    def sign(self, header: Header) -> None:
        """Tell all nodes that this one has the block on disk."""
        self._add(header)
        self._end_wait(header.height)
        share = self._sign(header)
        self._shares.setdefault(header.height, {})[self._me] = share
        self._outbox.broadcast(share)
        self._try(header.height)

    def block_certified(self, height: int) -> None:
        self._durable = max(self._durable, height)
        self._end_wait(height)
        for covered in range(height - self._every + 1, height + 1):
            # From this certificate comes theirs, but those before an `every`th one need that one's.
            if covered == height or covered % self._every:
                self._own.pop(covered, None)
                self._shares.pop(covered, None)

    def ask(self, peers: Iterable[int]) -> None:
        """Ask `peers` for what was missing at the last call already, for the latest blocks."""
        missing = [height for height in self._own if height in self._missing][-ASK:]
        self._missing = set(self._own)
        for peer in peers:
            for height in missing:
                self._outbox.send(peer, CertificateRequest(0, height))

    def handle_share(self, sender: int, share: BlockShare) -> None:
        """The first share of each node and height counts."""
        height = share.height
        if sender == self._me or (height <= self._durable and height not in self._own):
            return
        if height > self._durable + WINDOW:
            return  # We are far behind; that block will come with its certificate.
        shares = self._shares.setdefault(height, {})
        if sender not in shares:
            shares[sender] = share
            self._try(height)

    def handle_request(self, sender: int, request: CertificateRequest) -> None:
        """Send the certificate, or at least the own share, if the block is on disk here."""
        if sender == self._me or not self._answers.take(sender):
            return
        certificate = certificate_of(self._store, request.height)
        if certificate is not None:
            self._outbox.send(sender, BlockCertificate(0, request.height, certificate))
        elif (header := self._store.header(request.height)) is not None:
            self._outbox.send(sender, self._sign(header))

    def handle_certificate(self, sender: int, message: BlockCertificate) -> None:
        """A certificate that this node asked for, or may still need."""
        own = self._own.get(message.height)
        if own is None or sender in self._suspects:
            return
        if verify_certificate(self._public, own.hash, message.certificate):
            self._certified(own, message.certificate)
        else:
            self._accuse(sender, message.height)

    def _add(self, header: Header) -> None:
        self._durable = max(self._durable, header.height)
        self._own[header.height] = header
        while len(self._own) > WINDOW:
            del self._own[next(iter(self._own))]
        for old in [h for h in self._shares if h <= self._durable and h not in self._own]:
            del self._shares[old]

    def _end_wait(self, height: int) -> None:
        """The block that waits need not be signed if this one is, at the same height or above."""
        if self._waiting is not None and self._waiting.height <= height:
            self._waiting = None

    def _sign(self, header: Header) -> BlockShare:
        block_hash = header.hash
        share = self._secret.sign_share(block_statement(block_hash))
        return BlockShare(header.epoch, header.height, block_hash, share)

    def _try(self, height: int) -> None:
        own = self._own.get(height)
        if own is None:
            return
        received, block_hash = self._shares.get(height, {}), own.hash
        shares = {n: share for n, share in received.items() if share and share.block_hash == block_hash}
        if len(shares) < self._public.threshold:
            return
        proof, bad = self._public.combine(
            block_statement(block_hash), {node: share.share for node, share in shares.items()}, self._suspects
        )
        for node in sorted(bad):
            received[node] = None
            self._accuse(node, height)
        if proof is not None:
            self._certified(own, signed_certificate(proof))

    def _certified(self, own: Header, certificate: bytes) -> None:
        self.block_certified(own.height)
        self._on_certificate(own.height, own.epoch, certificate)

    def _accuse(self, node: int, height: int) -> None:
        self._suspects.add(node)
        self._outbox.fault(node, FaultKind.BAD_CERTIFICATE, f"block {height}")
