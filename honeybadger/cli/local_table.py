"""The tables with which `honeybadger local` ends. docs/results.md explains each of their words."""

from __future__ import annotations

import textwrap
from typing import Any

from rich.table import Column, Table

from honeybadger.cli.local_fault_rows import Row, fault_rows
from honeybadger.console.plain import PlainConsole
from honeybadger.protocols.registry import find_protocol
from honeybadger.wording import counted

#: columns; the table fits a terminal of 80
PHASES_WIDTH = 45


def print_tables(summary: dict[str, Any], unavoidable_s_per_tx: float | None) -> None:
    """What a run measured, then a row for each node, warnings, and whether it is valid.

    `unavoidable_s_per_tx`: see `bench.studies.limit`; None if nobody worked it out.
    """
    console = PlainConsole()
    protocol = find_protocol(summary["protocol"]).display_name
    where = "in virtual time" if "simulation" in summary else "on this machine"
    table = Table("", Column("", justify="right"), "", title=f"{protocol} {where}", show_header=False)
    for group in (
        _cluster_rows(summary),
        _load_rows(summary),
        _latency_rows(summary),
        _epoch_rows(summary),
        _cost_rows(summary, unavoidable_s_per_tx),
        fault_rows(summary),
    ):
        for row in group:
            table.add_row(*row)
        table.add_section()
    console.print(table)
    console.print(_node_table(summary))
    for warning in summary["warnings"]:
        console.print(f"attention: {warning}", soft_wrap=True)
    console.print(
        "valid: ledgers agree, nothing lost or doubled" if summary["valid"] else f"INVALID: {summary['reason']}"
    )


def latency_ms(summary: dict[str, Any], name: str) -> str:
    """A figure of the latency, for people; one that depends on transactions without an answer is a lower bound."""
    bound = "≥ " if name in summary["latency_at_least"] else ""
    return bound + _ms(summary["latency_s"][name])


def _cluster_rows(summary: dict[str, Any]) -> list[Row]:
    crashed = len(summary["crashed"])
    size = summary.get("tx_size", summary["tx_bytes"])
    encryption = summary["parameters"].get("encryption", "never")
    encryption = {"always": "on", "never": "OFF"}.get(encryption, encryption)
    curve = "on" if summary["curve"] else "OFF"
    tolerated = f"tolerates {summary['faults_tolerated']} faulty"
    rows: list[Row] = [
        ("nodes", f"{summary['nodes']}", tolerated + (f"; {crashed} killed half-way" if crashed else "")),
        ("batch size", f"{summary['batch_size']:,}", f"transactions of {size} bytes per epoch, at most"),
        ("settings", "", f"durability {summary['durability']}, CURVE {curve}, encryption {encryption}"),
        ("", "", f"suite {summary['suite']}"),
    ]
    if how := summary.get("simulation"):
        cores = f"{counted(how['cores'], 'processor')} {'each' if how['own_hosts'] else 'for all nodes'}"
        prices = "measured" if how["mode"] == "measured" else "of the table"
        rows.append(("simulated", f"{how['virtual_s']:.1f}", f"s in {how['took_s']:.1f} s; {cores}, costs {prices}"))
        rows.append(("", "", f"table {how['table']}"))
    return rows


def _load_rows(summary: dict[str, Any]) -> list[Row]:
    seconds = f"in {summary['duration_s']:g} s"
    waiting = f"waiting at the start, {summary['backlog_end_tx']:,} at the end"
    rows: list[Row] = [
        ("offered", f"{summary['offered_tx']:,}", f"transactions {seconds}, {_load(summary)}"),
        ("", f"{summary['offered_tx_per_s']:,.0f}", "tx/s"),
        ("", f"{summary['offered_committed_tx']:,}", "of these were committed in the end"),
    ]
    if refused := summary["offered_refused_tx"]:
        rows.append(("", f"{refused:,}", "of these were refused"))
    if unanswered := summary["offered_unanswered_tx"]:
        rows.append(("", f"{unanswered:,}", "of these were never answered"))
    rows += [
        ("committed", f"{summary['committed_tx']:,}", f"transactions {seconds}, whenever offered"),
        ("throughput", f"{summary['throughput_tx_per_s']:,.0f}", f"tx/s{_error(summary)}, in every correct ledger"),
        ("", f"{summary['throughput_bytes_per_s'] / 1e6:,.2f}", "MB/s"),
        ("backlog", f"{summary['backlog_start_tx']:,}", waiting),
        ("drained", f"{summary['drain_s']:.1f}", "s waited for answers after the end"),
    ]
    if summary["late_sends"]:
        rows.append(("late sends", f"{summary['late_sends']:,}", "transactions sent after their scheduled time"))
    if reasons := summary["refused_tx"]:
        rows.append(("refused", f"{sum(reasons.values()):,}", f"transactions of the whole run: {', '.join(reasons)}"))
    if summary["unanswered_tx"]:
        text = "transactions of the whole run"
        text += f"; {summary['abandoned_tx']:,} at killed nodes" if summary["abandoned_tx"] else ""
        rows.append(("unanswered", f"{summary['unanswered_tx']:,}", text))
    return rows


