"""A run second by second, its epochs and its latencies, from made-up observations."""

import gzip
import json
import os

import numpy as np
import pytest

from bench.load.offers import Offers
from bench.load.waits import Waits
from bench.measure.observations import NodeObservations
from bench.measure.quantities import agreement_means, phase_means, phase_steps, quorum_durations, used_in
from bench.measure.timeline import epoch_rows, histogram, merged_events, per_second
from bench.studies import any_design
from bench.studies.any_design import payload_once
from bench.studies.limit import limit_of, limit_of_any_design, setting_of
from honeybadger.cluster.errors import ClusterError
from honeybadger.protocols.registry import find_protocol

PBFT, HONEY_BADGER = find_protocol("pbft").phases, find_protocol("honeybadger").phases


def node(*events) -> NodeObservations:
    seen = NodeObservations()
    for at, kind, details in events:
        seen.take({"t": at, "event": kind, **details})
    return seen


def block(at, height, count):
    return at, "block", {"height": height, "epoch": height, "transactions": count, "bytes": 10 * count}


def usage(at, cpu, **details):
    return at, "usage", {"cpu_s": cpu, "rss_bytes": 5, "longest_tick_s": 0.1, **details}


def test_seconds():
    nodes = [
        node(usage(99, 0.0), block(100.5, 1, 10), block(101.2, 2, 20), usage(101, 1.0, mempool=3)),
        node(usage(99, 0.0), block(100.9, 1, 10), block(102.5, 2, 20), usage(101, 3.0, mempool=4)),
        node(usage(99, 0.0), block(101.1, 1, 10), block(101.3, 2, 20), usage(101, 0.0)),
    ]
    scheduled = np.array([99.8, 100.1, 100.8, 100.9])
    durable = np.array([100.1, 100.4, 100.9, 101.1])
    offers = Offers([], scheduled, durable, np.full(4, 103.0), 0, 0, 0, {})
    rows = per_second((100.0, 102.0), nodes, 2, offers)
    assert [row["second"] for row in rows] == [-1, 0, 1, 2]
    assert [row["offered_tx"] for row in rows] == [1, 3, 0, 0]
    assert [row["committed_tx"] for row in rows] == [0, 0, 10, 20], "at the last node"
    assert [row["committed_at_quorum_tx"] for row in rows] == [0, 10, 20, 0], "at the second one"
    assert [row["latency_p50_s"] for row in rows] == [pytest.approx(0.3), pytest.approx(0.2), None, None]
    assert rows[1]["cpu_cores"] == pytest.approx(2.0) and rows[3]["cpu_cores"] is None
    assert rows[2]["mempool_tx"] == 7


def test_steps_have_the_names_of_what_ends_them_whatever_the_protocol_is():
    honey_badger = {"proposed": 1.0, "broadcast": 2.0, "agreed": 2.5, "decrypted": 2.5, "committed": 4.0}
    steps = {"broadcast": 1.0, "agreement": 0.5, "decryption": 0.0, "in_order": 1.5}
    assert phase_steps(honey_badger, HONEY_BADGER) == steps
    assert phase_steps({"proposed": 1.0, "prepared": 1.5, "committed": 1.5}, PBFT) == {"prepare": 0.5, "in_order": 0.0}
    assert phase_steps({"broadcast": 1.0, "committed": 1.5}, HONEY_BADGER) == {}, "never proposed here"


def test_epochs_of_another_protocol_are_accounted():
    steps = [(1.0, "proposed"), (1.25, "prepared"), (1.75, "committed")]
    seen = node(*((at, kind, {"epoch": 1}) for at, kind in steps), block(2.0, 1, 7))
    assert phase_means((0, 3), [seen], PBFT) == {"prepare": 0.25, "in_order": 0.5, "ledger": 0.25}
    (row,) = epoch_rows(0.5, {3: seen}, PBFT)
    assert (row["epoch"], row["node"], row["proposed_at_s"], row["prepare_s"]) == (1, 3, 0.5, 0.25)
    assert (row["transactions"], row["ledger_s"], row["rounds"]) == (7, 0.25, None)


def test_steps_are_in_the_protocols_order_whichever_node_reports_first():
    late = node((1.0, "proposed", {"epoch": 1}), (1.5, "committed", {"epoch": 1}))
    full = node(*((1 + n / 10, phase.name, {"epoch": 2}) for n, phase in enumerate(HONEY_BADGER)))
    assert list(phase_means((0, 3), [late, full], HONEY_BADGER)) == [*(p.step for p in HONEY_BADGER[1:]), "ledger"]


def test_an_epoch_lasts_from_the_first_proposal_until_a_quorum_has_committed_it():
    def at(proposed, committed, epoch=1):
        times = (("proposed", proposed), ("committed", committed))
        return [(time, kind, {"epoch": epoch}) for kind, time in times if time]

    nodes = [node(*at(1.0, 5.0)), node(*at(1.5, 3.0)), node(*at(0.5, 4.0)), node(*at(0, 9.0))]
    assert quorum_durations((0, 10), nodes, 3) == [4.5], "the third commit is at 5.0"
    assert quorum_durations((0, 5.0), nodes, 3) == quorum_durations((5.1, 10), nodes, 3) == [], "not in the window"
    assert quorum_durations((0, 10), [node(*at(0, 2.0))], 1) == [], "its beginning is unknown"
    two = [node(*at(1.0, 2.0), *at(2.0, 4.0, 2)), node(*at(1.1, 2.1), *at(2.1, 0, 2))]
    assert quorum_durations((0, 10), two, 2) == [pytest.approx(1.1)], "one node alone is no quorum of two"


