"""Makes block certificates: f+1 nodes state, by threshold signature, that a block is on their disks.

f+1 contain a correct node, and correct nodes have the same block at a height, so one certificate proves the block to
anybody who knows the cluster's public keys. The statement is signed with a key set of its own, apart from coins.

Source: the threshold-signed blocks of erlang-hbbft; PROTOCOLS: quorum f+1 because the subset is agreed already.
"""

from __future__ import annotations

from collections.abc import Callable

from crypto.dealer import PublicKeys, SecretKeys
from honeybadger.ledger.certificates import block_statement
from honeybadger.node.block_messages import BlockShare
from honeybadger.protocols.base import FaultKind, Outbox

#: heights beyond (and below) the newest durable block for which shares are kept
WINDOW = 64


class Certifier:
    """Collects shares at one node. `on_certificate(height, certificate)` is called once per height."""

    def __init__(
        self,
        me: int,
        public_keys: PublicKeys,
        secret_keys: SecretKeys,
        outbox: Outbox,
        on_certificate: Callable[[int, bytes], None],
    ) -> None:
        self._me = me
        self._public = public_keys.certificate
        self._secret = secret_keys.certificate
        self._outbox = outbox
        self._on_certificate = on_certificate
        self._suspects: set[int] = set()
        self._durable = 0
        #: durable and not yet certified
        self._hashes: dict[int, bytes] = {}
        #: the first of each node; None if it was bad
        self._shares: dict[int, dict[int, BlockShare | None]] = {}

    def block_durable(self, height: int, epoch: int, block_hash: bytes) -> None:
        """This node has the block on disk: say so."""
        self._durable = max(self._durable, height)
        share = BlockShare(epoch, height, block_hash, self._secret.sign_share(block_statement(block_hash)))
        self._hashes[height] = block_hash
        self._shares.setdefault(height, {})[self._me] = share
        for old in [h for h in self._shares if h <= self._durable - WINDOW]:
            self._shares.pop(old)
            self._hashes.pop(old, None)
        self._outbox.broadcast(share)
        self._try(height)

    def block_certified(self, height: int) -> None:
        """The block came with its certificate."""
        self._durable = max(self._durable, height)
        self._shares.pop(height, None)
        self._hashes.pop(height, None)

    def handle_share(self, sender: int, share: BlockShare) -> None:
        """The first share of each node and height counts."""
        height = share.height
        if sender == self._me or (height <= self._durable and height not in self._hashes):
            return
        if height > self._durable + WINDOW:
            # We are far behind; that block will come with its certificate.
            return
        shares = self._shares.setdefault(height, {})
        if sender not in shares:
            shares[sender] = share
            self._try(height)

    def _try(self, height: int) -> None:
        block_hash = self._hashes.get(height)
        if block_hash is None:
            return
        shares = {n: share for n, share in self._shares[height].items() if share and share.block_hash == block_hash}
        if len(shares) < self._public.threshold:
            return
        signature, bad = self._public.combine(
            block_statement(block_hash), {node: share.share for node, share in shares.items()}, self._suspects
        )
        for node in sorted(bad):
            self._shares[height][node] = None
            self._suspects.add(node)
            self._outbox.fault(node, FaultKind.BAD_CERTIFICATE, f"share for block {height}")
        if signature is not None:
            self.block_certified(height)
            self._on_certificate(height, signature)
