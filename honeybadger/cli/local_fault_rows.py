"""Rows in the table of `honeybadger local` for what was done to the cluster: restarts, lies, a WAN, link faults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from honeybadger.node.notices import FAULT_EVENTS
from honeybadger.wording import counted

#: what it is, a number or word, the rest of the sentence
Row = tuple[str, str, str]


def fault_rows(summary: dict[str, Any]) -> list[Row]:
    """Empty if nothing was done to the cluster, and nothing happened to it."""
    rows = []
    if summary["crashed"]:
        count = summary["committed_tx_after_crash"]
        told = "–" if count is None else f"{count:,}"
        rows.append(("after the crash", told, "transactions committed by the remaining nodes"))
    for more in (_restart_rows, _byzantine_rows, _wan_rows, _link_rows):
        rows += more(summary)
    return rows


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
    values = [row[figure] for row in rows if row[figure] is not None]
    return sum(values) / len(values) if values else None


def _byzantine_rows(summary: dict[str, Any]) -> list[Row]:
    """Who lied and how it was found out, and any other fault that was recorded."""
    byzantine, rows = summary["byzantine"], []
    if byzantine:
        more = len(byzantine) - summary["faults_tolerated"]
        did = {str(row["id"]): _lies(row) for row in summary["per_node"]}
        text = "; ".join(f"{index}: {strategy}{did[index]}" for index, strategy in byzantine.items())
        rows.append(("Byzantine", f"{len(byzantine)}", text + (f" ({more} more than f)" if more > 0 else "")))
    for row in summary["per_node"]:
        if row["traceback"]:
            rows.append((f"node {row['id']} failed", "", row["traceback"][:160]))
    kinds: dict[str, list[dict[str, Any]]] = {}
    for fault in summary["faults_recorded"]:
        kinds.setdefault(fault["kind"], []).append(fault)
    for kind, faults in kinds.items():
        accused = sorted({fault["node"] for fault in faults})
        witnesses = counted(max(fault["recorded_by"] for fault in faults), "correct node")
        text = f"recorded by {witnesses}, of nodes {accused}"
        if any(fault["records"] >= FAULT_EVENTS for fault in faults):
            text = f"or more: each node records at most {FAULT_EVENTS} of this kind for each accused node; {text}"
        rows.append((kind, f"{sum(fault['records'] for fault in faults)}", text))
    return rows


def _lies(row: dict[str, Any]) -> str:
    """What a liar did, if it reported that."""
    if row["changed_messages"] is None:
        return ""
    changed = f", changed {row['changed_messages']:,} of {counted(row['honest_messages'], 'message')}"
    return changed + (f", sent {row['extra_messages']:,} more" if row["extra_messages"] else "")


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
    regions: dict[str, list[str]] = {}
    for node, region in enumerate(wan["regions"]):
        regions.setdefault(region, []).append(str(node))
    rows.append(("regions", "", "; ".join(f"{', '.join(nodes)}: {region}" for region, nodes in regions.items())))
    if late := wan["lateness_ms"]:
        times = f"{late['median']:.2f} ms (p99 {late['p99']:.2f}, max {late['max']:.1f})"
        rows.append(("its links", wan["emulator"], f"packets left late by {times}"))
    return rows


def _link_rows(summary: dict[str, Any]) -> list[Row]:
    """The link faults, and where on their clock the measured time lies."""
    if not summary["link_faults"]:
        return []
    start = -summary["link_fault_zero_s"]
    end = start + summary["duration_s"]
    rows = [("link faults", "", f"measured: seconds {start:.1f} to {end:.1f} of the schedule")]
    for fault in summary["link_faults"]:
        until = f"{fault['end_s']:g}" if fault.get("end_s") is not None else "the end"
        when = f"seconds {fault.get('start_s', 0):g} to {until}"
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