def test_agreement_counts_epochs_that_end_in_the_window_and_each_once():
    def agreed(at, epoch, rounds, coins, accepted):
        return at, "agreed", {"epoch": epoch, "rounds": rounds, "coins": coins, "accepted": accepted}

    def committed(at, epoch):
        return at, "committed", {"epoch": epoch}

    restarted = node(
        *((0.5, "started", {"height": 0}), agreed(1.0, 1, 9, 9, 9), committed(1.5, 1), agreed(2.5, 2, 8, 8, 8)),
        *((3.0, "started", {"height": 1}), agreed(3.5, 2, 1, 0, 4), committed(3.6, 2), agreed(9.0, 3, 7, 7, 7)),
    )
    other = node(agreed(2.5, 2, 4, 1, 3), committed(2.6, 2), agreed(6.0, 3, 6, 6, 6), committed(10.5, 3))
    names = ("rounds_mean", "coins_per_epoch_mean", "accepted_mean")
    assert agreement_means((2.0, 10.0), [restarted, other]) == dict(zip(names, (2.5, 0.5, 3.5), strict=True))
    assert agreement_means((2.0, 10.0), [node()]) == dict.fromkeys(names)


def test_counters_go_on_over_restarts():
    started = {"height": 0}
    seen = node(usage(0, 0), usage(10, 10), (11, "started", started), usage(12, 0), usage(22, 20))
    assert used_in((5, 17), [seen], "cpu_s") == pytest.approx(5 + 10)
    assert used_in((5, 17), [seen, node()], "cpu_s") is None


def test_the_histogram_counts_everything_once():
    values = np.random.default_rng(1).exponential(0.2, 5000)
    rows = histogram(Waits(values, np.empty(0)))
    assert sum(row["count"] for row in rows) == 5000 and rows[-1]["share_up_to_upper"] == 1
    for row in rows[:: len(rows) // 7]:
        assert row["share_up_to_upper"] == pytest.approx(np.mean(values < row["upper_s"]), abs=1e-3)
    assert histogram(Waits(np.empty(0), np.empty(0))) == []


def test_events_of_all_nodes_are_kept_but_for_broken_lines(tmp_path):
    (tmp_path / "0").write_text('{"t": 1, "event": "fault", "node": 3}\n{"t": 2, "ev')
    (tmp_path / "1").write_text('{"t": 1, "event": "started"}\n')
    packed = gzip.compress(b"".join(merged_events([(0, tmp_path / "0"), (1, tmp_path / "1"), (2, tmp_path / "2")])))
    events = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    assert [(event["from"], event.get("node")) for event in events] == [(0, 3), (1, None)]


def test_the_limit_adds_up():
    this = limit_of(4, 40, 100, 0.05, reached=100.0)
    for found in (this, limit_of_any_design(4, 40, 100, 0.05, reached=100.0)):
        assert sum(row["share"] for row in found["primitives"]) == pytest.approx(1)
        per_node = sum(row["times"] * row["seconds"] for row in found["primitives"])
        assert found["cpu_s_per_epoch"] == pytest.approx(4 * per_node)
        assert found["bound_tx_per_s"] == pytest.approx(min(4, this["cores"]) * 40 / found["cpu_s_per_epoch"])
        assert found["achieved_ratio"] == pytest.approx(100 / found["bound_tx_per_s"])


def test_the_limit_of_any_design_moves_hashes_and_writes_every_byte_once():
    with payload_once(4, 200_000) as primitives:
        times = [(what.split(" ")[0], times) for what, times, _ in primitives]
        assert times == [("receive", 3), ("AES-GCM", 3), ("AES-GCM", 3), ("hash", 4), ("write", 4)]
        assert all(run() > 0 for _, _, run in primitives)
    with pytest.raises(OSError):
        primitives[0][2]()


def test_a_proposal_arrives_whole_and_is_written_whole(monkeypatch, tmp_path):
    """However little the kernel gives or takes at a time."""
    data = bytes(range(256)) * 1000
    got = []

    class Half:
        def sendall(self, chunk):
            got.append([bytes(chunk), 0])

        def recv_into(self, space, most):
            part = max(1, most // 2)
            got[-1][1] += part
            return part

    monkeypatch.setattr(any_design, "LEAST_SENT", len(data))
    any_design._transport(Half(), Half(), data)()
    assert b"".join(chunk for chunk, _ in got) == data and all(len(chunk) == read for chunk, read in got)
    with (tmp_path / "f").open("wb") as file:
        pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda f, view, at: pwrite(f, view[:1000], at))
        any_design._write(file.fileno(), data)
    assert (tmp_path / "f").read_bytes() == data


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "not the summary"),
        ('{"valid": true, "protocol": "pbft"}', "for honeybadger only"),
        ('{"valid": false, "reason": "x"}', "invalid: x"),
    ],
)
def test_the_limit_of_what_is_no_result(tmp_path, text, says):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ClusterError, match=says):
        setting_of(tmp_path / "s.json")
