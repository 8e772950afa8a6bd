"""Units of the fields of `summary.json` and of the CSV files: most have theirs in the name. docs/results.md has all."""

import re
from collections.abc import Iterable

_SHORT = {"s": "s", "ms": "ms", "mbit": "Mbit/s", "bytes": "bytes", "tx": "transactions"}
_SUFFIX = re.compile(r"(?:^|_)(s|ms|mbit|bytes|tx)(_per_s)?(?:_per_tx|_per_epoch)?(?:_after_[a-z_]+)?$")
#: those whose names do not say it
_OTHERS = {
    **dict.fromkeys(("nodes", "faults_tolerated", "submit_to"), "nodes"),
    **dict.fromkeys(("batch_size", "late_sends", "transactions", "count"), "transactions"),
    **dict.fromkeys(("epochs", "ledger.height", "pending_blocks_max"), "blocks"),
    **dict.fromkeys(("window.start", "window.end"), "s"),
    **dict.fromkeys(("machine.cores", "cpu_cores"), "cores"),
    **dict.fromkeys((f"wan.forwarded.{what}" for what in ("packets", "lost", "dropped", "unknown")), "packets"),
    "messages_per_epoch": "messages",
    "simulation.bundle": "transactions",
    "simulation.cores": "processors",
    "second": "s",
    "wan.worst_deviation_percent": "%",
    "rate": "tx/s",
    "clients": "processes",
    "agreement.rounds_mean": "rounds",
    "agreement.coins_per_epoch_mean": "coins",
    "agreement.accepted_mean": "proposals",
    "share_up_to_upper": "share",
}
#: those of everything inside
_INSIDE = {"messages_by_type": "messages", "bytes_by_type": "bytes"}


def unit(name: str) -> str:
    """That of a field by its dotted name; "" if it has none."""
    if name.startswith(("experiment.options.", "parameters.", "versions.")):
        return ""
    if name in _OTHERS:
        return _OTHERS[name]
    # The innermost part that names a unit holds for what is inside it.
    for part in reversed(name.split(".")):
        if part in _INSIDE:
            return _INSIDE[part]
        if found := _SUFFIX.search(part):
            short = "tx" if found[1] == "tx" and found[2] else _SHORT[found[1]]
            return f"{short}/s" if found[2] else short
    return ""


def units(names: Iterable[str]) -> dict[str, str]:
    """Name → unit of those that have one."""
    return {name: found for name in names if (found := unit(name))}
