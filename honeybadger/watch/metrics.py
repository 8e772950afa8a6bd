"""`/metrics`, for Prometheus: what the nodes told last, and what the watcher itself uses.

Base units (seconds, bytes), `_total` for what only grows. Each series of a node has the label `node`. Three families
have a second one, which a node that lies cannot fill: `phase` and `type` take names that f+1 nodes use, `kind` those
of `FaultKind` and of the protocol.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from honeybadger.client.status import NodeStatus
from honeybadger.protocols.faults import FaultKind
from honeybadger.watch.cluster import WatchedCluster

#: name, help, and where the number is; None leaves the node out
Number = tuple[str, str, Callable[[NodeStatus], float | None]]

GAUGES: tuple[Number, ...] = (
    ("block_height", "Height of the newest durable block.", lambda s: s.height),
    ("epoch", "Lowest epoch that is not committed.", lambda s: s.epoch),
    ("well", "1 if the node can take part in consensus.", lambda s: int(not s.unwell)),
    ("ledger_transactions", "Transactions in the whole ledger.", lambda s: s.transactions),
    ("mempool_transactions", "Transactions that wait or are proposed.", lambda s: s.mempool),
    ("mempool_bytes", "Bytes of these transactions.", lambda s: s.mempool_bytes),
    ("peers_connected", "Other nodes that the node is connected to.", lambda s: s.peers_connected),
    ("held_bytes", "Bytes kept for peers until they have them.", lambda s: sum(s.usage.held_bytes.values())),
    ("resident_memory_bytes", "Memory of the node's process.", lambda s: s.usage.rss_bytes),
    ("longest_tick_seconds", "The longest turn of the main loop in the last second.", lambda s: s.usage.longest_tick_s),
    ("event_loop_lag_seconds", "The latest timer in the last second.", lambda s: s.usage.hub_lag_s),
)
COUNTERS: tuple[Number, ...] = (
    ("blocks", "Blocks that became durable since the node started.", lambda s: s.totals.blocks),
    ("transactions", "Transactions in these blocks.", lambda s: s.totals.transactions),
    ("transaction_bytes", "Bytes of these transactions.", lambda s: s.totals.bytes),
    ("sent_bytes", "Bytes sent to peers.", lambda s: s.usage.sent_bytes),
    ("received_bytes", "Bytes received from peers.", lambda s: s.usage.received_bytes),
    ("messages_handled", "Messages handled, own ones included.", lambda s: s.usage.messages_handled),
    ("ticks", "Turns of the main loop.", lambda s: s.usage.ticks),
    ("cpu_seconds", "Processor time of the node's process.", lambda s: s.usage.cpu_s),
)


class ClusterCollector(Collector):
    """Reads what the nodes told last, at each scrape. `replies`: of the watcher, by HTTP status."""

    def __init__(self, cluster: WatchedCluster, replies: Mapping[int, int]) -> None:
        self._cluster = cluster
        self._replies = replies

    def collect(self) -> Iterator[Metric]:
        """All metrics but those of the watcher's process."""
        specification = self._cluster.manifest.specification
        nodes = {str(node.index): node.status for node in self._cluster.nodes}
        alive = {index: status for index, status in nodes.items() if status is not None}
        about = {"protocol": specification.name, "version": version("honeybadger")}
        yield InfoMetricFamily("honeybadger_cluster", "Which protocol runs, and the watcher's version.", value=about)
        up = (((index,), int(index in alive)) for index in nodes)
        yield _family(GaugeMetricFamily, "up", "1 if the node answers.", ("node",), up)
        for numbers, family in ((GAUGES, GaugeMetricFamily), (COUNTERS, CounterMetricFamily)):
            for name, help_, value in numbers:
                told = (((node,), value(status)) for node, status in alive.items())
                yield _family(family, name, help_, ("node",), told)

        faults: Counter[tuple[str, str]] = Counter()
        accused: Counter[str] = Counter()
        for node, status in alive.items():
            for peer, kind, count in status.faults:
                accused[str(peer)] += count
                faults[node, kind] += count
        own = specification.fault_kinds
        kinds = {*FaultKind.__members__, *(own.__members__ if own else ())}
        known = ((labels, count) for labels, count in faults.items() if labels[1] in kinds)
        yield _family(CounterMetricFamily, "faults", "Faults that the node recorded.", ("node", "kind"), known)
        of_each = (((index,), accused[index]) for index in nodes)
        yield _family(GaugeMetricFamily, "accused", "Faults that others recorded of the node.", ("node",), of_each)

        phases = SummaryMetricFamily(
            "honeybadger_phase_seconds", "From the first phase of an epoch to this one.", labels=["node", "phase"]
        )
        for phase in self._common(status.totals.phases for status in alive.values()):
            for node, status in alive.items():
                if phase in status.totals.phases:
                    phases.add_metric([node, phase], *status.totals.phases[phase])
        yield phases
        types = self._common(status.usage.messages_sent for status in alive.values())
        for name, help_, field in (
            ("messages_sent", "Messages sent to peers.", "messages_sent"),
            ("message_bytes_sent", "Bytes of these messages.", "bytes_sent"),
        ):
            sent = {node: getattr(status.usage, field) for node, status in alive.items()}
            rows = (((node, type_), sent[node].get(type_)) for node in alive for type_ in types)
            yield _family(CounterMetricFamily, name, help_, ("node", "type"), rows)
        replies = (((str(code),), count) for code, count in sorted(self._replies.items()))
        yield _family(CounterMetricFamily, "watch_replies", "The watcher's replies.", ("code",), replies)

    def _common(self, names: Iterable[Iterable[str]]) -> set[str]:
        """Those that f+1 nodes use, so that a correct one does."""
        used = Counter(name for of_one in names for name in of_one)
        return {name for name, count in used.items() if count >= self._cluster.manifest.quorums.weak}


def _family(
    family: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    help_: str,
    labels: tuple[str, ...],
    rows: Iterable[tuple[tuple[str, ...], float | None]],
) -> Metric:
    """A metric of these (values of the labels, number); what has no number is left out."""
    metric = family(f"honeybadger_{name}", help_, labels=labels)
    for values, number in rows:
        if number is not None:
            metric.add_metric(values, number)
    return metric


def exposition(cluster: WatchedCluster, replies: Mapping[int, int]) -> Callable[[], bytes]:
    """Makes the text that Prometheus scrapes, in the format that `prometheus_client.CONTENT_TYPE_LATEST` names."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ClusterCollector(cluster, replies))
    # Of the watcher itself: process_cpu_seconds_total, process_resident_memory_bytes, …
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)
