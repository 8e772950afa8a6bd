"""What is made of made-up observations: lives of a node, recovery, what the others did, faults, figures."""

import json

import pytest

from bench.measure.observations import NodeObservations, blocks_of, everywhere_durable, read_node
from bench.measure.outages import committed_after, longest_pause, measure, median_and_worst
from bench.measure.quantities import (
    blocks_in,
    epoch_durations,
    epoch_intervals,
    memory_growth,
    most_held,
    node_row,
    phase_means,
    used_in,
)
from bench.measure.summary import idle_liars, recorded_faults
from bench.plan.outage_plan import Outage
from honeybadger.protocols.registry import find_protocol

INFINITE = float("inf")
#: a window that begins at 2.0
LOADED = (2.0, INFINITE)


def epoch(number: int, proposed: float, *, committed: float = 0.0, durable: float = 0.0) -> list[dict]:
    """The events of an epoch that became block `number` with ten transactions."""
    events = [{"t": proposed, "event": "proposed", "epoch": number}]
    if committed:
        events.append({"t": committed, "event": "committed", "epoch": number})
    if durable:
        block = {"height": number, "epoch": number, "transactions": 10, "bytes": 100}
        events.append({"t": durable, "event": "block", **block})
    return events


def node(*events: dict | list[dict]) -> NodeObservations:
    seen = NodeObservations()
    for event in events:
        for single in event if isinstance(event, list) else [event]:
            seen.take(single)
    return seen


def started(t: float, height: int = 0) -> dict:
    return {"t": t, "event": "started", "height": height}


def usage(t: float, **values: object) -> dict:
    return {"t": t, "event": "usage", "rss_bytes": 100, "longest_tick_s": 0.1, **values}


def steady(until: float, period: float = 0.5) -> list[list[dict]]:
    """Epoch k is proposed at k periods, committed 0.2 s and durable 0.3 s later."""
    count = int(until / period)
    return [epoch(k, k * period, committed=k * period + 0.2, durable=k * period + 0.3) for k in range(1, count)]


def test_a_life_that_was_cut_leaves_no_half_epochs():
    seen = node(
        *(started(0), epoch(1, 1.0, committed=1.1, durable=1.2), epoch(2, 1.5)),
        started(5.0, height=1),
        {"t": 5.2, "event": "committed", "epoch": 2},
        epoch(3, 5.3, committed=5.5, durable=5.6),
    )
    assert epoch_durations((0, 10), [seen]) == pytest.approx([0.1, 0.2]), "epoch 2 is not measured across the gap"


def test_an_epoch_that_is_run_again_counts_once():
    first = epoch(1, 1.0, committed=1.1)
    seen = node(started(0), first, started(5.0), epoch(1, 5.1, committed=5.4, durable=5.5))
    assert epoch_durations((0, 10), [seen]) == pytest.approx([0.1])
    seen = node(started(0), first, {**epoch(1, 0, durable=1.2)[-1]}, started(5.0, 1), epoch(1, 5.1, durable=5.3))
    assert seen.durable_at == {1: 1.2}


def test_a_block_whose_report_was_lost_is_known_from_the_start():
    killed = node(started(0), epoch(1, 1.0, committed=1.1, durable=1.2), epoch(2, 2.0), started(5.0, height=2))
    other = node(started(0), epoch(1, 1.0, committed=1.1, durable=1.3), epoch(2, 2.0, committed=2.1, durable=2.2))
    assert killed.durable_at == {1: 1.2, 2: 5.0}
    assert everywhere_durable([killed, other]) == {1: 1.3, 2: 5.0}
    blocks = blocks_in((0, 10), [killed, other])
    assert [block["transactions"] for block in blocks] == [10, 10], "what it was is known from the other"
    assert blocks_of([killed, other])[2]["transactions"] == 10
    means = phase_means((0, 10), [killed, other], find_protocol("honeybadger").phases)
    assert means["ledger"] == pytest.approx((0.1 + 0.2 + 0.1) / 3)


def test_intervals_do_not_span_a_restart():
    seen = node(
        *(started(0), epoch(1, 1.0, committed=1.1), epoch(2, 1.5, committed=1.6)),
        *(started(5.0), epoch(3, 5.1, committed=5.2), epoch(4, 5.3, committed=5.5)),
    )
    assert epoch_intervals((0, 10), [seen]) == pytest.approx([0.5, 0.3])
    assert epoch_intervals((0, 10), [node(started(0))]) == []


