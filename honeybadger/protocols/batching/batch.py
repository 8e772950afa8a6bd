"""A batch of transactions as bytes, and the node that put it together.

A batch names that node: another leader may propose it again, and the block, which names the proposer, must come out the
same at all nodes.
"""

from collections.abc import Sequence

from blake3 import blake3

from honeybadger.protocols.parameters import Parameters
from honeybadger.transactions import Transactions

#: bytes of a batch before its transactions
PROPOSER_BYTES = 4


def encode_batch(proposer: int, transactions: Sequence[bytes]) -> bytes:
    """The proposer (u32, little-endian) and the transactions in the encoding of `honeybadger.transactions`."""
    return proposer.to_bytes(PROPOSER_BYTES, "little") + Transactions.of(transactions).encode()


def batch_digest(batch: bytes) -> bytes:
    """BLAKE3, 32 bytes."""
    return blake3(batch).digest()


def decode_batch(batch: bytes, parameters: Parameters, nodes: int) -> tuple[int, Transactions] | None:
    """Proposer and transactions, which share the memory of `batch`; None for what no correct primary sends, the same at
    every node."""
    if not PROPOSER_BYTES <= len(batch) <= parameters.max_proposal_bytes:
        return None
    proposer = int.from_bytes(batch[:PROPOSER_BYTES], "little")
    try:
        transactions = Transactions.decode(memoryview(batch)[PROPOSER_BYTES:])
    except ValueError:
        return None
    if proposer >= nodes or not 1 <= len(transactions) <= parameters.batch_size:
        return None
    return (proposer, transactions) if transactions.within(1, parameters.max_tx_bytes) else None
