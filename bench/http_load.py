"""What HTTP clients cost consensus: saturated runs of `honeybadger local`, without and with them, in turn.

    python -m bench.http_load [--rounds 3] [--duration 20] [--batch-size 10000]

`alone`: nobody asks. `scraped`: as in daily use, each second one scrape of `/metrics` of every node, and one open page
(`/cluster` of the first). `crowd`: a thousand clients keep connections to the FIRST node, and each asks again a
second after its answer, for health, status, metrics and a block in turn; besides, slow clients send a header for ever.

The clients are one process that shares this machine's processors with the nodes; its own processor time is told, and
the throughput that it takes counts against the nodes. What the nodes themselves spend is processor time per
committed transaction, which what else the machine does disturbs less. Ratios are of medians, over the runs `alone`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.http_clients import Group, Report, Settings
from honeybadger.cluster.manifest import Manifest

CROWD = 1000
SLOW = 20
PATHS = ["/health", "/status", "/metrics", "/blocks/1?limit=10"]
START_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 300.0


def groups(kind: str, ports: list[int]) -> list[Group]:
    """Who asks whom in a run of this kind."""
    if kind == "scraped":
        return [*(Group(port, 1, ["/metrics"]) for port in ports), Group(ports[0], 1, ["/cluster"])]
    if kind == "crowd":
        return [Group(ports[0], CROWD, PATHS), Group(ports[0], SLOW)]
    return []


def run(kind: str, options: list[str]) -> tuple[dict[str, Any], Report | None]:
    """One run: its summary, and what became of the clients. Its window begins long after they are all there."""
    with TemporaryDirectory(prefix="honeybadger-http-") as scratch:
        out = Path(scratch) / "out"
        command = [sys.executable, "-m", "honeybadger.cli.main", "local", "--json", "--out", str(out), *options]
        cluster = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        clients = None
        try:
            if kind != "alone":
                clients = start_clients(kind, out / "cluster.toml")
            summary: dict[str, Any] = json.loads(cluster.communicate(timeout=RUN_TIMEOUT_S)[0])
            report = None
            if clients is not None:
                report = msgspec.json.decode(clients.communicate(timeout=START_TIMEOUT_S)[0], type=Report)
        finally:
            for process in (clients, cluster):
                if process is not None and process.poll() is None:
                    process.terminate()
                    process.wait()
        return summary, report


def start_clients(kind: str, manifest: Path) -> subprocess.Popen[bytes]:
    """The clients, as soon as the manifest says where the nodes are. They wait for the nodes."""
    limit = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < limit:
        with suppress(Exception):
            ports = [member.http_port for member in Manifest.load(manifest).members]
            settings = Settings(groups(kind, ports), RUN_TIMEOUT_S)
            return subprocess.Popen(
                [sys.executable, "-m", "bench.http_clients", msgspec.json.encode(settings).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        time.sleep(0.05)
    raise TimeoutError("the cluster did not begin")


def line(kind: str, number: int, summary: dict[str, Any], report: Report | None) -> str:
    """One run in words."""
    if not summary["valid"]:
        return f"{kind:8} {number}: INVALID: {summary['reason']}"
    cost = f"{summary['throughput_tx_per_s']:9,.0f} tx/s {summary['cpu_s_per_tx'] * 1e6:6.1f} µs CPU/tx"
    latency = f"p99 {summary['latency_s']['p99']:.2f} s"
    told = ""
    if report is not None:
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(report.answers.items()))
        waits = f"wait p50 {report.wait_p50_s:.2f} s, p99 {report.wait_p99_s:.2f} s; " if report.wait_p50_s else ""
        told = f"  answers {answers or 'none'}; {waits}{report.lost} lost, clients' CPU {report.cpu_s:.1f} s"
    return f"{kind:8} {number}: {cost} {latency}{told}"


def main() -> int:
    """Run all kinds in turn, print every run and the ratios; status 1 if a run was invalid."""
    parser = argparse.ArgumentParser(prog="python -m bench.http_load", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=20.0)
    parser.add_argument("--batch-size", type=int, default=10_000)
    parser.add_argument("--kinds", default="alone,scraped,crowd")
    chosen = parser.parse_args()
    # Connections are bounded by the descriptors that are allowed.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kinds = chosen.kinds.split(",")
    options = ["--batch-size", str(chosen.batch_size), "--duration", str(chosen.duration), "--warmup", "6"]
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    failed = False
    for number in range(1, chosen.rounds + 1):
        for kind in kinds:
            summary, report = run(kind, options)
            failed |= not summary["valid"]
            found[kind].append(summary)
            sys.stdout.write(line(kind, number, summary, report) + "\n")
            sys.stdout.flush()
    if failed:
        return 1
    for kind in kinds[1:]:
        ratios = []
        for name, label in (("throughput_tx_per_s", "throughput"), ("cpu_s_per_tx", "CPU per transaction")):
            base, other = (median(one[name] for one in found[which]) for which in (kinds[0], kind))
            pairs = [b[name] / a[name] for a, b in zip(found[kinds[0]], found[kind], strict=True)]
            ratios.append(f"{label} {other / base:.3f} [{min(pairs):.3f} … {max(pairs):.3f}]")
        sys.stdout.write(f"{kind} / {kinds[0]}: {', '.join(ratios)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
