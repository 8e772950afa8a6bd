"""From which batch size on what the protocol adds is small beside the payload."""

import math
from collections.abc import Sequence

from bench.measure.results import Group
from bench.show.against import BATCH_SIZE, BYTES
from bench.show.figure_data import Row
from bench.show.words import number

#: λ: a hash, bytes. Shares and proofs of the cryptography have about as many
HASH_BYTES = 32
#: the column of `overhead_rows` with what `vanishing_batch` says
VANISHING = "vanishing_batch_size"


def vanishing_batch(nodes: int, tx_bytes: float) -> float:
    """Transactions of an epoch for which payload and overhead are of the same order: λ N² log₂ N bytes (Miller et al.,
    CCS 2016, section 4.4). A node sends a proposal of B / N transactions once in N shards, and with each shard a
    Merkle branch of log₂ N hashes: N proposals have λ N² log₂ N bytes of branches for B transactions."""
    return HASH_BYTES * nodes**2 * math.log2(max(2, nodes)) / tx_bytes


def overhead_rows(groups: Sequence[Group]) -> list[Row]:
    """What a node sends for each transaction, against the batch size."""
    sizes = [group.valid[0].summary["tx_bytes"] for group in groups]
    rows = zip(BATCH_SIZE.rows(groups, BYTES), sizes, strict=True)
    return [row | {VANISHING: vanishing_batch(row["nodes"], size)} for row, size in rows]


def in_words(rows: Sequence[Row]) -> str:
    """Where the overhead of each N vanishes."""
    sizes = dict.fromkeys((row["nodes"], round(row[VANISHING])) for row in rows)
    return f"dotted: λN² log₂ N, B = {', '.join(f'{number(size)} at N = {nodes}' for nodes, size in sizes)}"
