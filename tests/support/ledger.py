"""What several ledger tests share: a chain id, small chains, and a way to damage a stored ledger by hand."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from honeybadger.ledger import Block, Chain, Header, SQLiteStore, build_block
from honeybadger.ledger.body_log import segment_path
from honeybadger.ledger.store import header_columns
from honeybadger.transactions import U64, FingerprintKey

CHAIN_ID = bytes(range(32))
OTHER_ID = bytes(range(1, 33))
#: damage to a ledger: SQL and its arguments, or what is done to the opened store
Statement = tuple[str, tuple[object, ...]] | Callable[[SQLiteStore], object]


class AllEqual(FingerprintKey):
    """Every transaction has fingerprint 0."""

    def __init__(self) -> None:
        super().__init__(bytes(16))

    def multipliers(self, count: int) -> U64:
        return np.zeros(count, np.uint64)


def committed_in(chain: Chain, asked: list[bytes]) -> dict[bytes, int]:
    """What of `asked` the chain holds, and at what height."""
    return {t: height for t, height in zip(asked, chain.committed(asked).tolist(), strict=True) if height}


def numbered(count: int, tag: str = "tx") -> list[bytes]:
    """Distinct transactions."""
    return [f"{tag}-{i}".encode() for i in range(count)]


def memory_store(chain_id: bytes = CHAIN_ID) -> SQLiteStore:
    """An empty store without a file."""
    return SQLiteStore(Path("unused"), "memory", chain_id=chain_id)


def fill(store: SQLiteStore, blocks: int, per_block: int = 20, tag: str = "tx") -> Chain:
    """Extend the chain of `store` by durable blocks whose epochs are twice their height."""
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


def put_header(height: int, header: Header) -> Statement:
    """Another header with matching columns. The forger is careful."""
    columns = header_columns(header)
    assignments = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE blocks SET header = ?, {assignments} WHERE height = ?", (header.encode(), *columns.values(), height)


def opened(path: Path) -> closing[SQLiteStore]:
    """A ledger to read, closed in the end."""
    return closing(SQLiteStore(path, read_only=True))


def put_body(height: int, body: bytes) -> Statement:
    """Another body, with the checksum that belongs to it. The forger is careful."""
    return lambda store: store.replace(Block(store.header(height), body), store.certificate(height))


def flip(height: int, at: int, count: int = 1) -> Statement:
    """The lowest bits of `count` bytes of a body, in the file that it is in."""

    def flip(store: SQLiteStore) -> None:
        segment, position = store._one("SELECT segment, body_at FROM blocks WHERE height = ?", height)
        with segment_path(store.path.parent, segment).open("r+b") as file:
            file.seek(position + at)
            data = file.read(count)
            file.seek(position + at)
            file.write(bytes(byte ^ 1 for byte in data))

    return flip


def without(*heights: int) -> list[Statement]:
    """These blocks are gone."""
    return [("DELETE FROM blocks WHERE height = ?", (height,)) for height in heights]


def moved(*steps: tuple[int, int]) -> list[Statement]:
    """Rows change their heights, from and to."""
    return [("UPDATE blocks SET height = ? WHERE height = ?", (to, of)) for of, to in steps]


def swapped_bodies(one: int, other: int) -> Statement:
    """The rows of two blocks name each other's bodies."""

    def swap(store: SQLiteStore) -> None:
        names = "segment, body_at, body_bytes, checksum"
        rows = [store._one(f"SELECT {names} FROM blocks WHERE height = ?", height) for height in (one, other)]
        for row, height in zip(rows, (other, one), strict=True):
            store._writer.execute(f"UPDATE blocks SET ({names}) = (?, ?, ?, ?) WHERE height = ?", (*row, height))

    return swap


def apply(store: SQLiteStore, *statements: Statement) -> None:
    """Change an open ledger behind its back."""
    for statement in statements:
        if callable(statement):
            statement(store)
        else:
            store._writer.execute(*statement)


def tamper(path: Path, *statements: Statement) -> None:
    """Change a closed ledger."""
    with closing(SQLiteStore(path, "os")) as store:
        apply(store, *statements)


def copied(path: Path, place: Path) -> Path:
    """A copy of a closed ledger, with its log, in another directory."""
    for part in (path, *path.parent.glob("bodies-*.seg")):
        shutil.copy(part, place)
    return place / path.name
