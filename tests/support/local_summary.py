"""Made-up summaries of `honeybadger local`, with what its tables read."""

from typing import Any


def summary(**changes: Any) -> dict[str, Any]:
    """A calm run, with `changes`."""
    row = {"messages_handled": 12_345_678, "byzantine": "", "traceback": "", "block_share": 0.75}
    row |= {"changed_messages": None, "honest_messages": None, "extra_messages": None}
    row |= {"faults": 0, "exit": 0, "cpu_s": 123.4}
    row |= {"peak_rss_bytes": 1e9, "sent_bytes": 1e10, "received_bytes": 1e10}
    absent = ("recovery_median_s", "recovery_worst_s", "pause_median_s", "pause_worst_s", "committed_tx_after_crash")
    zero = ("offered_refused_tx", "offered_unanswered_tx", "late_sends", "unanswered_tx", "abandoned_tx")
    empty = ("latency_at_least", "warnings", "crashed", "restarted", "restarts", "link_faults", "faults_recorded")
    rates = ("offered_tx_per_s", "throughput_tx_per_s", "throughput_error_tx_per_s", "throughput_bytes_per_s")
    made: dict[str, Any] = dict.fromkeys(absent) | dict.fromkeys(zero, 0) | dict.fromkeys((*empty, "left_out"), ())
    made |= dict.fromkeys(rates, 5.0) | {"byzantine": {}, "refused_tx": {}, "valid": True}
    made |= {"protocol": "honeybadger", "suite": "bls", "nodes": 4, "faults_tolerated": 1, "batch_size": 400}
    made |= {"tx_bytes": 250}
    made |= {"duration_s": 2.0, "load": "closed loop", "link_fault_zero_s": -2.5, "durability": "fsync", "curve": True}
    made |= {"committed_tx": 10, "offered_tx": 12, "offered_committed_tx": 12, "epochs": 3}
    made |= {"backlog_start_tx": 3, "backlog_end_tx": 4, "drain_s": 0.1, "ledger": {"height": 5, "tip": "ab" * 32}}
    made |= {"latency_s": {"p50": 0.1, "p99": 0.2, "max": 0.3}, "parameters": {"encryption": "always"}}
    made |= {"epoch_s": {"p50": 0.1, "mean": 0.125}, "cpu_s_per_tx": 2e-5, "written_bytes_per_tx": 1234.5}
    made |= {"phase_s": {"broadcast": 0.05, "agreement": 0.03, "decryption": 0.04, "in_order": 0.005, "ledger": 0.02}}
    made |= {"agreement": {"rounds_mean": 1.25, "coins_per_epoch_mean": 0.5, "accepted_mean": 3.9}}
    made |= {"per_node": [{"id": index, **row} for index in range(4)]}
    return made | changes


def restart(
    node: int, killed_at_s: float, recovery_s: float | None, *rates: float | None, again: bool = False
) -> dict[str, Any]:
    """`rates` of the others: before, while it was down, while it caught up."""
    names = (f"throughput_{when}_tx_per_s" for when in ("before", "while_down", "catching_up"))
    told = {"node": node, "killed_at_s": killed_at_s, "recovery_s": recovery_s, "killed_again": again}
    return told | dict(zip(names, rates or (2000.0, 1000.0, 1500.0), strict=True))


def busy() -> dict[str, Any]:
    """A run to which everything happened that has a row of its own."""
    wan = {"profile": "eight-regions", "pairs": [{"measured_rtt_ms": 19.5}], "worst_deviation_percent": None}
    wan |= {"regions": ["virginia", "virginia", "tokyo", "ohio"]}
    wan |= {"emulator": "user-space", "lateness_ms": {"median": 0.03, "p99": 0.1, "max": 12.25}}
    return summary(
        late_sends=1234,
        refused_tx={"full": 7, "too long": 8},
        offered_refused_tx=5,
        offered_unanswered_tx=3,
        unanswered_tx=9,
        abandoned_tx=4,
        left_out=[3],
        crashed=[1],
        committed_tx_after_crash=6,
        restarted=[2, 3],
        restarts=[restart(2, 3.0, 3.14), restart(3, 3.0, None), restart(2, 7.0, None, again=True)],
        recovery_median_s=3.14,
        recovery_worst_s=9.87,
        pause_median_s=2.72,
        pause_worst_s=5.52,
        byzantine={"3": "bad-shards"},
        link_faults=[{"kind": "drop", "probability": 0.01}],
        wan=wan,
    )
