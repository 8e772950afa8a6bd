"""Merkle tree over the shards of a broadcast, hashed with BLAKE3.

Guarantee: under one root and one number of leaves, there is one leaf for each index that anybody can find a
branch for. Leaves, inner nodes and the filling up to a power of two are hashed under different first bytes,
so no node passes for a leaf (RFC 9162, section 2.1.1, has the first two); and a leaf binds the number of
leaves, its own index and its length, so no branch of another tree or place fits. A branch has exactly
depth(total) siblings, the lowest first.
"""

from collections.abc import Iterable, Sequence

from blake3 import blake3

from crypto.errors import CryptoError

DIGEST_LENGTH = 32
_LEAF, _NODE, _FILLING = b"\0", b"\1", b"\2"


def depth(total: int) -> int:
    """Levels above the leaves of a tree with `total` leaves: ceil(log2(total))."""
    if total < 1:
        raise CryptoError("a tree has at least one leaf")
    return (total - 1).bit_length()


def leaf_digest(total: int, index: int, leaf: bytes) -> bytes:
    """The digest (32 bytes) of leaf `index` of `total`. Its cost is that of hashing the leaf once."""
    header = _LEAF + total.to_bytes(4, "big") + index.to_bytes(4, "big") + len(leaf).to_bytes(8, "big")
    return blake3(header).update(leaf).digest()


def verify_branch(root: bytes, total: int, index: int, leaf: bytes, branch: bytes) -> bool:
    """Whether `leaf` is leaf `index` of the tree with this root and `total` leaves (total > 0)."""
    # The cheap conditions come first: a wrong branch length must not cost a hash of the leaf.
    if not 0 <= index < total or len(branch) != DIGEST_LENGTH * depth(total):
        return False
    return verify_digest(root, total, index, leaf_digest(total, index, leaf), branch)


def verify_digest(root: bytes, total: int, index: int, digest: bytes, branch: bytes) -> bool:
    """As `verify_branch`, for a digest that the caller has from `leaf_digest(total, index, leaf)`."""
    if not 0 <= index < total or len(branch) != DIGEST_LENGTH * depth(total):
        return False
    for start in range(0, len(branch), DIGEST_LENGTH):
        sibling = branch[start : start + DIGEST_LENGTH]
        digest = _parent(sibling, digest) if index & 1 else _parent(digest, sibling)
        index >>= 1
    return digest == root


class MerkleTree:
    """The tree over some leaves (at least one, else CryptoError)."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        total = len(leaves)
        self._build(total, (leaf_digest(total, index, leaf) for index, leaf in enumerate(leaves)))

    @classmethod
    def from_digests(cls, total: int, digests: Sequence[bytes]) -> "MerkleTree":
        """The tree over leaves with these digests, all of them, in order.

        Each must be `leaf_digest` of the very leaf meant: a digest kept from a verified shard stands for a
        recomputed shard only if the two shards are equal. CryptoError for a wrong number or length.
        """
        if len(digests) != total or any(len(digest) != DIGEST_LENGTH for digest in digests):
            raise CryptoError(f"{total} digests of {DIGEST_LENGTH} bytes are needed")
        tree = cls.__new__(cls)
        tree._build(total, digests)
        return tree

    def _build(self, total: int, digests: Iterable[bytes]) -> None:
        self.total = total
        self._rows = [[*digests, *[_FILLING_DIGEST] * ((1 << depth(total)) - total)]]
        while len(row := self._rows[-1]) > 1:
            self._rows.append(list(map(_parent, row[::2], row[1::2])))

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._rows[-1][0]

    def branch(self, index: int) -> bytes:
        """The siblings from leaf `index` up, 32 bytes each, lowest first. CryptoError for a wrong index."""
        if not 0 <= index < self.total:
            raise CryptoError(f"there is no leaf {index} among {self.total}")
        return b"".join(row[(index >> level) ^ 1] for level, row in enumerate(self._rows[:-1]))


def _parent(left: bytes, right: bytes) -> bytes:
    return blake3(_NODE + left + right).digest()


_FILLING_DIGEST = blake3(_FILLING).digest()
