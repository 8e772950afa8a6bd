"""Blocks and proofs for the watcher. `honeybadger.client` reads them: they are committed, whoever served them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from honeybadger.client.blocks import CommittedBlock, CommittedHeader
from honeybadger.client.cluster import Cluster
from honeybadger.client.evidence import Evidence
from honeybadger.cluster.manifest import Manifest

#: most transactions of a page, and bytes of them after which it ends
MOST_LISTED = 1000
LISTED_BYTES = 512 * 1024
#: larger bodies are not opened here, bytes
LARGEST_BODY = 64 * 1024 * 1024
#: a body up to this size is kept for the next reader, bytes
KEPT_BODY = 8 * 1024 * 1024
#: certified headers that are kept
KEPT_HEADERS = 1000
#: pause before each question, so that no crowd of readers can keep the nodes busy, seconds
PAUSE_S = 0.01
#: how long a node may take for an answer, and all of them together, seconds
PATIENCE_S = 2.0
READ_S = 5.0

A = TypeVar("A")
T = TypeVar("T")


class BlockFinder:
    """Asks the nodes one question at a time, in a thread; at most one block is opened while one is kept."""

    def __init__(self, manifest: Manifest, curve: bool) -> None:
        self._open = partial(Cluster, manifest, curve=curve, patience_s=PATIENCE_S, most_block_bytes=LARGEST_BODY)
        self._cluster = self._open()
        self._faults = manifest.quorums.faults
        self._thread = ThreadPoolExecutor(1)
        self._headers: dict[int, CommittedHeader] = {}
        self._kept: CommittedBlock | None = None

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)
        self._cluster.close()

    async def page(self, height: int, first: int, limit: int) -> dict[str, Any] | None:
        """The block at `height` and `limit` of its transactions from position `first` on; None if it is not there.

        `TooLarge` if transactions are asked for and it is; `ClientError` if the nodes do not serve them.
        """
        committed = self._headers.get(height) or await self._in_turn(self._header, height)
        if committed is None:
            return None
        header = committed.header
        page = {
            "height": height,
            "epoch": header.epoch,
            "hash": header.hash.hex(),
            "previous": header.previous.hex(),
            "tx_root": header.tx_root.hex(),
            "tx_count": header.tx_count,
            "tx_bytes": header.tx_bytes,
            "proposers": header.proposers,
            "certified": bool(committed.certificate),
            "confirmed_by": committed.nodes,
            "from": first,
            "transactions": [],
            "next": None,
        }
        if limit and first < header.tx_count:
            block = self._kept_at(height)
            if block is None:
                block = await self._in_turn(self._block, height)
            page["transactions"] = listed = _listed(block.transactions[first : first + limit])
            following = first + len(listed)
            page["next"] = following if following < header.tx_count else None
        return page

    async def proof(self, transaction: bytes) -> dict[str, object] | None:
        """A Merkle proof of a transaction, as `ledger check-proof` reads it; None if f+1 nodes say that it is not
        committed. Errors as of `page`."""
        return await self._in_turn(self._prove, transaction)

    # In the thread. While a question waited for its turn, another may have got its answer.

    def _header(self, height: int) -> CommittedHeader | None:
        committed = self._headers.get(height) or self._nodes().header(height, READ_S)
        if committed is not None and committed.certificate:
            self._headers[height] = committed
            if len(self._headers) > KEPT_HEADERS:
                del self._headers[next(iter(self._headers))]
        return committed

    def _prove(self, transaction: bytes) -> dict[str, object] | None:
        block = self._kept
        if block is None or transaction not in block.transactions:
            block = self._nodes().find(transaction, READ_S)
        return None if block is None else Evidence.of(self._keep(block), transaction).proof.to_dict()

    def _block(self, height: int) -> CommittedBlock:
        return self._kept_at(height) or self._keep(self._nodes().block(height, READ_S))

    def _kept_at(self, height: int) -> CommittedBlock | None:
        return kept if (kept := self._kept) is not None and kept.height == height else None

    def _keep(self, block: CommittedBlock) -> CommittedBlock:
        self._kept = block if len(block.body) <= KEPT_BODY else None
        return block

    def _nodes(self) -> Cluster:
        """For one question, after a pause."""
        time.sleep(PAUSE_S)
        if len(self._cluster.liars) > self._faults:
            # Not all of them lie; some disks are damaged, say. Too few nodes would be left.
            self._cluster.close()
            self._cluster = self._open()
        return self._cluster

    async def _in_turn(self, work: Callable[[A], T], about: A) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, about)


def _listed(transactions: Sequence[bytes]) -> list[str]:
    """In hexadecimal, and no more than fits into a page; at least one."""
    listed: list[str] = []
    size = 0
    for transaction in transactions:
        size += len(transaction)
        if listed and size > LISTED_BYTES:
            break
        listed.append(transaction.hex())
    return listed