def test_counters_are_summed_over_lives():
    seen = node(
        *(started(0), usage(1.0, cpu_s=1.0), usage(2.0, cpu_s=2.0, peak_rss_bytes=500, messages_sent={"Echo": 3})),
        *(started(5.0), usage(6.0, cpu_s=4.0, sent_bytes=7, peak_rss_bytes=300, messages_sent={"Echo": 4, "Val": 1})),
    )
    row = node_row(2, seen, [], 0, "replay", "KeyError: 1")
    assert (row["cpu_s"], row["sent_bytes"], row["peak_rss_bytes"]) == (6.0, 7, 500)
    assert row["messages_sent"] == {"Echo": 7, "Val": 1}
    assert (row["byzantine"], row["traceback"], row["exit"]) == ("replay", "KeyError: 1", 0)
    assert node(started(0), usage(1.0, cpu_s=1.0), started(5.0)).usage_in_all["cpu_s"] == 1.0
    assert node_row(0, node(), [], None)["cpu_s"] is None


def test_memory_of_two_processes_is_not_compared():
    reports = [usage(float(t)) for t in range(1, 10)]
    assert memory_growth((1, 9), node(started(0), *reports)) == 1.0
    assert memory_growth((1, 9), node(started(0), *reports[:4], started(5.0), *reports[5:])) is None


