"""A whole node, alone in its cluster, in this process: nobody else is needed for an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent

from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.manifest import Runtime
from honeybadger.cluster.processes import free_ports
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.node.events import EventLog
from honeybadger.node.mempool import Request
from honeybadger.node.node import Node, NodeConfig
from honeybadger.protocols.parameters import Parameters


class Home:
    """Keys and data of a cluster of one node."""

    def __init__(self, data: Path) -> None:
        *address, self.http_port = free_ports(3)
        parameters = Parameters(batch_size=8, max_proposal_bytes=1 << 17)
        self._manifest, (self._keys,) = make_cluster(
            1, 0, parameters, [("127.0.0.1", *address)], Runtime(durability="os"), [self.http_port]
        )
        self.data = data
        self.events: list[tuple[str, dict[str, Any]]] = []

    def node(self, *transactions: bytes) -> Node:
        """The node, started again, with these transactions waiting."""
        log = EventLog(None)
        log.subscribe(lambda event, details: self.events.append((event, details)))
        node = Node(NodeConfig(self._manifest, self._keys, self.data, self._manifest.runtime, log, lambda line: None))
        node.mempool.add(Request(b"", 0), transactions)
        return node

    def run(self, *transactions: bytes, sabotage: Callable[[Node], None] = lambda node: None) -> None:
        """Until a block is on disk, or the node fails."""
        node = self.node(*transactions)
        sabotage(node)
        done = gevent.spawn(self._stop_when_durable, node, node.chain.height + 1)
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
        while node.chain.durable_height < height and time.monotonic() < limit:
            gevent.sleep(0.01)
        node.stop()
