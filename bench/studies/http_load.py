"""What HTTP costs consensus: a cluster without a watcher, with 1,000 clients at one, and under observation, in turn.

    python -m bench.studies.http_load [--rounds 3] [--seconds 14]

Each round is a cluster of its own at full load, in which nine shifts follow each other, A C A C A B A B A:

A  there is no watcher.
B  a watcher, and 1,000 clients that ask for /health, /status, /metrics and a block in turn, each one second after its
   last answer, and 60 that hold one up: headers and bodies a byte at a time, and replies that nobody reads. Somebody at
   another address scrapes it once a second.
C  a watcher that is scraped once a second and asked for /cluster as the page does.

The clients take processor time that the cluster then lacks, so they are one process that asks at most 1,000 times a
second; the time that it and the watcher use is printed. Anything else on the machine disturbs the figures, so of each B
and C the ratio to the two As around it is printed, and of each A as well: that shows what such a ratio is worth.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.measure.observations import NodeObservations, read_node
from bench.measure.quantities import blocks_in, used_in
from bench.plan.build_run import run_of
from bench.run.progress import Progress
from bench.run.single_run import SingleRun
from bench.studies.http_visitors import Shift, Visitor
from honeybadger.cluster.processes import free_ports
from honeybadger.console import streams

NODES = 4
BATCH_SIZE = 10_000
CROWD, SLOW = 1000, 20
#: of each shift these seconds are not counted: the watcher starts, clients come
SETTLE_S = 6.0
#: the load goes on for longer than the shifts: their process must start, and servers must end
SPARE_S = 6.0
WARMUP_S = 3.0
#: what the visitors saw, a line for each shift
SEEN = "seen.jsonl"
#: a round; every shift with a watcher is between two without
ORDER = "ACACABABA"
TITLES = {"A": "A  no watcher", "B": "B  1,000 clients and slow ones", "C": "C  scraped each second"}


def get(path: str) -> str:
    """A request as bytes would have it."""
    return f"GET {path} HTTP/1.1\r\nHost: watch\r\nAccept: */*\r\n\r\n"


def visitors(shift: str, port: int, token: str) -> list[Visitor]:
    """Who comes in this shift to the watcher at `port`."""
    if shift == "A":
        return []
    if shift == "C":
        return [
            Visitor("scraper", port, [get("/metrics")], 1.0, source="127.0.0.3"),
            Visitor("page", port, [get("/cluster")], 1.0, source="127.0.0.4"),
        ]
    body = f"POST /transactions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 4000\r\n\r\n["
    slow = [
        Visitor("slow", port, ["GET /status HTTP/1.1\r\nX: "], 1.0, drips=True),
        Visitor("slow", port, [body], 1.0, drips=True),
        Visitor("slow", port, [get("/blocks/1?limit=1000")], 1.0, reads=False),
    ]
    asked = [get(path) for path in ("/health", "/status", "/metrics", "/blocks/1?limit=10")]
    crowd = [Visitor("crowd", port, asked[first:] + asked[:first], 1.0) for first in range(len(asked))]
    guest = Visitor("guest", port, [get("/metrics")], 1.0, source="127.0.0.2")
    return [guest, *slow * SLOW, *crowd * (CROWD // len(crowd))]


def one_round(seconds: float) -> list[dict[str, Any]]:
    """One cluster and its shifts: what was measured in each; RuntimeError if the run is invalid."""
    with TemporaryDirectory(prefix="honeybadger-") as name, ExitStack() as stack:
        directory = Path(name)
        duration_s = seconds * len(ORDER) + SPARE_S
        settings = run_of(
            nodes=NODES, batch_size=BATCH_SIZE, duration=duration_s, warmup=WARMUP_S, seed=1, out=str(directory)
        )
        shifts: list[subprocess.Popen[bytes]] = []

        def show(progress: Progress) -> None:
            """The shifts begin with the measured window."""
            if progress.phase == "running" and not shifts:
                shifts.append(stack.enter_context(begin(directory, seconds)))
                stack.callback(shifts[0].kill)

        summary = SingleRun(settings, show).run()
        if not summary["valid"]:
            raise RuntimeError(f"the run is invalid: {summary['reason']}")
        if not shifts:
            raise RuntimeError("the run ended before it had begun")
        shifts[0].wait(60)
        lines = (directory / SEEN).read_bytes().splitlines()
        nodes = [read_node(directory / f"node-{index}" / "events.jsonl") for index in range(NODES)]
    return [measured(msgspec.json.decode(line), nodes) for line in lines]


def begin(directory: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Start the process that does all shifts, each of `seconds`, at the cluster in `directory`."""
    (port,) = free_ports(1)
    token = (directory / "http-token").read_text().strip()
    watch = [sys.executable, "-m", "honeybadger.cli.main", "watch", "--cluster", str(directory / "cluster.toml")]
    watch += ["--port", str(port)]
    plan = [Shift(name, [] if name == "A" else watch, seconds, SETTLE_S, visitors(name, port, token)) for name in ORDER]
    (directory / "plan.json").write_bytes(msgspec.json.encode(plan))
    # No pipes: what was seen is longer than a pipe holds, and this process has other things to do than to read.
    with (directory / "plan.json").open("rb") as told, (directory / SEEN).open("wb") as seen:
        return subprocess.Popen([sys.executable, "-m", "bench.studies.http_visitors"], stdin=told, stdout=seen)


def measured(shift: dict[str, Any], nodes: Sequence[NodeObservations]) -> dict[str, Any]:
    """The figures of a shift as the visitors tell of it; RuntimeError if nothing was committed in it."""
    window = (shift["start"], shift["end"])
    transactions = sum(block["transactions"] for block in blocks_in(window, nodes))
    cpu_s = [used_in(window, [node], "cpu_s") or 0.0 for node in nodes]
    if not transactions or 0.0 in cpu_s:
        raise RuntimeError(f"nothing was measured in shift {shift['name']}")
    length = window[1] - window[0]
    return {
        "name": shift["name"],
        "tx_per_s": transactions / length,
        "cpu_us_per_tx": 1e6 * sum(cpu_s) / transactions,
        "watch_cores": shift["server_cpu_s"] / length,
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
        "| | shifts | tx/s | ratio to A | node CPU, µs per tx | ratio to A | CPU of the watcher, cores"
        " | CPU of the clients, cores |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        shifts = [one for shifts in rounds for one in shifts if one["name"] == name]
        row = [title, str(len(shifts))]
        for figure, digits in (("tx_per_s", 0), ("cpu_us_per_tx", 1)):
            row.append(spread([one[figure] for one in shifts], digits))
            row.append(spread(ratios(name, figure, rounds), 3))
        row.append(spread([one["watch_cores"] for one in shifts], 3))
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
    parser = argparse.ArgumentParser(prog="python -m bench.studies.http_load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=14.0, help=f"of a shift; the first {SETTLE_S:.0f} do not count"
    )
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        rounds.append(one_round(options.seconds))
        told = ", ".join(f"{one['name']} {one['tx_per_s']:,.0f}" for one in rounds[-1])
        sys.stderr.write(f"round {number + 1} of {options.rounds}, tx/s: {told}\n")
    sys.stdout.write(report(rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
