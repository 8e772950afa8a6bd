"""What several ledger tests share: a chain id, small chains, and a way to damage a stored ledger by hand."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from honeybadger.ledger import Block, Chain, SQLiteStore, build_block

CHAIN_ID = bytes(range(32))
OTHER_ID = bytes(range(1, 33))


def numbered(count: int, tag: str = "tx") -> list[bytes]:
    """Distinct transactions."""
    return [f"{tag}-{i}".encode() for i in range(count)]


def memory_store(chain_id: bytes = CHAIN_ID) -> SQLiteStore:
    """An empty store without a file."""
    return SQLiteStore(Path("unused"), "memory", chain_id=chain_id)


def fill(store: SQLiteStore, blocks: int, per_block: int = 20, tag: str = "tx") -> Chain:
    """Extend the chain of ``store`` by durable blocks whose epochs are twice their height."""
    chain = Chain(store, store.chain_id)
    for _ in range(blocks):
        height = chain.height + 1
        transactions = numbered(per_block, f"{tag}-{height}")
        chain.extend(2 * height, [(0, transactions[: per_block // 2]), (3, transactions[per_block // 2 :])])
    chain.flush()
    return chain


def chain_of_blocks(contents: list[list[bytes]], chain_id: bytes = CHAIN_ID) -> list[Block]:
    """Blocks linked by hand: what a chain would refuse to build can be built here."""
    blocks: list[Block] = []
    previous = chain_id
    for height, transactions in enumerate(contents, 1):
        blocks.append(build_block(chain_id, previous, height, height, (0, 1), transactions))
        previous = blocks[-1].header.hash
    return blocks


def tamper(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Change a closed ledger behind the store's back."""
    connection = sqlite3.connect(path)
    with connection:
        for sql, arguments in statements:
            connection.execute(sql, arguments)
    connection.close()
