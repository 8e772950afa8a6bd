"""What HTTP clients cost consensus: a cluster without them, under a thousand of them, and under observation, in turn.

    python -m bench.http_load [--rounds 3] [--seconds 12] [--spread]

Each round is a cluster of its own at full load, in which nine shifts follow each other, A C A C A B A B A:

A  nobody asks anything.
B  1,000 connections that ask for /health, /status, /metrics and a block in turn, each one second after its last
   answer, and 60 that hold one up: headers and bodies a byte at a time, and replies that nobody reads. All go to node
   0; `--spread` spreads them over all nodes. Node 0 is also scraped once a second by somebody at another address.
   What they asked and left waits for its turn, minutes long: the As after a B pay for it too, and C comes before.
C  every node's /metrics is scraped once a second, and node 0 is asked for /cluster as its page does.

The clients take processor time that the cluster then lacks, so they are one process with prepared requests, at most
1,000 requests a second, and what it used is printed. Throughput is of a whole machine and suffers from anything else
on it, and so, less, does the processor time that the nodes take for a committed transaction: of each B and C the ratio
to the two As around it is printed, and the same of each A among As, which tells what such a ratio is worth. What
suffers least is the processor time of node 0 beside that of the others in the same seconds, of which B less A is what
the crowd cost it, and what the nodes themselves charge to HTTP clients.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.http_visitors import Shift, Visitor
from bench.local_run import LocalRun, LocalSettings, Progress
from bench.observations import NodeObservations, read_node
from bench.summary import blocks_in, used_in
from bench.workload import TxSizes
from honeybadger.cli import streams
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums

NODES = 4
BATCH_SIZE = 10_000
CROWD, SLOW = 1000, 20
#: of each shift these seconds are not counted: clients come, and those of the shift before are still missed
SETTLE_S = 4.0
WARMUP_S = 3.0
#: a round; every shift with clients is between two without, and the crowd, whose requests outlast it, comes last
ORDER = "ACACABABA"
TITLES = {"A": "A  no clients", "B": "B  1,000 clients and slow ones", "C": "C  scraped each second"}


def get(path: str) -> str:
    """A request as bytes would have it."""
    return f"GET {path} HTTP/1.1\r\nHost: node\r\nAccept: */*\r\n\r\n"


def visitors(shift: str, ports: Sequence[int], tokens: Sequence[str], *, spread: bool) -> list[Visitor]:
    """Who comes in this shift. `ports`, `tokens`: of the nodes' HTTP."""
    if shift == "A":
        return []
    if shift == "C":
        scrapers = [
            Visitor("scrapers", port, [get("/metrics")], 1.0, source="127.0.0.3", scrapes=True) for port in ports
        ]
        return [*scrapers, Visitor("page", ports[0], [get("/cluster")], 1.0, source="127.0.0.4")]
    aims = range(len(ports)) if spread else (0,)
    questions = [get(path) for path in ("/health", "/status", "/metrics", "/blocks/1?limit=10")]
    found = [Visitor("guest", ports[0], [get("/metrics")], 1.0, source="127.0.0.2", scrapes=True)]
    for number in range(SLOW):
        aim = aims[number % len(aims)]
        body = f"POST /transactions HTTP/1.1\r\nAuthorization: Bearer {tokens[aim]}\r\nContent-Length: 4000\r\n\r\n["
        found += [
            Visitor("slow", ports[aim], ["GET /status HTTP/1.1\r\nX: "], 1.0, drips=True),
            Visitor("slow", ports[aim], [body], 1.0, drips=True),
            Visitor("slow", ports[aim], [get("/blocks/1?limit=1000")], 1.0, reads=False),
        ]
    for number in range(CROWD):
        first = number % len(questions)
        asked = questions[first:] + questions[:first]
        found.append(Visitor("crowd", ports[aims[number % len(aims)]], asked, 1.0))
    return found


