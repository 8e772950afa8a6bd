"""What `honeybadger local` shows.

Live progress on a terminal, plain lines elsewhere, and a labelled table at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from rich.live import Live
from rich.table import Table
from rich.text import Text

from honeybadger.cli.console import PlainConsole
from honeybadger.wording import counted

if TYPE_CHECKING:
    from bench.settings import Progress


class Display:
    """Context manager around a run; `show` may be called as often as one likes."""

    def __init__(self, stream: TextIO) -> None:
        self._console = PlainConsole(file=stream)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._last_line = ""
        self._page_shown = False

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show the present state."""
        if self._console.is_terminal:
            self._live.update(Text(self._line(progress)))
        else:
            # Not a terminal: one line per phase, and nothing that would fill a log file.
            if progress.page and not self._page_shown:
                self._page_shown = True
                self.say(f"live page: {progress.page}")
            line = progress.phase + (f" (nodes {progress.crashed} killed)" if progress.crashed else "")
            line += f" ({', '.join(progress.link_faults)})" if progress.link_faults else ""
            if line != self._last_line:
                self._last_line = line
                self._console.print(line)

    def show_live(self, progress: Progress) -> None:
        """Show the present state on a terminal, nothing elsewhere."""
        if self._console.is_terminal:
            self._live.update(Text(self._line(progress)))

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, soft_wrap=True)

    @staticmethod
    def _line(progress: Progress) -> str:
        if not progress.elapsed_s:
            return f"{progress.phase} …"
        line = (
            f"{progress.phase:<10} {min(progress.elapsed_s, progress.total_s):5.1f} / {progress.total_s:.0f} s  "
            f"{progress.committed:>11,} transactions  {progress.rate_tx_per_s:>8,.0f} tx/s"
        )
        return line + "".join(
            f"  {name}: {value}"
            for name, value in (
                ("killed", progress.crashed),
                ("restarts", progress.restarts),
                ("Byzantine", progress.byzantine),
                ("links", ", ".join(progress.link_faults)),
                ("page", progress.page),
            )
            if value
        )


