"""`/metrics`, for Prometheus: what the node counts anyway, read when somebody asks.

Base units (seconds, bytes), `_total` for what only grows, and as labels only what has few values: this cluster's
peers, message types, phases, kinds of faults, HTTP status codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from honeybadger.http.budget import CpuShare
from honeybadger.ledger.chain import Chain
from honeybadger.network.faulty_transport import PeerTransport
from honeybadger.node.mempool import Mempool
from honeybadger.node.observed import Observed
from honeybadger.node.peers import Peers
from honeybadger.node.reactor import Reactor
from honeybadger.protocols.base import ConsensusProtocol

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True)
class Sources:
    """The parts of a node that metrics are read from. `faults`: (accused node, kind) → how often."""

    node: int
    protocol_name: str
    version: str
    chain: Chain
    mempool: Mempool
    protocol: ConsensusProtocol
    peers: Peers
    transport: PeerTransport
    reactor: Reactor
    faults: Counter[tuple[int, str]]
    observed: Observed
    budgets: tuple[CpuShare, ...]
    replies: Counter[int]


class NodeCollector(Collector):
    """Reads the sources at each scrape."""

    def __init__(self, sources: Sources) -> None:
        self._of = sources

    def collect(self) -> Iterator[Metric]:
        """All metrics but those of the process."""
        yield from self._progress()
        yield from self._network()
        yield from self._faults()
        yield from self._loop()

    def _progress(self) -> Iterator[Metric]:
        of = self._of
        yield InfoMetricFamily(
            "honeybadger_node",
            "Which node this is.",
            value={"node": str(of.node), "protocol": of.protocol_name, "version": of.version},
        )
        yield _gauge("block_height", "Height of the newest durable block.", of.chain.durable_height)
        yield _gauge("epoch", "Lowest epoch that is not committed.", of.protocol.epoch)
        yield _counter("blocks", "Blocks that became durable since the node started.", of.observed.blocks)
        yield _counter("transactions", "Transactions in these blocks.", of.observed.transactions)
        yield _counter("transaction_bytes", "Bytes of these transactions.", of.observed.transaction_bytes)
        yield _gauge("ledger_transactions", "Transactions in the whole ledger.", of.chain.transaction_count)
        yield _gauge("mempool_transactions", "Transactions that wait or are proposed.", len(of.mempool))
        yield _gauge("mempool_bytes", "Bytes of these transactions.", of.mempool.bytes)
        phases = SummaryMetricFamily(
            "honeybadger_phase_seconds", "From the first phase of an epoch to this one.", labels=["phase"]
        )
        for phase, count in of.observed.phase_count.items():
            phases.add_metric([phase], count, of.observed.phase_seconds[phase])
        yield phases

    def _network(self) -> Iterator[Metric]:
        of = self._of
        links = of.peers.links.items()
        yield _labelled(
            GaugeMetricFamily("honeybadger_peer_connected", "1 if there is a connection.", labels=["peer"]),
            ((str(peer), int(link.connected)) for peer, link in links),
        )
        yield _labelled(
            GaugeMetricFamily("honeybadger_peer_held_bytes", "Kept until the peer has it.", labels=["peer"]),
            ((str(peer), link.outgoing.held_bytes) for peer, link in links),
        )
        yield _counter("sent_bytes", "Bytes sent to peers.", of.transport.sent_bytes)
        yield _counter("received_bytes", "Bytes received from peers.", of.transport.received_bytes)
        yield _labelled(
            CounterMetricFamily("honeybadger_messages_sent", "Messages sent to peers.", labels=["type"]),
            of.peers.messages_sent.items(),
        )
        yield _labelled(
            CounterMetricFamily("honeybadger_message_bytes_sent", "Bytes of these messages.", labels=["type"]),
            of.peers.bytes_sent.items(),
        )

    def _faults(self) -> Iterator[Metric]:
        by_kind: Counter[str] = Counter()
        by_peer: Counter[str] = Counter()
        for (peer, kind), count in self._of.faults.items():
            by_kind[kind] += count
            by_peer[str(peer)] += count
        yield _labelled(
            CounterMetricFamily("honeybadger_faults", "Faults recorded, by kind.", labels=["kind"]), by_kind.items()
        )
        yield _labelled(
            CounterMetricFamily("honeybadger_peer_faults", "Faults recorded, by accused node.", labels=["peer"]),
            by_peer.items(),
        )

    def _loop(self) -> Iterator[Metric]:
        of = self._of
        usage = of.observed.usage
        yield _counter("messages_handled", "Messages handled, own ones included.", of.reactor.messages_handled)
        yield _counter("ticks", "Turns of the main loop.", of.reactor.ticks)
        longest = usage.get("longest_tick_s")
        if longest is not None:
            yield _gauge("longest_tick_seconds", "The longest turn in the last second.", longest)
        lag = usage.get("hub_lag_s")
        if lag is not None:
            yield _gauge("event_loop_lag_seconds", "The latest timer in the last second.", lag)
        yield _counter("http_cpu_seconds", "Processor time charged to HTTP clients.", sum(b.used_s for b in of.budgets))
        yield _labelled(
            CounterMetricFamily("honeybadger_http_replies", "Replies to HTTP requests.", labels=["code"]),
            ((str(code), count) for code, count in sorted(of.replies.items())),
        )


class Metrics:
    """Renders the text that Prometheus scrapes."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeCollector(sources))
        # process_cpu_seconds_total, process_resident_memory_bytes, …: two small files of /proc.
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """In the text format that `CONTENT_TYPE` names."""
        return generate_latest(self._registry)


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"honeybadger_{name}", help_, value=value)


def _counter(name: str, help_: str, value: float) -> Metric:
    return CounterMetricFamily(f"honeybadger_{name}", help_, value=value)


def _labelled(family: Any, values: Iterable[tuple[str, float]]) -> Metric:
    for label, value in values:
        family.add_metric([label], value)
    metric: Metric = family
    return metric
