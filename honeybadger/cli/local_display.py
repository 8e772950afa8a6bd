"""What `honeybadger local` shows.

Live progress on a terminal, plain lines elsewhere, and a labelled table at the end.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bench.local_run import Progress


class Display:
    """Context manager around a run; `show` may be called as often as one likes."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._last_line = ""

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
            line = progress.phase + (f" (nodes {progress.crashed} killed)" if progress.crashed else "")
            if line != self._last_line:
                self._last_line = line
                self._console.print(line, highlight=False)

    @staticmethod
    def _line(progress: Progress) -> str:
        if not progress.elapsed_s:
            return f"{progress.phase} …"
        line = (
            f"{progress.phase:<10} {min(progress.elapsed_s, progress.total_s):5.1f} / {progress.total_s:.0f} s  "
            f"{progress.committed:>11,} transactions  {progress.rate_tx_per_s:>8,.0f} tx/s"
        )
        return line + (f"  killed: {progress.crashed}" if progress.crashed else "")


def print_table(summary: dict[str, Any]) -> None:
    """The result, for people."""
    console = Console()
    crashed = set(summary["crashed"])
    table = Table(title=f"{summary['protocol']} on this machine", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("")
    latency, epoch = summary["latency_s"], summary["epoch_s"]
    n, f = summary["nodes"], summary["faults_tolerated"]
    rows = [
        ("nodes", f"{n}", f"tolerates {f} faulty" + (f"; {len(crashed)} killed half-way" if crashed else "")),
        ("batch size", f"{summary['batch_size']:,}", f"transactions of {summary['tx_bytes']} bytes per epoch"),
        ("offered", f"{summary['offered_tx_per_s']:,.0f}", f"tx/s, {summary['load']}"),
        ("throughput", f"{summary['throughput_tx_per_s']:,.0f}", "tx/s, each in every correct node's ledger"),
        ("", f"{summary['throughput_bytes_per_s'] / 1e6:,.2f}", "MB/s"),
        ("committed", f"{summary['committed_tx']:,}", f"distinct transactions in {summary['duration_s']:g} s"),
        ("latency p50", _ms(latency["p50"]), "ms from submission to durable"),
        ("latency p99", _ms(latency["p99"]), "ms"),
        ("epochs", f"{summary['epochs']}", f"in {summary['duration_s']:g} s"),
        ("epoch p50", _ms(epoch["p50"]), "ms from proposal to block"),
        ("ledger height", f"{summary['ledger']['height']}", f"tip {summary['ledger']['tip'][:16]}"),
    ]
    if crashed:
        count = summary["committed_tx_after_crash"] or 0
        rows.append(("after the crash", f"{count:,}", "transactions committed by the remaining nodes"))
    if summary["restarted"]:
        times = ", ".join("never" if s is None else f"after {s:.1f} s" for s in summary["recovery_s"])
        text = f"nodes {summary['restarted']} killed; keeping up again: {times}"
        rows.append(("restarted", f"{len(summary['restarted'])}", text))
    if summary["late_sends"]:
        rows.append(("late sends", f"{summary['late_sends']:,}", "transactions sent after their scheduled time"))
    if refused := summary["refused_tx"]:
        rows.append(("refused", f"{sum(refused.values()):,}", f"transactions: {', '.join(refused)}"))
    if summary["unanswered_tx"]:
        rows.append(("unanswered", f"{summary['unanswered_tx']:,}", "transactions, when the run ended"))
    encryption = summary["parameters"]["encryption"]
    guarantees = (
        f"durability {summary['durability']}, CURVE {'on' if summary['curve'] else 'OFF'}, "
        f"encryption { {'always': 'on', 'never': 'OFF'}.get(encryption, encryption) }"
    )
    rows.append(("settings", "", guarantees))
    for row in rows:
        table.add_row(*row)
    console.print(table)

    nodes = Table(title="Per node")
    for heading in ("node", "CPU s", "peak MB", "sent MB", "recv MB", "messages", "faults", "exit"):
        nodes.add_column(heading, justify="right")
    for row in summary["per_node"]:
        if row["cpu_s"] is None:
            nodes.add_row(str(row["id"]), *["–"] * 6, str(row["exit"]))
            continue
        nodes.add_row(
            str(row["id"]),
            f"{row['cpu_s']:.1f}",
            f"{row['peak_rss_bytes'] / 1e6:.0f}",
            f"{row['sent_bytes'] / 1e6:.1f}",
            f"{row['received_bytes'] / 1e6:.1f}",
            f"{row['messages_handled']:,}",
            str(row["faults"]),
            "killed" if row["id"] in crashed else str(row["exit"]),
        )
    console.print(nodes)
    console.print("valid: ledgers agree, nothing lost or doubled" if summary["valid"] else "INVALID", highlight=False)


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.1f}"
