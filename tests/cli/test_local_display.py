"""The tables of `honeybadger local`."""

import io
from typing import Any

import pytest
from support.local_summary import busy, restart, summary

from bench.run.progress import Progress
from bench.studies.limit import limit_of, unavoidable_s_per_tx
from honeybadger.cli.local_display import Display
from honeybadger.cli.local_table import print_tables


@pytest.fixture
def shown(monkeypatch, capsys):
    """The table of a summary with these changes."""
    monkeypatch.setenv("COLUMNS", "80")

    def shown(unavoidable_s_per_tx: float | None = None, **changes: Any) -> str:
        print_tables(summary(**changes), unavoidable_s_per_tx)
        return capsys.readouterr().out

    return shown


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("schedule", "text"), [("always", "encryption on"), ("never", "encryption OFF"), ("every:5", "encryption every:5")]
)
def test_the_encryption_schedule_is_named(shown, schedule, text):
    out = shown(parameters={"encryption": schedule})
    assert text in flat(out)


def test_titles_fit_80_columns(shown):
    lines = shown(crashed=[3], committed_tx_after_crash=5).splitlines()
    titles = ("node", "CPU s", "peak", "sent", "recv", "messages", "blocks", "faults", "exit")
    assert any(all(title in line for title in titles) for line in lines)
    assert any("12,345,678" in line and "killed" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_an_emulated_wan_is_shown_with_its_measured_round_trips(shown):
    pairs = [{"measured_rtt_ms": 19.5}, {"measured_rtt_ms": 331.25}]
    wan = {"profile": "eight-regions", "pairs": pairs, "worst_deviation_percent": 1.76}
    wan |= {"emulator": "netem", "lateness_ms": None, "regions": ["virginia", "tokyo", "virginia", "ohio"]}
    text = flat(shown(wan=wan))
    assert "eight-regions round trips 19.5 to 331.2 ms measured, at most 1.8 % off the profile" in text
    assert "regions 0, 2: virginia; 1: tokyo; 3: ohio" in text
    near = {**wan, "worst_deviation_percent": None}
    assert "off the profile" not in shown(wan=near)
    assert "late by" not in shown(wan=wan)
    late = {"emulator": "user-space", "lateness_ms": {"median": 0.03, "p99": 0.1, "max": 12.25}}
    text = flat(shown(wan=wan | late))
    assert "user-space packets left late by 0.03 ms (p99 0.10, max 12.2)" in text
    assert "WAN" not in shown(wan=None)


def test_rows_for_what_happened_and_only_for_that(shown):
    words = ("late sends", "refused", "unanswered", "left out", "restarts", "Byzantine", "WAN", "link faults")
    calm = shown()
    assert not any(word in calm for word in words)
    out = shown(**busy())
    assert all(word in out for word in (*words, "1,234", "15", "full")) and max(map(len, out.splitlines())) <= 80
    text = flat(out)
    assert "restarts 3 of nodes [2, 3]; 1 never kept up; 1 killed again" in text
    assert "recovery median 3.1 s from restart to keeping up, worst 9.9 s" in text
    assert "pause median 2.7 s after a kill without a new block, worst 5.5 s" in text
    assert "while down 1,000 tx/s of the others, 2,000 before" in text
    assert "catching up 1,500 tx/s of the others, 2,000 before" in text
    assert "unanswered 9 transactions of the whole run; 4 at killed nodes" in text
    assert "left out 1 in less than half of the blocks: node 3" in text
    assert "nodes 0, 3" in shown(left_out=[0, 3])
    assert "after the crash 6 transactions committed by the remaining nodes" in text


def test_when_nobody_stayed_up_there_are_no_others(shown):
    out = shown(restarted=[0], restarts=[restart(0, 3.0, None, None, None, None)])
    assert "restarts" in out and "while down" not in out and "recovery median" not in out


def test_liars_and_what_was_recorded_of_them(shown):
    faults = [
        {"node": 2, "kind": "BAD_BRANCH", "records": 30, "recorded_by": 2},
        {"node": 3, "kind": "BAD_BRANCH", "records": 5, "recorded_by": 1},
    ]
    rows = summary()["per_node"]
    rows[3] |= {"traceback": "KeyError: 'x'", "changed_messages": 120, "honest_messages": 4800, "extra_messages": 0}
    liars = {"2": "bad-shards", "3": "replay"}
    out = shown(byzantine=liars, faults_recorded=faults, per_node=rows)
    text = flat(out)
    assert "Byzantine 2 2: bad-shards; 3: replay, changed 120 of 4,800 messages (1 more than f)" in text
    capped = "or more: each node records at most 10 of this kind for each accused node"
    assert f"BAD_BRANCH 35 {capped}; recorded by 2 correct nodes, of nodes [2, 3]" in text
    assert "node 3 failed KeyError: 'x'" in text


def test_records_below_the_cap_are_all_there_are(shown):
    fault = {"node": 3, "kind": "BAD_BRANCH", "records": 9, "recorded_by": 3}
    assert "BAD_BRANCH 9 recorded by 3 correct nodes, of nodes [3]" in flat(shown(faults_recorded=[fault]))


def test_what_a_liar_sent_of_its_own(shown):
    rows = summary()["per_node"]
    rows[3] |= {"changed_messages": 0, "honest_messages": 1, "extra_messages": 2000}
    assert "3: flood, changed 0 of 1 message, sent 2,000 more" in flat(shown(byzantine={"3": "flood"}, per_node=rows))


def test_the_last_line_says_why_a_result_is_invalid(shown):
    assert shown(valid=False, reason="nothing was committed").splitlines()[-1] == "INVALID: nothing was committed"
    assert "INVALID" not in shown()


def test_link_faults_in_words(shown):
    faults = [
        {"kind": "partition", "groups": [[0, 1], [2, 3]], "start_s": 5.0, "end_s": 10.0},
        {"kind": "one-way", "senders": [0]},
        {"kind": "delay", "delay_s": 0.1, "jitter_s": 0.02},
        {"kind": "bandwidth", "bytes_per_s": 250000.0, "receivers": [3]},
        {"kind": "drop", "probability": 0.01},
        {"kind": "reset", "every_s": 0.5},
        {"kind": "slow", "every_s": 0.02, "receivers": [1]},
    ]
    text = flat(shown(link_faults=faults))
    for words in (
        "measured: seconds 2.5 to 4.5 of the schedule",
        "partition 0,1 | 2,3, seconds 5 to 10",
        "one-way 0 to all, seconds 0 to the end",
        "delay all links, 100 ± 20 ms",
        "bandwidth all to 3, 0.25 MB/s",
        "drop all links, probability 0.01",
        "reset all links, every 500 ms",
        "slow nodes 1, every 20 ms",
    ):
        assert words in text, text


def test_what_goes_on_now_is_shown():
    now = Progress("running", 1.0, 12.0, crashed=[2], restarts=3, byzantine=[3], link_faults=["partition", "drop"])
    line = Display._line(now)
    assert "killed: [2]  restarts: 3  Byzantine: [3]  links: partition, drop" in line
    out = io.StringIO()
    Display(out).show(now)
    assert out.getvalue() == "running (nodes [2] killed) (partition, drop)\n"


def test_an_unusual_load_is_named(shown):
    unusual = {"load": "open loop", "arrivals": "poisson", "clients": 3, "submit_to": 2, "tx_size": "exp:250"}
    text = flat(shown(**unusual))
    assert "open loop, Poisson arrivals, 3 clients, each to 2 nodes" in text and "exp:250 bytes" in text
    assert "clients" not in shown()


def test_what_was_never_answered_is_told(shown):
    never = {"offered_tx": 20, "offered_refused_tx": 5, "offered_unanswered_tx": 3, "latency_at_least": ["p99", "max"]}
    text = flat(shown(**never, warnings=["node 3's proposals are in 2 of 85 blocks"]))
    assert "20 transactions in 2 s, closed loop 5 tx/s 12 of these were committed in the end" in text
    assert "5 of these were refused 3 of these were never answered committed 10 transactions in 2 s" in text
    assert "latency p50 100.0" in text and "latency p99 ≥ 200.0" in text and "latency max ≥ 300.0" in text
    assert "backlog 3 waiting at the start, 4 at the end" in text and "drained 0.1" in text
    assert "attention: node 3's proposals are in 2 of 85 blocks" in text


def test_where_the_time_of_an_epoch_goes(shown):
    text = flat(shown())
    assert "epochs 3 in 2 s, a block each ledger height 5 with warm-up and drain; tip abababababababab" in text
    steps = "broadcast 50.0, agreement 30.0, decryption 40.0, in_order 5.0"
    assert f"epoch p50 100.0 ms from proposal to block epoch mean 125.0 ms: {steps} ledger 20.0 ms from block" in text
    assert all(step in shown() for step in steps.split(", ")), "each with its figure in one line"
    uncounted = flat(shown(phase_s={"ledger": None}, epoch_s={"p50": None, "mean": None}))
    assert "epoch p50 – ms from proposal to block epoch mean – ms ledger – ms from block" in uncounted


def test_what_an_epoch_decides(shown):
    text = flat(shown())
    assert "rounds 1.25 of an epoch's longest agreement, mean" in text
    assert "coins 0.50 tossed in an epoch, mean accepted 3.90 of 4 proposals in a block, mean" in text
    names = ("rounds_mean", "coins_per_epoch_mean", "accepted_mean")
    text = flat(shown(agreement=dict(zip(names, (None, 0.0, 0.001), strict=True))))
    assert "rounds – " in text and "coins 0 tossed" in text and "accepted < 0.01 of 4" in text
    pbft = shown(protocol="pbft", agreement=dict.fromkeys(names))
    assert not any(word in pbft for word in ("rounds", "coins", "accepted"))


def test_the_processor_time_and_how_much_of_it_no_node_can_avoid(shown):
    assert "CPU per tx 20.0 µs at all nodes; 25% of it no node can avoid" in flat(shown(5e-6))
    assert "CPU per tx 20.0 µs at all nodes together" in flat(shown(None))
    assert "CPU per tx – µs at all nodes together" in flat(shown(5e-6, cpu_s_per_tx=None))


def test_the_unavoidable_is_worked_out_for_the_blocks_and_the_nodes_of_the_run(monkeypatch):
    asked = []

    def limit(nodes: int, batch_size: int, tx_bytes: int, seconds: float) -> dict[str, float]:
        asked.append((nodes, batch_size, tx_bytes, seconds))
        return {"cpu_s_per_epoch": 8.0}

    assert unavoidable_s_per_tx(summary(), 0.01) == pytest.approx(0, abs=1e-2)
    monkeypatch.setattr(f"{limit_of.__module__}.limit_of", limit)
    many = summary(committed_tx=3200, epochs=4)
    assert unavoidable_s_per_tx(many, 0.5) == pytest.approx(8 / 800)
    assert unavoidable_s_per_tx(many | {"crashed": [1], "byzantine": {"3": "x"}}, 0.5) == pytest.approx(4 / 800)
    assert unavoidable_s_per_tx(many | {"tx_bytes": 50_000}, 0.5) == pytest.approx(8 / 100)
    # Three in a block, and one for each node in what is timed.
    assert unavoidable_s_per_tx(summary(), 0.5) == pytest.approx(8 / 4)
    assert asked == [(4, 800, 250, 0.5)] * 2 + [(4, 100, 50_000, 0.5), (4, 4, 250, 0.5)]
    for other in (
        {"protocol": "pbft"},
        {"curve": False},
        {"faults_tolerated": 0},
        {"parameters": {"encryption": "every:2"}},
        {"committed_tx": 0, "epochs": 0},
    ):
        assert unavoidable_s_per_tx(summary(**other), 0.5) is None
    assert len(asked) == 4