def print_table(summary: dict[str, Any]) -> None:
    """The result, for people."""
    console = PlainConsole()
    crashed = set(summary["crashed"])
    table = Table(title=f"{summary['protocol']} on this machine", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("")
    epoch = summary["epoch_s"]
    n, f = summary["nodes"], summary["faults_tolerated"]
    rows = [
        ("nodes", f"{n}", f"tolerates {f} faulty" + (f"; {len(crashed)} killed half-way" if crashed else "")),
        (
            "batch size",
            f"{summary['batch_size']:,}",
            f"transactions of {summary.get('tx_size', summary['tx_bytes'])} bytes per epoch",
        ),
        ("offered", f"{summary['offered_tx_per_s']:,.0f}", f"tx/s, {_load(summary)}"),
        ("", f"{summary['offered_tx']:,}", f"transactions in {summary['duration_s']:g} s: {_outcome(summary)}"),
        (
            "backlog",
            f"{summary['backlog_start_tx']:,}",
            f"waiting at the start, {summary['backlog_end_tx']:,} at the end",
        ),
        ("drained", f"{summary['drain_s']:.1f}", "s waited for answers after the end"),
        ("throughput", f"{summary['throughput_tx_per_s']:,.0f}", "tx/s, each in every correct node's ledger"),
        ("", f"{summary['throughput_bytes_per_s'] / 1e6:,.2f}", "MB/s"),
        ("committed", f"{summary['committed_tx']:,}", f"distinct transactions in {summary['duration_s']:g} s"),
        ("latency p50", latency_ms(summary, "p50"), "ms from submission to durable, of all offered"),
        ("latency p99", latency_ms(summary, "p99"), "ms"),
        ("latency max", latency_ms(summary, "max"), "ms"),
        ("epochs", f"{summary['epochs']}", f"in {summary['duration_s']:g} s"),
        ("epoch p50", _ms(epoch["p50"]), "ms from proposal to block"),
        ("ledger height", f"{summary['ledger']['height']}", f"tip {summary['ledger']['tip'][:16]}"),
    ]
    if crashed:
        count = summary["committed_tx_after_crash"] or 0
        rows.append(("after the crash", f"{count:,}", "transactions committed by the remaining nodes"))
    rows += _restart_rows(summary)
    rows += _byzantine_rows(summary)
    rows += _wan_rows(summary)
    rows += _link_rows(summary)
    if summary["late_sends"]:
        rows.append(("late sends", f"{summary['late_sends']:,}", "transactions sent after their scheduled time"))
    if refused := summary["refused_tx"]:
        rows.append(("refused", f"{sum(refused.values()):,}", f"transactions: {', '.join(refused)}"))
    if summary["unanswered_tx"]:
        text = "transactions, when the run ended"
        text += f"; {summary['abandoned_tx']:,} at killed nodes" if summary["abandoned_tx"] else ""
        rows.append(("unanswered", f"{summary['unanswered_tx']:,}", text))
    encryption = summary["parameters"]["encryption"]
    guarantees = (
        f"durability {summary['durability']}, CURVE {'on' if summary['curve'] else 'OFF'}, "
        f"encryption { {'always': 'on', 'never': 'OFF'}.get(encryption, encryption) }"
    )
    rows.append(("settings", "", guarantees))
    for row in rows:
        table.add_row(*row)
    console.print(table)

    nodes = Table(title="Per node: peak memory, sent and received in MB; blocks with its proposal")
    for heading in ("node", "CPU s", "peak", "sent", "recv", "messages", "blocks", "faults", "exit"):
        nodes.add_column(heading, justify="right")
    for row in summary["per_node"]:
        if row["cpu_s"] is None:
            nodes.add_row(str(row["id"]), *["–"] * 7, str(row["exit"]))
            continue
        nodes.add_row(
            str(row["id"]),
            f"{row['cpu_s']:.1f}",
            *(_mb(row[what]) for what in ("peak_rss_bytes", "sent_bytes", "received_bytes")),
            f"{row['messages_handled']:,}",
            "–" if row["block_share"] is None else f"{row['block_share']:.0%}",
            str(row["faults"]),
            "killed" if row["id"] in crashed else str(row["exit"]),
            style="dim" if row["byzantine"] else None,
        )
    console.print(nodes)
    for warning in summary["warnings"]:
        console.print(f"attention: {warning}", soft_wrap=True)
    console.print("valid: ledgers agree, nothing lost or doubled" if summary["valid"] else "INVALID")


def _load(summary: dict[str, Any]) -> str:
    """How transactions were offered, where it is not the usual way."""
    parts = [summary["load"]]
    parts += ["Poisson arrivals"] if summary.get("arrivals") == "poisson" else []
    parts += [f"{summary['clients']} clients"] if summary.get("clients", 1) > 1 else []
    parts += [f"each to {summary['submit_to']} nodes"] if summary.get("submit_to", 1) > 1 else []
    return ", ".join(parts)


def _outcome(summary: dict[str, Any]) -> str:
    """What became, in the end, of the transactions that were offered in the measured time."""
    parts = [f"{summary['offered_committed_tx']:,} committed"]
    for what in ("refused", "unanswered"):
        parts += [f"{count:,} {what}"] if (count := summary[f"offered_{what}_tx"]) else []
    return ", ".join(parts)


def latency_ms(summary: dict[str, Any], name: str) -> str:
    """A figure of the latency, for people; one that depends on transactions without an answer is a lower bound."""
    bound = "≥ " if name in summary["latency_at_least"] else ""
    return bound + _ms(summary["latency_s"][name])


Row = tuple[str, str, str]


def _restart_rows(summary: dict[str, Any]) -> list[Row]:
    """How long restarted nodes took, and what the others did while they were down."""
    restarts = summary["restarts"]
    if not restarts:
        return []
    times = [row["recovery_s"] for row in restarts]
    cut_short = sum(time is None and row["killed_again"] for time, row in zip(times, restarts, strict=True))
    never = times.count(None) - cut_short
    text = f"of nodes {summary['restarted']}"
    text += f"; {never} never kept up" if never else ""
    text += f"; {cut_short} killed again before keeping up" if cut_short else ""
    rows = [("restarts", f"{len(restarts)}", text)]
    if summary["recovery_median_s"] is not None:
        worst = f"s from restart to keeping up, worst {summary['recovery_worst_s']:.1f} s"
        rows.append(("recovery median", f"{summary['recovery_median_s']:.1f}", worst))
    if summary["pause_median_s"] is not None:
        worst = f"s after a kill without a new block, worst {summary['pause_worst_s']:.1f} s"
        rows.append(("pause median", f"{summary['pause_median_s']:.1f}", worst))
    # Once for each round: its nodes were killed at the same moment.
    rounds = {row["killed_at_s"]: row for row in restarts}.values()
    before = _mean(rounds, "throughput_before_tx_per_s")
    for label, when in (("while down", "while_down"), ("catching up", "catching_up")):
        rate = _mean(rounds, f"throughput_{when}_tx_per_s")
        if rate is not None and before is not None:
            rows.append((label, f"{rate:,.0f}", f"tx/s of the others, {before:,.0f} before"))
    return rows


def _mean(rows: Iterable[dict[str, Any]], figure: str) -> float | None:
    """Over the rows that have the figure; None if none has it."""
    known = [row[figure] for row in rows if row[figure] is not None]
    return sum(known) / len(known) if known else None


def _byzantine_rows(summary: dict[str, Any]) -> list[Row]:
    """Who lied and how it was found out, and any other fault that was recorded."""
    byzantine, rows = summary["byzantine"], []
    if byzantine:
        more = len(byzantine) - summary["faults_tolerated"]
        text = ", ".join(f"{index}: {strategy}" for index, strategy in byzantine.items())
        rows.append(("Byzantine", f"{len(byzantine)}", text + (f" ({more} more than f)" if more > 0 else "")))
    for row in summary["per_node"]:
        if row["traceback"]:
            rows.append((f"node {row['id']} failed", "", row["traceback"][:60]))
    kinds: dict[str, list[dict[str, Any]]] = {}
    for fault in summary["faults_recorded"]:
        kinds.setdefault(fault["kind"], []).append(fault)
    for kind, faults in kinds.items():
        accused = sorted({fault["node"] for fault in faults})
        text = (
            f"recorded by {counted(max(fault['recorded_by'] for fault in faults), 'correct node')}, of nodes {accused}"
        )
        rows.append((kind, f"{sum(fault['records'] for fault in faults)}", text))
    return rows


def _wan_rows(summary: dict[str, Any]) -> list[Row]:
    """The emulated WAN, and how near its measured round trips are to the profile."""
    wan = summary.get("wan")
    if not wan:
        return []
    if not wan["pairs"]:
        return [("WAN", wan["profile"], "no pair of nodes")]
    trips = [pair["measured_rtt_ms"] for pair in wan["pairs"]]
    text = f"round trips {min(trips):.1f} to {max(trips):.1f} ms measured"
    off = wan["worst_deviation_percent"]
    rows = [("WAN", wan["profile"], text + ("" if off is None else f", at most {off:.1f} % off the profile"))]
    if late := wan["lateness_ms"]:
        times = f"{late['median']:.2f} ms (p99 {late['p99']:.2f}, max {late['max']:.1f})"
        rows.append(("its links", wan["emulator"], f"packets left late by {times}"))
    return rows


def _link_rows(summary: dict[str, Any]) -> list[Row]:
    """The link faults, and where on their clock the measured time lies."""
    if not summary["link_faults"]:
        return []
    start = -summary["link_fault_zero_s"]
    rows = [
        ("link faults", "", f"measured: seconds {start:.1f} to {start + summary['duration_s']:.1f} of the schedule")
    ]
    for fault in summary["link_faults"]:
        end = f"{fault['end_s']:g}" if fault.get("end_s") is not None else "the end"
        when = f"seconds {fault.get('start_s', 0):g} to {end}"
        rows.append(("", fault["kind"], ", ".join(filter(None, (_links(fault), _strength(fault), when)))))
    return rows


def _links(fault: dict[str, Any]) -> str:
    if "groups" in fault:
        return " | ".join(",".join(map(str, group)) for group in fault["groups"])
    senders, receivers = (",".join(map(str, fault.get(name, ()))) or "all" for name in ("senders", "receivers"))
    if fault["kind"] == "slow":
        return f"nodes {receivers}"
    if fault.get("leader"):
        return "from the leader"
    return "all links" if senders == receivers == "all" else f"{senders} to {receivers}"


def _strength(fault: dict[str, Any]) -> str:
    if "delay_s" in fault:
        jitter = f" ± {fault['jitter_s'] * 1000:g}" if fault.get("jitter_s") else ""
        return f"{fault['delay_s'] * 1000:g}{jitter} ms"
    if "bytes_per_s" in fault:
        return f"{fault['bytes_per_s'] / 1e6:g} MB/s"
    if "probability" in fault:
        return f"probability {fault['probability']:g}"
    return f"every {fault['every_s'] * 1000:g} ms" if "every_s" in fault else ""


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f}" if size < 100e6 else f"{size / 1e6:.0f}"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.1f}"
