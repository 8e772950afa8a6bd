"""Writes committed blocks to disk in a worker thread, several at a time if they come faster than the disk.

What may become durable is decided in one place, `votes_synced`, which the main loop calls when the votes of its tick
are on disk. A block that outlived the votes of its own node would be worse than none: started again, the node could
help others to decide differently, as a faulty one can, and hold a block that nobody else has.
"""

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
        #: blocks up to this height may be written
        self._through = chain.durable_height
        self._on_durable = on_durable
        self._on_failure = on_failure
        # Merging the history can take a second, which no block should wait for.
        self._pool = ThreadPool(2)
        self._running = False
        self._tidying = False
        self._failed = False

    def votes_synced(self) -> None:
        """The votes that led to the blocks so far are on disk: the blocks may follow."""
        self._through = self._chain.height
        if self._chain.durable_height < self._through:
            self._start()

    def write_certificates(self) -> None:
        """Those of blocks that are on disk need not wait for the next block."""
        self._start()

    def close(self) -> None:
        """Write what may be written and stop the thread; does not try again what has failed."""
        self._pool.join()
        if not self._failed:
            self._finish(self._flush())
        if not self._failed:
            self._chain.close()
        self._pool.kill()

    def _start(self) -> None:
        if not self._running:
            self._running = True
            self._pool.spawn(self._flush).rawlink(self._finished)

    def _flush(self) -> Exception | None:
        """In the worker thread. A failure is a value: raised there, it would be printed with a traceback."""
        try:
            self._chain.flush(self._through)
        except Exception as error:
            return error
        return None

    def _tidy(self) -> Exception | None:
        """In a worker thread, beside `_flush`."""
        try:
            self._chain.tidy()
        except Exception as error:
            return error
        return None

    def _tidied(self, result: Any) -> None:
        self._tidying = False
        if result.value is not None:
            self._finish(result.value)

    def _finished(self, result: Any) -> None:
        self._running = False
        self._finish(result.value)
        if not self._failed and not self._tidying:
            self._tidying = True
            self._pool.spawn(self._tidy).rawlink(self._tidied)
        if not self._failed and self._chain.durable_height < self._through:
            self._start()

    def _finish(self, error: Exception | None) -> None:
        if error is None:
            self._on_durable(self._chain.durable_height)
        else:
            self._failed = True
            self._on_failure(error)
