"""Parts of a real node with a price on what they do."""

from collections.abc import Callable, Sequence

from honeybadger.ledger.chain import Chain
from honeybadger.node.application import NodeApplication, Submission
from honeybadger.node.core import Core
from honeybadger.node.journal import Journal
from honeybadger.node.mempool import Mempool, Request
from honeybadger.node.recovery import Recovery
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.wire import Message
from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import Node
from honeybadger.transactions import Transactions


class ChargedApplication(NodeApplication):
    """Charges `meter` for what it does."""

    def __init__(
        self,
        meter: Meter,
        table: Node,
        payload: Payload,
        nodes: int,
        parameters: Parameters,
        mempool: Mempool,
        chain: Chain,
        silent: Callable[[], bool],
        randbytes: Callable[[int], bytes],
    ) -> None:
        super().__init__(nodes, parameters, mempool, chain, silent, randbytes)
        self._meter = meter
        self._table = table
        self._payload = payload

    def commit(self, epoch: int, contributions: Sequence[tuple[int, Transactions]]) -> None:
        count = self._payload.transactions(sum(len(part) for _, part in contributions))
        size = self._payload.transaction_bytes(sum(int(part.lengths.sum()) for _, part in contributions))
        table = self._table
        self._meter.work(table.block + count * table.commit + size * table.commit_byte)
        super().commit(epoch, contributions)

    def submit(self, request: Request, transactions: Sequence[bytes]) -> Submission:
        self._meter.work(self._table.submit.of(self._payload.transactions(len(transactions))))
        return super().submit(request, transactions)


class ChargedRecovery(Recovery):
    """Charges `meter` for every message, those to the node itself included."""

    def __init__(self, meter: Meter, table: Node, core: Core, now: Callable[[], float]) -> None:
        super().__init__(core, now)
        self._meter = meter
        self._price = table.message

    def handle(self, sender: int, message: Message) -> None:
        self._meter.work(self._price)
        super().handle(sender, message)


class WatchedJournal(Journal):
    """Says whether a tick has to wait for the disk."""

    waits = False

    def sync(self) -> None:
        self.waits = self.waits or self.unsynced
        super().sync()

    def take_wait(self) -> bool:
        """Whether anything was written since the last call."""
        waits, self.waits = self.waits, False
        return waits
