"""What Prometheus scrapes: names as it wants them, labels with few values; a dashboard that asks for nothing else."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from honeybadger.http.budget import CpuShare
from honeybadger.http.metrics import Metrics, Sources
from honeybadger.node.observed import Observed

DOCKER = Path(__file__).parents[2] / "docker"
NODES = 7


class Sized(SimpleNamespace):
    def __len__(self) -> int:
        return int(self.length)


def scrape(usage: dict[str, Any] | None = None) -> dict[str, Any]:
    """Family by name, of a node at which everything has happened."""
    observed = Observed()
    for epoch in range(50):
        for phase in ("proposed", "broadcast", "agreed", "decrypted", "committed"):
            observed(phase, {"epoch": epoch})
        observed("block", {"epoch": epoch, "transactions": 10, "bytes": 2500})
    observed("usage", {"longest_tick_s": 0.01, "hub_lag_s": 0.002} if usage is None else usage)
    links = {
        peer: SimpleNamespace(connected=peer != 3, outgoing=SimpleNamespace(held_bytes=peer))
        for peer in range(1, NODES)
    }
    parts: Any = {
        "node": 0,
        "protocol_name": "honeybadger",
        "version": "1",
        "chain": SimpleNamespace(durable_height=50, transaction_count=500),
        "mempool": Sized(length=3, bytes=30),
        "protocol": SimpleNamespace(epoch=51),
        "peers": SimpleNamespace(links=links, messages_sent={"Echo": 3, "Ready": 4}, bytes_sent={"Echo": 30}),
        "transport": SimpleNamespace(sent_bytes=10, received_bytes=20),
        "reactor": SimpleNamespace(messages_handled=5, ticks=6),
        "faults": Counter({(1, "BAD_BRANCH"): 2, (2, "BAD_BRANCH"): 3, (2, "BAD_FRAME"): 1}),
        "observed": observed,
        "budgets": (CpuShare(lambda: False),),
        "replies": Counter({200: 9, 404: 1}),
    }
    text = Metrics(Sources(**parts)).text().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(families: dict[str, Any]) -> set[str]:
    return {sample.name for family in families.values() for sample in family.samples}


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    found = [s for f in families.values() for s in f.samples if s.name == name and s.labels == labels]
    assert len(found) == 1, (name, labels)
    return float(found[0].value)


def test_the_numbers_are_the_nodes() -> None:
    families = scrape()
    assert value(families, "honeybadger_transactions_total") == 500
    assert value(families, "honeybadger_transaction_bytes_total") == 125_000
    assert value(families, "honeybadger_block_height") == 50
    assert value(families, "honeybadger_faults_total", kind="BAD_BRANCH") == 5
    assert value(families, "honeybadger_peer_faults_total", peer="2") == 4
    assert value(families, "honeybadger_peer_connected", peer="3") == 0
    assert value(families, "honeybadger_phase_seconds_count", phase="agreed") == 50
    assert value(families, "honeybadger_mempool_transactions") == 3
    assert value(families, "honeybadger_http_replies_total", code="404") == 1


def test_names_are_as_prometheus_wants_them() -> None:
    families = scrape()
    for name, family in families.items():
        assert family.documentation.endswith(".")
        assert re.fullmatch("(honeybadger|process)_[a-z_]+", name)
        assert not re.search("_(ms|us|ns|milliseconds|microseconds|kb|mb|percent)(_|$)", name), name
        # The parser takes `_total` off the names of counters, and counts what has none as untyped.
        assert family.type in ("counter", "gauge", "summary"), name
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total")


def test_labels_have_few_values() -> None:
    families = scrape()
    labels: dict[str, set[str]] = {}
    for family in families.values():
        for sample in family.samples:
            for label, text in sample.labels.items():
                labels.setdefault(label, set()).add(text)
    assert set(labels) == {"node", "protocol", "version", "peer", "type", "kind", "phase", "code"}
    assert labels["peer"] == {str(i) for i in range(1, NODES)}
    assert all(len(family.samples) <= 2 * NODES for family in families.values())


def test_the_dashboard_asks_only_for_what_there_is() -> None:
    dashboard = msgspec.json.decode((DOCKER / "grafana" / "dashboards" / "honeybadger.json").read_bytes())
    known = samples(scrape())
    asked: set[str] = set()
    for panel in dashboard["panels"]:
        assert panel["title"] and panel["targets"]
        for target in panel["targets"]:
            found = set(re.findall(r"\b(?:honeybadger|process)_[a-z_]+|\bup\b", re.sub(r'"[^"]*"', "", target["expr"])))
            assert found, target["expr"]
            asked |= found
    assert asked - known <= {"up"}
    assert len(asked) > 15
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_prometheus_scrapes_the_ports_that_keygen_gives() -> None:
    text = (DOCKER / "prometheus.yml").read_text()
    assert re.findall(r"- (127\.0\.0\.1:\d+)", text) == [f"127.0.0.1:{8100 + i}" for i in range(4)]
    assert "job_name: honeybadger\n" in text


def test_the_page_is_part_of_the_package() -> None:
    project = tomllib.loads((DOCKER.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["honeybadger.http"]
    folder = DOCKER.parent / "honeybadger" / "http"
    packed = {path.name for pattern in patterns for path in folder.glob(pattern)}
    assert packed == {"page.html", "page.css", "page.js"}


@pytest.mark.parametrize("missing", ["longest_tick_s", "hub_lag_s"])
def test_what_is_not_measured_is_left_out(missing: str) -> None:
    usage = {"longest_tick_s": 0.1, "hub_lag_s": 0.1}
    everything = samples(scrape(usage))
    del usage[missing]
    assert len(everything - samples(scrape(usage))) == 1
