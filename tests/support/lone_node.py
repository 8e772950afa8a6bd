"""A whole node in this process, alone in its cluster: nobody else is needed for an epoch."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent

from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.manifest import Durability, Runtime
from honeybadger.cluster.processes import free_ports
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.node.assembly import NodeConfig
from honeybadger.node.events import EventLog
from honeybadger.node.mempool import Request
from honeybadger.node.node import Node
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.wiring.running_node import build_node


class Home:
    """Keys and data of the first of `nodes`, of which the others are never there."""

    def __init__(
        self, data: Path, durability: Durability = "os", byzantine: str = "", nodes: int = 1, curve: bool = True
    ) -> None:
        ports = free_ports(2 * nodes)
        addresses = [("127.0.0.1", *ports[2 * i : 2 * i + 2]) for i in range(nodes)]
        parameters = HoneyBadgerParameters(batch_size=8, max_proposal_bytes=1 << 17)
        self.manifest, (self._keys, *_) = make_cluster(
            nodes, 0, parameters, addresses, Runtime(durability=durability, curve=curve)
        )
        self.data, self._byzantine = data, byzantine
        self.events: list[tuple[str, dict[str, Any]]] = []

    def node(self, *transactions: bytes) -> Node:
        """The node, started again, with these transactions waiting."""
        log = EventLog(None)
        log.subscribe(lambda event, details: self.events.append((event, details)))
        runtime = self.manifest.runtime
        node = build_node(
            NodeConfig(self.manifest, self._keys, self.data, runtime, log, lambda line: None, self._byzantine)
        )
        node.core.mempool.add(Request(b"", 0), transactions)
        return node

    def run(self, *transactions: bytes, sabotage: Callable[[Node], None] = lambda node: None) -> None:
        """Until a block is on disk, or the node fails."""
        node = self.node(*transactions)
        sabotage(node)
        done = gevent.spawn(self._stop_when_durable, node, node.core.chain.height + 1)
        try:
            node.run()
        finally:
            done.kill()

    def blocks(self) -> list[list[bytes]]:
        store = SQLiteStore(self.data / "ledger.sqlite", read_only=True)
        try:
            return [block.transactions() for block in store.iter_blocks()]
        finally:
            store.close()

    @staticmethod
    def _stop_when_durable(node: Node, height: int) -> None:
        limit = time.monotonic() + 20
        while node.core.chain.durable_height < height and time.monotonic() < limit:
            gevent.sleep(0.01)
        node.stop()
