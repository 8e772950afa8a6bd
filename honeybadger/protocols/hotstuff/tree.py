"""Blocks that are not committed yet, and the newest committed ones. They may branch, so a digest names each.

Each block's parent is certified, so a branch goes down to a committed block or to a block that is missing here. Along a
branch heights grow by one and views grow.
"""

from collections.abc import Iterator
from itertools import pairwise

from honeybadger.protocols.hotstuff.certificates import block_digest
from honeybadger.protocols.hotstuff.messages import Block, Quorum


class Tree:
    """`committed`: the height of the newest committed block, here or in the ledger only. `keep`: how many committed
    blocks stay for nodes that lack them."""

    def __init__(self, committed: int, keep: int) -> None:
        self.committed = committed
        self._keep = keep
        self._blocks: dict[bytes, Block] = {}

    def add(self, block: Block) -> bytes:
        """Take a block; returns its digest."""
        digest = block_digest(block)
        self._blocks[digest] = block
        return digest

    def get(self, digest: bytes) -> Block | None:
        return self._blocks.get(digest)

    def branch(self, digest: bytes) -> Iterator[Block]:
        """From this block down to the last one that is here and not committed."""
        while (block := self._blocks.get(digest)) is not None and block.height > self.committed:
            yield block
            digest = block.parent

    def missing(self, certified: Quorum) -> bytes | None:
        """The highest block at or below a certified one that is neither committed nor here."""
        digest, height = certified.block, certified.height
        for block in self.branch(digest):
            digest, height = block.parent, block.height - 1
        return digest if height > self.committed else None

    def committable(self, certified: Quorum, links: int) -> list[Block]:
        """What the certified block commits, the lowest first: the newest of its ancestors from which `links` direct
        children in consecutive views lead up to a certified block, and all below that. Empty if none does."""
        branch = list(self.branch(certified.block))
        if not branch or branch[-1].height != self.committed + 1:
            return []
        for top in range(len(branch) - links):
            part = branch[top : top + links + 1]
            if all(child.parent_view == child.view - 1 == parent.view for child, parent in pairwise(part)):
                return branch[top + links :][::-1]
        return []

    def move(self, committed: int) -> None:
        """Blocks up to this height are committed. Those of other branches go with the old ones."""
        self.committed = committed
        lowest = committed - self._keep
        self._blocks = {digest: block for digest, block in self._blocks.items() if block.height > lowest}

    def held_bytes(self) -> dict[int, int]:
        """By height."""
        held: dict[int, int] = {}
        for block in self._blocks.values():
            held[block.height] = held.get(block.height, 0) + len(block.batch)
        return held
