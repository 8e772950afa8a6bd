"""The ledger writer of a simulated node: in place of a thread, work of its own on a processor of the host, and a wait
for the disk."""

from honeybadger.ledger.chain import Chain
from honeybadger.ledger.errors import LedgerError
from honeybadger.node.application import NodeApplication
from honeybadger.node.node import Node
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.simulation.virtual_time.table import Node as Prices


class VirtualWriter:
    """Implements `Writer`. Several blocks are written at a time if they come faster than the disk."""

    def __init__(
        self,
        chain: Chain,
        application: NodeApplication,
        node: Node,
        clock: Clock,
        host: Processors,
        meter: Meter,
        prices: Prices,
        payload: Payload,
    ) -> None:
        self._chain = chain
        self._application = application
        self._node = node
        self._clock = clock
        self._host = host
        self._meter = meter
        self._prices = prices
        self._payload = payload
        #: blocks up to this height may be written; and when the votes of the tick in progress are on the disk
        self._through = self._next_through = chain.durable_height
        self._certificates = self._running = self._written_some = self._closed = False
        self._failure: LedgerError | None = None

    def votes_synced(self) -> None:
        """So it is when the tick's time has passed: then `leave` is called."""
        self._next_through = self._chain.height

    def write_certificates(self) -> None:
        self._certificates = self._chain.certificates_wait

    def leave(self) -> None:
        """The votes of the tick are on the disk now."""
        self._through = self._next_through
        self._start()

    def tell(self) -> None:
        """In a tick: say what was written since the last one."""
        if self._failure is not None:
            self._node.fail(f"ledger: {self._failure}")
        elif self._written_some:
            self._written_some = False
            self._node.blocks_durable(self._chain.durable_height)

    def close(self) -> None:
        """What is on its way to the disk is not written any more; certificates of what is there are."""
        self.die()
        self._chain.flush(self._chain.durable_height)
        self._chain.close()

    def die(self) -> None:
        """Nothing is written any more."""
        self._closed = True

    def _start(self) -> None:
        wanted = self._certificates or self._chain.durable_height < self._through
        if self._running or self._closed or not wanted:
            return
        self._running, self._certificates, through = True, False, self._through
        size = sum(b.header.tx_bytes for b in self._application.pending if b.header.height <= through)
        cost = self._prices.ledger.of(self._payload.transaction_bytes(size))
        self._meter.total += cost
        self._host.run(lambda: cost, lambda: self._clock.after(self._prices.sync, lambda: self._written(through)))

    def _written(self, through: int) -> None:
        if self._closed:
            return
        self._running = False
        try:
            self._chain.flush(through)
            self._chain.tidy()
        except LedgerError as error:
            self._failure = error
        self._written_some = True
        self._start()
        self._node.wake.set()
