"""What a block certificate is: a threshold signature of the cluster on the block's hash.

f+1 nodes sign, so at least one correct node has the block, and correct nodes have the same block at a height: whoever
holds the cluster's public keys can check a block without asking anybody.
"""

from __future__ import annotations

import msgspec


def block_statement(block_hash: bytes) -> bytes:
    """What a certificate signs; the hash binds chain, height, epoch, predecessor and transactions."""
    return msgspec.msgpack.encode(("block", 1, block_hash))
