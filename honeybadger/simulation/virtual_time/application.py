"""The real mempool and chain of a simulated node: what a real one draws at random is seeded, and work has its price."""

from collections.abc import Callable, Sequence

from honeybadger.ledger.chain import Chain
from honeybadger.node.application import NodeApplication, Submission
from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.parameters import Parameters
from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import Node
from honeybadger.transactions import FingerprintKey, Transactions


class SeededMempool(Mempool):
    """A mempool whose choice is that of `randbytes`."""

    def __init__(self, most: tuple[int, int, int], key: FingerprintKey, randbytes: Callable[[int], bytes]) -> None:
        """`most`: transactions, bytes, bytes of one transaction."""
        super().__init__(*most, key)
        self._randbytes = randbytes

    def select(
        self, epoch: int, first: int, count: int, max_bytes: int, randbytes: Callable[[int], bytes] | None = None
    ) -> Transactions:
        return super().select(epoch, first, count, max_bytes, randbytes or self._randbytes)


class ChargedApplication(NodeApplication):
    """A real node's, which charges `meter` for what it does."""

    def __init__(
        self,
        nodes: int,
        parameters: Parameters,
        mempool: Mempool,
        chain: Chain,
        meter: Meter,
        table: Node,
        payload: Payload,
    ) -> None:
        super().__init__(nodes, parameters, mempool, chain)
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