def test_a_file_with_a_torn_line(tmp_path):
    path = tmp_path / "events.jsonl"
    connected = {"t": 1.0, "event": "connection", "peer": 2, "up": True}
    lines = [started(0.5), connected, {**connected, "t": 2.0, "up": False}, {**connected, "t": 3.0}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"t": 4.0, "eve')
    seen = read_node(path)
    assert seen.started_at == [0.5] and seen.met_at == {2: 1.0}
    assert read_node(tmp_path / "nothing").started_at == []


def others(blocks: list[list[dict]]) -> dict[int, NodeObservations]:
    """Nodes 0 to 2, which stay up and have these blocks."""
    return {index: node(started(0), *blocks) for index in range(3)}


def durable(block: list[dict]) -> float:
    return block[-1]["t"]


def restarted(back_at: float, catches_up_at: float, until: float = 12.0) -> NodeObservations:
    """A node killed at 4.0 that has the blocks it missed at `catches_up_at` and then goes along with the others."""
    before = [block for block in steady(until) if durable(block) < 4.0]
    adopted = [{**block[-1], "t": catches_up_at} for block in steady(until) if 4.0 <= durable(block) < catches_up_at]
    after = [block for block in steady(until) if durable(block) >= catches_up_at]
    return node(started(0), *before, started(back_at, len(before)), *adopted, *after)


def row_of(victim: NodeObservations, blocks: list[list[dict]], back_at: float = 6.0, window=LOADED) -> dict:
    """Node 3 is killed at 4.0; the others have these blocks."""
    (row,), (from_kill,) = measure([Outage(3, 4.0, back_at)], window, {**others(blocks), 3: victim})
    assert from_kill == (None if row["recovery_s"] is None else pytest.approx(row["recovery_s"] + back_at - 4.0))
    return row


def test_recovery_is_measured_from_the_restart_and_the_others_go_on():
    row = row_of(restarted(6.0, 7.1), steady(12.0))
    assert (row["node"], row["killed_at_s"], row["restarted_at_s"], row["down_s"]) == (3, 2.0, 4.0, 2.0)
    # At 7.1 it takes over what it missed, of which the newest block (6.8) is less than a second old.
    assert row["recovery_s"] == pytest.approx(1.1)
    assert row["committed_tx_while_down_others"] == 40, "blocks of 4.3, 4.8, 5.3, 5.8"
    assert row["throughput_while_down_tx_per_s"] == pytest.approx(20.0)
    assert row["throughput_before_tx_per_s"] == pytest.approx(20.0), "blocks of 2.3, 2.8, 3.3, 3.8"
    assert row["killed_again"] is False


def test_what_the_others_do_while_a_node_catches_up_is_measured_as_long_as_there_is_load():
    fast = [block for block in steady(20.0) if durable(block) < 6.0]
    slower = [epoch(len(fast) + k, 6.1 + k, committed=6.2 + k, durable=6.5 + k) for k in range(1, 10)]
    lagging = node(started(0), *[block for block in fast if durable(block) < 4.0], started(6.0), *slower[5:])
    for end, rate, why in (
        (INFINITE, pytest.approx(50 / 6.5), "blocks of 7.5 to 11.5"),
        (10.0, pytest.approx(30 / 4.0), "blocks of 7.5 to 9.5"),
        (5.0, None, "it came back when the load had ended"),
    ):
        row = row_of(lagging, [*fast, *slower], window=(2.0, end))
        assert row["recovery_s"] == pytest.approx(6.5)
        assert row["throughput_catching_up_tx_per_s"] == rate, why


def test_a_node_that_lags_behind_does_not_keep_up():
    late = [{**block[-1], "t": durable(block) + 3.0} for block in steady(12.0)]
    row = row_of(node(started(0), started(6.0), *late), steady(20.0))
    assert row["recovery_s"] is None
    assert median_and_worst([row], "recovery_s") == (None, None)


def test_a_block_from_before_the_kill_does_not_show_that_a_node_keeps_up():
    (old,) = [block[-1] for block in steady(12.0) if durable(block) == pytest.approx(3.8)]
    assert row_of(node(started(0), started(4.2), {**old, "t": 4.5}), steady(12.0), 4.1)["recovery_s"] is None


def test_the_last_block_that_there_is_counts_however_late():
    back = node(started(0), started(6.0), *[{**block[-1], "t": 11.0} for block in steady(8.0)])
    assert row_of(back, steady(8.0))["recovery_s"] == pytest.approx(5.0)


def test_when_all_were_killed_the_first_new_block_counts():
    old = [block for block in steady(12.0) if durable(block) < 4.0]
    new = epoch(len(old) + 1, 6.5, committed=6.7, durable=6.8)
    seen = {i: node(started(0), *old, started(6.0 + i / 10, len(old)), new) for i in range(4)}
    rows, from_kill = measure([Outage(i, 4.0, 6.0) for i in range(4)], LOADED, seen)
    assert [row["recovery_s"] for row in rows] == pytest.approx([0.8] * 4)
    assert from_kill == pytest.approx([2.8] * 4)
    assert {row["throughput_while_down_tx_per_s"] for row in rows} == {None}, "nobody stayed up"
    assert {row["committed_tx_while_down_others"] for row in rows} == {None}


def test_a_node_killed_again_before_it_kept_up_is_said_to_be():
    outages = [Outage(3, 4.0, 6.0), Outage(3, 6.5, 6.6)]
    rows, from_kill = measure(outages, LOADED, {**others(steady(12.0)), 3: restarted(6.0, 7.1)})
    assert [(row["recovery_s"] is None, row["killed_again"]) for row in rows] == [(True, True), (False, False)]
    assert from_kill[0] is None and from_kill[1] == pytest.approx(0.6)


def test_who_is_still_catching_up_does_not_count_among_the_others():
    """Else the second round would show no throughput, although two nodes go on."""
    outages = [Outage(3, 4.0, 6.0), Outage(2, 8.0, 9.0)]
    rows, _ = measure(outages, LOADED, {**others(steady(12.0)), 3: restarted(6.0, 11.3)})
    assert [row["node"] for row in rows] == [3, 2]
    assert rows[1]["committed_tx_while_down_others"] == 20
    assert rows[1]["throughput_before_tx_per_s"] == pytest.approx(20.0), "since the last restart"


def test_median_and_worst_leave_out_who_did_not_get_there():
    rows = [{"recovery_s": s} for s in (3.0, None, 1.0, 10.0)]
    assert median_and_worst(rows, "recovery_s") == (3.0, 10.0)


def test_the_longest_pause_of_the_others_after_each_kill():
    """They stop at 4.3 for 2.5 s; what is missing after the last block is no pause."""
    blocks = [block for block in steady(12.0) if not 4.4 < durable(block) < 6.7]
    victim = restarted(5.0, 8.0)
    outages = [Outage(3, 4.0, 5.0), Outage(3, 9.0, 9.1)]
    first, second = measure(outages, LOADED, {**others(blocks), 3: victim})[0]
    assert first["pause_s"] == pytest.approx(2.5) and second["pause_s"] == pytest.approx(0.5)
    assert longest_pause(4.0, 4.2, INFINITE, list(others(blocks).values())) is None, "no block, no figure"
    for window_end, pause in ((5.3, 1.0), (4.2, 0.2)):
        loaded = row_of(victim, blocks, 5.0, (2.0, window_end))
        assert loaded["pause_s"] == pytest.approx(pause), "without load there need be no blocks"
    (row,), _ = measure(outages[:1], LOADED, {3: victim})
    assert row["pause_s"] is None, "there are no others"
    assert measure([], LOADED, others(blocks)) == ([], [])


def test_only_epochs_that_began_after_the_fault_show_that_things_go_on():
    nodes = [
        node(started(0), epoch(1, 1.0, durable=2.0), epoch(2, 4.9, durable=6.0), epoch(3, begun, durable=7.0))
        for begun in (5.5, 5.1)
    ]
    assert committed_after(5.0, nodes) == 10
    assert committed_after(5.2, nodes) == 0, "one node began it before"
    assert committed_after(4.0, [nodes[0], node(started(0))]) == 0, "not in every ledger"


def test_faults_are_counted_by_node_kind_and_who_recorded_them():
    def fault(kind: str, accused: int) -> dict:
        return {"t": 1.0, "event": "fault", "node": accused, "kind": kind, "detail": ""}

    honest = {0: node(fault("BAD_BRANCH", 3), fault("BAD_BRANCH", 3)), 1: node(fault("BAD_BRANCH", 3)), 2: node()}
    honest[2].take(fault("EQUIVOCATION", 3))
    assert recorded_faults(honest) == [
        {"node": 3, "kind": "BAD_BRANCH", "records": 3, "recorded_by": 2},
        {"node": 3, "kind": "EQUIVOCATION", "records": 1, "recorded_by": 1},
    ]


def test_the_most_that_was_held_is_told_with_its_cap():
    reports = [
        usage(1.0, held_bytes={"1": 5, "2": 9}, held_bytes_cap=100, epoch_bytes={"7": 50}, epoch_bytes_cap=60),
        usage(2.0, held_bytes={"1": 7}, held_bytes_cap=100, epoch_bytes={}, instance_bytes=3, instance_bytes_cap=4),
    ]
    most = {"peer_bytes": 9, "epoch_bytes": 50, "instance_bytes": 3}
    assert most_held(reports) == {**most, "peer_bytes_cap": 100, "epoch_bytes_cap": 60, "instance_bytes_cap": 4}
    assert most_held([]) == {}


def test_what_was_not_reported_is_not_zero():
    silent = node_row(0, node(usage(1.0)), [], 0)
    assert silent["most_held"] == {} and silent["hub_lag_s"] is None and silent["mempool_max"] is None
    told = node_row(0, node(usage(1.0, hub_lag_s=0.0, mempool=0), usage(2.0, hub_lag_s=None)), [], 0)
    assert (told["hub_lag_s"], told["mempool_max"]) == (0.0, 0)
    # A system that does not tell what is written to the disk, and one that does, over two lives.
    untold = node(usage(1.0, written_bytes=None), usage(3.0, written_bytes=None))
    assert node_row(0, untold, [], 0)["written_bytes"] is None and silent["written_bytes"] is None
    assert used_in((1.0, 3.0), [untold], "written_bytes") is None
    lives = node(usage(1.0, written_bytes=100), usage(2.0, written_bytes=300))
    lives.take({"event": "started", "t": 2.5, "height": 0})
    lives.take(usage(3.0, written_bytes=50))
    assert used_in((1.5, 3.0), [lives], "written_bytes") == pytest.approx(150)
    assert used_in((1.5, 3.0), [lives, untold], "written_bytes") is None


def test_what_cryptography_took_is_summed_over_nodes_and_lives():
    lives = node(
        *(started(0), usage(1.0, crypto_cpu_s={"check": 1.0, "coin": 0.0}), usage(2.0, crypto_cpu_s={"check": 3.0})),
        *(started(2.5), usage(3.0, crypto_cpu_s={"check": 0.5})),
    )
    other = node(usage(1.0, crypto_cpu_s={"check": 0.0}), usage(3.0, crypto_cpu_s={"check": 4.0}))
    assert used_in((1.5, 3.0), [lives, other], "crypto_cpu_s.check") == pytest.approx(1.5 + 3.0)
    # Without instrumentation nodes report nothing of it.
    assert used_in((1.5, 3.0), [lives, node(usage(1.0), usage(3.0))], "crypto_cpu_s.check") is None


def test_a_liar_that_did_what_a_correct_node_does_is_named():
    def row(strategy: str, **lies: int) -> dict:
        return node_row(3, node(usage(1.0, **lies)), [], 0, strategy)

    says = "node 3 ({}) did only what a correct node does: it changed none of its 2,000 messages and sent no others; {}"
    nothing = {"changed_messages": 0, "honest_messages": 2000, "extra_messages": 0}
    assert idle_liars([row("mine:Mine", **nothing)]) == [says.format("mine:Mine", "is its class for another protocol?")]
    assert idle_liars([row("drip-blocks", **nothing)]) == [
        says.format("drip-blocks", "nothing gave it occasion to lie")
    ]
    # Those that changed or sent something, a correct node, and a liar that reported nothing.
    active = [row("mine:Mine", **nothing | {name: 1}) for name in ("changed_messages", "extra_messages")]
    assert idle_liars([*active, row(""), node_row(3, node(), [], 1, "flood")]) == []
    assert active[0]["changed_messages"] == 1 and row("")["changed_messages"] is None
