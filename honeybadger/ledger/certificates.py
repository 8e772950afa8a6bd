"""A block certificate: a threshold signature of the cluster on the block's hash.

f+1 nodes sign, so at least one correct node has the block, and all correct nodes have the same block at a height. So
the cluster's public keys are all that one needs to check a block.
"""

import msgspec


def block_statement(block_hash: bytes) -> bytes:
    """The bytes that a certificate signs; the hash binds chain, height, epoch, predecessor and transactions."""
    return msgspec.msgpack.encode(("block", 1, block_hash))
