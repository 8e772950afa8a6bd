"""Writes committed blocks to disk in a worker thread, several at a time if they come faster than the disk.

A block is written only after `request`, which the node calls when the votes that led to the block are on disk. A block
that outlived the votes of its own node would be worth nothing: started again, the node could help others to decide
differently, as a faulty one can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.threadpool import ThreadPool

from honeybadger.ledger.chain import Chain


class LedgerWriter:
    """Group commit off the hub. `on_durable(height)` and `on_failure(error)` are called on the hub."""

    def __init__(
        self, chain: Chain, on_durable: Callable[[int], None], on_failure: Callable[[Exception], None]
    ) -> None:
        self._chain = chain
        self._through = chain.durable_height
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._pool = ThreadPool(1)
        self._running = False

    def request(self, *, certificates: bool = False) -> None:
        """All blocks so far (or certificates) may be written. A write that is under way looks again when it ends."""
        self._through = self._chain.height
        self._start(certificates)

    def close(self) -> None:
        """Write what may be written and stop the thread."""
        self._pool.join()
        self._chain.flush(self._through)
        self._pool.kill()

    def _start(self, certificates: bool) -> None:
        if not self._running and (certificates or self._chain.durable_height < self._through):
            self._running = True
            self._pool.spawn(self._flush).rawlink(self._finished)

    def _flush(self) -> Exception | None:
        """In the worker thread. A failure is a value: raised there, it would be printed with a traceback."""
        try:
            self._chain.flush(self._through)
        except Exception as error:
            return error
        return None

    def _finished(self, result: Any) -> None:
        self._running = False
        if result.value is not None:
            self._on_failure(result.value)
            return
        self._on_durable(self._chain.durable_height)
        self._start(False)
