"""Wires a node's HTTP port: server, application, metrics, and the view of the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from honeybadger.cluster.manifest import Manifest
from honeybadger.http import api
from honeybadger.http.blocks import BlockReader
from honeybadger.http.budget import CpuShare
from honeybadger.http.cluster_view import ClusterView
from honeybadger.http.metrics import Metrics, Sources
from honeybadger.http.quick import Kept
from honeybadger.http.server import HttpServer
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.store import BlockStore
from honeybadger.network.faulty_transport import PeerTransport
from honeybadger.node.application import NodeApplication, Submission
from honeybadger.node.mempool import Mempool, Request
from honeybadger.node.observed import Observed
from honeybadger.node.peers import Peers
from honeybadger.node.reactor import Reactor
from honeybadger.protocols.base import ConsensusProtocol

#: requests of HTTP clients in the mempool: nobody is told what becomes of them
NOBODY = b""
#: of what HTTP clients may take of the processor, for opening blocks: a few dear ones must not hold up the cheap ones
BLOCKS_PART = 0.4


@dataclass(frozen=True)
class HttpParts:
    """The parts of a node that its HTTP port shows. `wake()`: there is something to propose."""

    me: int
    manifest: Manifest
    address: tuple[str, int]
    curve: bool
    token: str
    context: Any
    store: BlockStore
    chain: Chain
    mempool: Mempool
    application: NodeApplication
    protocol: ConsensusProtocol
    peers: Peers
    transport: PeerTransport
    reactor: Reactor
    faults: Counter[tuple[int, str]]
    observed: Observed
    status: Callable[[], dict[str, Any]]
    wake: Callable[[], None]
    say: Callable[[str], object]


class HttpService:
    """See the module. It listens from the beginning, answers after `start`, and ends with `close`."""

    def __init__(self, parts: HttpParts) -> None:
        """OSError, in one line, if it cannot listen at the address."""
        self._parts = parts
        replies: Counter[int] = Counter()
        budget, for_blocks = CpuShare(self._busy, 1 - BLOCKS_PART), CpuShare(self._busy, BLOCKS_PART)
        metrics = Metrics(
            Sources(
                parts.me,
                parts.manifest.consensus.protocol,
                version("honeybadger"),
                parts.chain,
                parts.mempool,
                parts.protocol,
                parts.peers,
                parts.transport,
                parts.reactor,
                parts.faults,
                parts.observed,
                (budget, for_blocks),
                replies,
            )
        )
        self._blocks = BlockReader(parts.store, for_blocks)
        self._view = ClusterView(parts.context, parts.manifest, parts.curve, parts.me, parts.status)
        status = Kept(parts.status)
        node = api.Node(
            status,
            lambda: str(status()["unwell"]),
            self._view,
            Kept(metrics.text),
            self._submit,
            self._committed,
            self._blocks,
            budget,
            parts.token,
            parts.say,
        )

        def count(status: int) -> None:
            replies[status] += 1

        purpose = f"node {parts.me}, for HTTP"
        try:
            self._server = HttpServer(
                parts.address,
                api.make_application(node),
                budget,
                count,
                parts.say,
                purpose,
                api.make_quick_replies(node),
            )
        except OSError:
            self._blocks.close()
            raise

    def start(self) -> None:
        """Begin to answer."""
        self._view.start()
        self._server.start()

    def close(self) -> None:
        """Close all connections; before the ledger and ZeroMQ are closed."""
        self._server.stop(timeout=0)
        self._view.close()
        self._blocks.close()

    def _busy(self) -> bool:
        return len(self._parts.mempool) > 0 or self._parts.observed.tx_per_s > 0

    def _submit(self, transactions: Sequence[bytes]) -> Submission:
        submission = self._parts.application.submit(Request(NOBODY, 0), transactions)
        self._parts.wake()
        return submission

    def _committed(self, transaction: bytes) -> int | None:
        height = self._parts.chain.committed([transaction]).get(transaction)
        return height if height is not None and height <= self._parts.chain.durable_height else None
