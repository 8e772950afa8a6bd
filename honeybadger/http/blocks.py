"""Reads the ledger for HTTP clients, in a thread: a large block takes tens of milliseconds, which consensus must not
wait for. One reader at a time, so at most one block is in memory beside the one that is kept: who reads a block page by
page opens it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from honeybadger.http.budget import CpuShare
from honeybadger.ledger.block import Block, Header
from honeybadger.ledger.proof import build_proof
from honeybadger.ledger.store import BlockStore

T = TypeVar("T")
#: transactions of a page, at the most, and bytes of them after which it ends
MOST_LISTED = 1000
LISTED_BYTES = 512 * 1024
#: larger bodies are not opened here, bytes
LARGEST_BODY = 64 * 1024 * 1024


#: a body up to this is kept for the next reader, bytes
KEPT_BODY = 8 * 1024 * 1024
#: who has not had its turn after this is told so, seconds
PATIENCE_S = 5.0


class Busy(Exception):
    """Others are reading blocks, and their share of the processor is used up."""


class TooLarge(Exception):
    """The block's body is over `LARGEST_BODY`."""


class BlockReader:
    """See the module. `budget` pays for the thread's processor time; `address`: of the client, which waits its turn."""

    def __init__(self, store: BlockStore, budget: CpuShare) -> None:
        self._store = store
        self._budget = budget
        self._pool = ThreadPool(1)
        self._kept: tuple[Block, list[bytes]] | None = None

    def close(self) -> None:
        """Wait for what is being read, and stop the thread."""
        self._pool.join()
        self._pool.kill()

    def page(self, height: int, first: int, limit: int, address: str) -> dict[str, Any] | None:
        """The block at `height` and `limit` of its transactions from position `first` on; None if there is none.

        LedgerError if it is damaged, TooLarge if transactions are asked for and it is, Busy if others read too much.
        """
        header = self._store.header(height)
        if header is None:
            return None
        page: dict[str, Any] = {
            **_plain(header),
            "certified": self._store.certificate(height) is not None,
            "from": first,
            "transactions": [],
            "next": None,
        }
        if not limit or first >= header.tx_count:
            return page
        transactions = self._opened(header, address)[1][first : first + limit]
        size = 0
        for transaction in transactions:
            size += len(transaction)
            if page["transactions"] and size > LISTED_BYTES:
                break
            page["transactions"].append(transaction.hex())
        following = first + len(page["transactions"])
        page["next"] = following if following < header.tx_count else None
        return page

    def proof(self, height: int, transaction: bytes, address: str) -> dict[str, Any] | None:
        """What `honeybadger ledger check-proof` reads; None if the block does not hold the transaction. As `page`."""
        header = self._store.header(height)
        if header is None:
            return None

        def build() -> dict[str, Any] | None:
            if transaction not in transactions:
                return None
            return build_proof(block, transactions.index(transaction)).to_dict()

        block, transactions = self._opened(header, address)
        return self._in_thread(build, address)

    def _opened(self, header: Header, address: str) -> tuple[Block, list[bytes]]:
        """The block and its transactions, perhaps from the last time."""
        size = header.tx_bytes + 5 * header.tx_count
        if size > LARGEST_BODY:
            raise TooLarge
        kept = self._kept
        if kept is not None and kept[0].header.hash == header.hash:
            return kept

        def open_() -> tuple[Block, list[bytes]]:
            block = self._store.block(header.height) or Block(header, b"")
            return block, list(block.transactions())

        found = self._in_thread(open_, address)
        if size <= KEPT_BODY:
            self._kept = found
        return found

    def _in_thread(self, work: Callable[[], T], address: str) -> T:
        """The result of `work`, or its exception, in the thread; others run meanwhile."""

        def measured() -> tuple[float, T | None, Exception | None]:
            began = time.thread_time()
            try:
                result, failure = work(), None
            except Exception as error:
                # Raised here, it would be printed with a traceback; raised there, it is an answer.
                result, failure = None, error
            return time.thread_time() - began, result, failure

        with gevent.Timeout(PATIENCE_S, Busy):
            self._budget.wait(address)
        cpu_s, result, failure = self._pool.apply(measured)
        self._budget.charge(cpu_s)
        if failure is not None:
            raise failure
        return result  # type: ignore[no-any-return]


def _plain(header: Header) -> dict[str, Any]:
    return {
        "height": header.height,
        "epoch": header.epoch,
        "hash": header.hash.hex(),
        "previous": header.previous.hex(),
        "tx_root": header.tx_root.hex(),
        "tx_count": header.tx_count,
        "tx_bytes": header.tx_bytes,
        "proposers": list(header.proposers),
    }