class Round:
    """One cluster and its shifts."""

    def __init__(self, seconds: float, *, spread: bool) -> None:
        self._seconds = seconds
        self._spread = spread
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> list[dict[str, Any]]:
        """What was measured in each shift; RuntimeError if the run is invalid."""
        with TemporaryDirectory(prefix="honeybadger-") as name:
            directory = Path(name)
            settings = self._settings(directory)
            try:
                summary = LocalRun(settings, lambda progress: self._show(progress, directory)).run()
                if not summary["valid"]:
                    raise RuntimeError(f"the run is invalid: {summary['reason']}")
                if self._process is None:
                    raise RuntimeError("the run ended before it had begun")
                lines = self._process.communicate(timeout=60)[0].splitlines()
            finally:
                if self._process is not None:
                    self._process.kill()
                    self._process.wait()
            nodes = [read_node(directory / f"node-{index}" / "events.jsonl") for index in range(NODES)]
        return [measured(msgspec.json.decode(line), nodes) for line in lines]

    def _settings(self, directory: Path) -> LocalSettings:
        return LocalSettings(
            nodes=NODES,
            faults=Quorums.largest_faults(NODES),
            parameters=Parameters(batch_size=BATCH_SIZE),
            runtime=Runtime(),
            tx_sizes=TxSizes.parse("250"),
            duration_s=self._seconds * len(ORDER) + 2.0,
            warmup_s=WARMUP_S,
            rate=None,
            crash=0,
            restart=0,
            restart_after_s=0.0,
            base_port=None,
            seed=1,
            out=directory,
        )

    def _show(self, progress: Progress, directory: Path) -> None:
        """Begin the shifts with the measured window."""
        if self._process is not None or progress.phase != "running":
            return
        members = Manifest.load(directory / "cluster.toml").members
        ports = [member.http_port for member in members]
        tokens = [(directory / f"node-{i}" / "http-token").read_text().strip() for i in range(len(members))]
        plan = [
            Shift(name, self._seconds, SETTLE_S, visitors(name, ports, tokens, spread=self._spread)) for name in ORDER
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.http_visitors"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if self._process.stdin is None:
            raise RuntimeError("the visitors have no input")
        self._process.stdin.write(msgspec.json.encode(plan))
        self._process.stdin.close()
        self._process.stdin = None


def measured(shift: dict[str, Any], nodes: Sequence[NodeObservations]) -> dict[str, Any]:
    """The figures of a shift as the visitors tell of it; RuntimeError if nothing was committed in it."""
    window = (shift["start"], shift["end"])
    transactions = sum(block["transactions"] for block in blocks_in(window, nodes))
    cpu_s = [used_in(window, [node], "cpu_s") or 0.0 for node in nodes]
    if not transactions or 0.0 in cpu_s:
        raise RuntimeError(f"nothing was measured in shift {shift['name']}")
    length = window[1] - window[0]
    scraped = [counters for one in shift["seen"].values() for counters in one["counters"].values()]
    shares = [(last[0] - first[0]) / (last[1] - first[1]) for first, last in scraped if last[1] > first[1]]
    return {
        "name": shift["name"],
        "tx_per_s": transactions / length,
        "cpu_us_per_tx": 1e6 * sum(cpu_s) / transactions,
        "node0_to_others": cpu_s[0] / mean(cpu_s[1:]),
        "http_share": max(shares, default=None),
        "client_cores": shift["cpu_s"] / length,
        "seconds": length,
        "seen": shift["seen"],
    }


def ratios(name: str, figure: str, rounds: Sequence[Sequence[dict[str, Any]]]) -> list[float]:
    """Of each such shift, to the mean of the As before and after it."""
    found = []
    for shifts in rounds:
        values = [one[figure] for one in shifts]
        step = 2 if name == "A" else 1
        for place in range(step, len(shifts) - step):
            if shifts[place]["name"] == name:
                found.append(values[place] / mean((values[place - step], values[place + step])))
    return found


def report(rounds: Sequence[Sequence[dict[str, Any]]]) -> str:
    """The tables, as Markdown."""
    lines = [
        "| | shifts | tx/s | ratio to A | node CPU, µs per tx | ratio to A | CPU of node 0 to the others'"
        " | charged to HTTP, of a node's CPU | CPU of the clients, cores |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        shifts = [one for shifts in rounds for one in shifts if one["name"] == name]
        row = [title, str(len(shifts))]
        for figure, digits in (("tx_per_s", 0), ("cpu_us_per_tx", 1)):
            row.append(spread([one[figure] for one in shifts], digits))
            row.append(spread(ratios(name, figure, rounds), 3))
        row.append(spread([one["node0_to_others"] for one in shifts], 3))
        shares = [100 * one["http_share"] for one in shifts if one["http_share"] is not None]
        row.append(spread(shares, 2) + " %" if shares else "")
        row.append(spread([one["client_cores"] for one in shifts], 3))
        lines.append("| " + " | ".join(row) + " |")
    lines += [
        "",
        "| | who | answers per second | by status | wait, median | 99 % | longest | cut off |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in ("B", "C"):
        shifts = [one for shifts in rounds for one in shifts if one["name"] == name]
        for group in shifts[0]["seen"]:
            lines.append(f"| {name} | {group} | {served(shifts, group)} |")
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and the least and the most."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def served(shifts: Sequence[dict[str, Any]], group: str) -> str:
    """What a group saw in these shifts."""
    seen = [shift["seen"][group] for shift in shifts]
    statuses: Counter[str] = Counter()
    for one in seen:
        statuses.update(one["statuses"])
    waits = sorted(wait for one in seen for wait in one["waits_s"])
    seconds = sum(shift["seconds"] for shift in shifts)
    by_status = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items())) or "none"
    told = [
        f"{1000 * waits[min(len(waits) - 1, int(q * len(waits)))]:,.0f} ms" if waits else "" for q in (0.5, 0.99, 1)
    ]
    return " | ".join([f"{len(waits) / seconds:.1f}", by_status, *told, str(sum(one["ended"] for one in seen))])


def main() -> int:
    """Do the rounds and print the tables."""
    streams.prepare()
    parser = argparse.ArgumentParser(prog="python -m bench.http_load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=12.0, help=f"of a shift; the first {SETTLE_S:.0f} do not count"
    )
    parser.add_argument("--spread", action="store_true", help="over all nodes")
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        rounds.append(Round(options.seconds, spread=options.spread).run())
        told = ", ".join(f"{one['name']} {one['tx_per_s']:,.0f}" for one in rounds[-1])
        sys.stderr.write(f"round {number + 1} of {options.rounds}, tx/s: {told}\n")
    sys.stdout.write(report(rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
