"""Inclusion proofs: this transaction stands at this position of the block with this hash.

Guarantee: `verify_proof(proof, transaction, block_hash)` is true only if the header with that hash
commits to `transaction` at `proof.position` (unless SHA-256 is broken). A verifier needs nothing but a block hash that
it trusts: the proof carries the header. The group and the sibling path must have exactly the lengths that follow from
the header's transaction count. The tree is that of `merkle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated

import msgspec

from honeybadger.ledger.block import Block, Count, Digest, Header, Height
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.merkle import GROUP, leaf_hash, leaves, node_hash, parents, root_hash


class Proof(msgspec.Struct, frozen=True):
    """Evidence for the transaction at `position` (from 0) of the block at `height`.

    `group` holds the transactions of its leaf, `path` the sibling hashes from the leaf upwards (levels
    where the node is promoted have none), `header` the header bytes.
    """

    height: int
    position: int
    group: tuple[bytes, ...]
    path: tuple[bytes, ...]
    header: bytes

    def check(self, transaction: bytes, header: Header) -> bool:
        """True if this proves `transaction` in the block of `header`, which the caller trusts."""
        if self.header != header.encode() or self.height != header.height:
            return False
        if not 0 <= self.position < header.tx_count:
            return False
        index, within = divmod(self.position, GROUP)
        if len(self.group) != min(GROUP, header.tx_count - index * GROUP) or self.group[within] != transaction:
            return False
        siblings = iter(self.path)
        digest = leaf_hash(index, self.group)
        width = -(-header.tx_count // GROUP)
        while width > 1:
            if index % 2 or index + 1 < width:  # otherwise the odd last node, promoted without a sibling
                sibling = next(siblings, b"")
                if len(sibling) != 32:
                    return False
                digest = node_hash(sibling, digest) if index % 2 else node_hash(digest, sibling)
            index, width = index // 2, (width + 1) // 2
        return next(siblings, None) is None and root_hash(header.tx_count, digest) == header.tx_root

    def to_dict(self) -> dict[str, object]:
        """The proof as JSON-able values, bytes as lower-case hex."""
        return {
            "height": self.height,
            "position": self.position,
            "group": [t.hex() for t in self.group],
            "path": [h.hex() for h in self.path],
            "header": self.header.hex(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Proof:
        """Read what `to_dict` wrote; raises `LedgerError` for missing, extra or ill-typed fields."""
        try:
            raw = msgspec.convert(data, _JSONProof)
        except msgspec.ValidationError as error:
            raise LedgerError(f"proof cannot be read: {printable(error)}") from None
        group, path = (tuple(map(bytes.fromhex, texts)) for texts in (raw.group, raw.path))
        return cls(raw.height, raw.position, group, path, bytes.fromhex(raw.header))


# Lower-case pairs only: `fromhex` also takes blanks and capitals, but a proof has one form.
_Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})*\Z")]
_HexDigest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _JSONProof(msgspec.Struct, forbid_unknown_fields=True):
    height: Height
    position: Count
    group: Annotated[list[_Hex], msgspec.Meta(min_length=1, max_length=GROUP)]
    path: Annotated[list[_HexDigest], msgspec.Meta(max_length=64)]
    header: _Hex


def build_proof(block: Block, position: int) -> Proof:
    """Build the proof for the transaction at `position`; raises `IndexError` when there is none.

    Decodes the body and hashes the whole tree: about 11 ms for 40,000 transactions.
    """
    transactions = block.transactions()
    if not 0 <= position < len(transactions):
        raise IndexError(f"block {block.header.height} has no transaction at position {position}")
    index = position // GROUP
    group = tuple(transactions[index * GROUP : (index + 1) * GROUP])
    path: list[bytes] = []
    level = leaves(transactions)
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level, index = parents(level), index // 2
    return Proof(block.header.height, position, group, tuple(path), block.header.encode())


def verify_proof(proof: Proof, transaction: bytes, block_hash: Digest) -> bool:
    """True if `proof` shows `transaction` in the block whose hash is `block_hash`; never raises."""
    if sha256(proof.header).digest() != block_hash:
        return False
    try:
        header = Header.decode(proof.header)
    except LedgerError:
        return False
    return proof.check(transaction, header)
