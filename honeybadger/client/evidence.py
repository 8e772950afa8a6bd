"""Evidence that a transaction is committed, for somebody who has nothing but the cluster's manifest."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from honeybadger.client.blocks import CommittedBlock
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger.block import Header
from honeybadger.ledger.certificates import verify_certificate
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.proof import Proof, build_proof, verify_proof


@dataclass(frozen=True, slots=True)
class Evidence:
    """A Merkle proof and the certificate of its block (empty in a cluster that does not certify blocks)."""

    proof: Proof
    certificate: bytes

    @staticmethod
    def of(block: CommittedBlock, transaction: bytes) -> Evidence:
        """For a transaction of the block; ValueError if it is not there."""
        return Evidence(build_proof(block.block, block.transactions.index(transaction)), block.certificate)

    @property
    def height(self) -> int:
        """The block that holds the transaction."""
        return self.proof.height

    @property
    def block_hash(self) -> bytes:
        """Its hash, 32 bytes."""
        return sha256(self.proof.header).digest()

    def check(self, manifest: Manifest, transaction: bytes) -> bool:
        """Whether this proves that the manifest's cluster committed the transaction. Asks nobody and never raises."""
        try:
            header = Header.decode(self.proof.header)
        except LedgerError:
            return False
        return (
            header.chain_id == manifest.chain_id
            and verify_certificate(manifest.public_keys.certificate, self.block_hash, self.certificate)
            and verify_proof(self.proof, transaction, self.block_hash)
        )