def _error(summary: dict[str, Any]) -> str:
    """Of throughput, with 95 % confidence."""
    error = summary["throughput_error_tx_per_s"]
    return "" if error is None else f" ± {error:,.0f}"


def _load(summary: dict[str, Any]) -> str:
    """How transactions were offered, where it is not the usual way."""
    parts = [summary["load"]]
    parts += ["Poisson arrivals"] if summary.get("arrivals") == "poisson" else []
    parts += [f"{summary['clients']} clients"] if summary.get("clients", 1) > 1 else []
    parts += [f"each to {summary['submit_to']} nodes"] if summary.get("submit_to", 1) > 1 else []
    return ", ".join(parts)


def _latency_rows(summary: dict[str, Any]) -> list[Row]:
    return [
        ("latency p50", latency_ms(summary, "p50"), "ms from submission to durable, of all offered"),
        ("latency p99", latency_ms(summary, "p99"), "ms"),
        ("latency max", latency_ms(summary, "max"), "ms"),
    ]


def _epoch_rows(summary: dict[str, Any]) -> list[Row]:
    """Where the time of an epoch goes, and what it decides."""
    nodes, ledger = summary["nodes"], summary["ledger"]
    specification = find_protocol(summary["protocol"])
    rows: list[Row] = [
        ("epochs", f"{summary['epochs']:,}", f"in {summary['duration_s']:g} s, a block each"),
        ("ledger height", f"{ledger['height']:,}", f"with warm-up and drain; tip {ledger['tip'][:16] or '–'}"),
        ("epoch p50", _ms(summary["epoch_s"]["p50"]), "ms from proposal to block"),
        ("epoch mean", _ms(summary["epoch_s"]["mean"]), _phases(summary["phase_s"])),
        ("ledger", _ms(summary["phase_s"]["ledger"]), "ms from block to disk, mean"),
    ]
    if any(phase.name == "agreed" for phase in specification.phases):
        agreement = summary["agreement"]
        rows += [
            ("rounds", _mean(agreement["rounds_mean"]), "of an epoch's longest agreement, mean"),
            ("coins", _mean(agreement["coins_per_epoch_mean"]), "tossed in an epoch, mean"),
            ("accepted", _mean(agreement["accepted_mean"]), f"of {nodes} proposals in a block, mean"),
        ]
    if left_out := summary["left_out"]:
        who = f"node{'s' * (len(left_out) > 1)} {', '.join(map(str, left_out))}"
        rows.append(("left out", f"{len(left_out)}", f"in less than half of the blocks: {who}"))
    return rows


def _phases(phase_s: dict[str, float | None]) -> str:
    """The mean of each step, in the protocol's order; writing to the disk comes after the epoch."""
    steps = [f"{step}\N{NO-BREAK SPACE}{_ms(seconds)}" for step, seconds in phase_s.items() if step != "ledger"]
    # Rich would part a step from its figure.
    text = textwrap.fill(f"ms: {', '.join(steps)}" if steps else "ms", PHASES_WIDTH)
    return text.replace("\N{NO-BREAK SPACE}", " ")


def _cost_rows(summary: dict[str, Any], unavoidable_s_per_tx: float | None) -> list[Row]:
    used = summary["cpu_s_per_tx"]
    text = "µs at all nodes together"
    if used and unavoidable_s_per_tx is not None:
        text = f"µs at all nodes; {unavoidable_s_per_tx / used:.0%} of it no node can avoid"
    written = summary["written_bytes_per_tx"]
    return [
        ("CPU per tx", "–" if used is None else f"{used * 1e6:,.1f}", text),
        ("written per tx", "–" if written is None else f"{written:,.0f}", "bytes to disk, at all nodes together"),
    ]


def _node_table(summary: dict[str, Any]) -> Table:
    headings = ("node", "CPU s", "peak", "sent", "recv", "messages", "blocks", "faults", "exit")
    columns = (Column(heading, justify="right") for heading in headings)
    nodes = Table(*columns, title="Per node: peak memory, sent and received in MB; blocks with its proposal")
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
            "killed" if row["id"] in summary["crashed"] else str(row["exit"]),
            style="dim" if row["byzantine"] else None,
        )
    return nodes


def _mb(size: float | None) -> str:
    if size is None:
        return "–"
    return f"{size / 1e6:.1f}" if size < 100e6 else f"{size / 1e6:.0f}"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.1f}"


def _mean(value: float | None) -> str:
    """Only a zero looks like one."""
    if not value:
        return "–" if value is None else "0"
    return f"{value:.2f}" if value >= 0.01 else "< 0.01"
