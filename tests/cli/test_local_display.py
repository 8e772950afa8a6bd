"""The tables of `honeybadger local`."""

from __future__ import annotations

import io
from typing import Any

import pytest

from bench.settings import Progress
from honeybadger.cli.local_display import Display, print_table


def summary(**changes: Any) -> dict[str, Any]:
    row = {
        "block_share": 0.75,
        "cpu_s": 123.4,
        "peak_rss_bytes": 1e9,
        "sent_bytes": 1e10,
        "received_bytes": 1e10,
        "faults": 0,
        "exit": 0,
    }
    return {
        "protocol": "honeybadger",
        "nodes": 4,
        "faults_tolerated": 1,
        "batch_size": 400,
        "tx_bytes": 250,
        "duration_s": 2.0,
        "load": "closed loop",
        "offered_tx_per_s": 5.0,
        "throughput_tx_per_s": 5.0,
        "throughput_bytes_per_s": 5.0,
        "committed_tx": 10,
        "latency_s": {"p50": 0.1, "p99": 0.2, "max": 0.3},
        "latency_at_least": [],
        "offered_tx": 12,
        "offered_committed_tx": 12,
        "offered_refused_tx": 0,
        "offered_unanswered_tx": 0,
        "backlog_start_tx": 3,
        "backlog_end_tx": 4,
        "drain_s": 0.1,
        "warnings": [],
        "epochs": 3,
        "epoch_s": {"p50": 0.1},
        "ledger": {"height": 3, "tip": "ab" * 32},
        "crashed": [],
        "restarted": [],
        "restarts": [],
        "recovery_s": [],
        "recovery_median_s": None,
        "recovery_worst_s": None,
        "pause_median_s": None,
        "pause_worst_s": None,
        "byzantine": {},
        "link_faults": [],
        "link_fault_zero_s": -2.5,
        "faults_recorded": [],
        "committed_tx_after_crash": None,
        "late_sends": 0,
        "refused_tx": {},
        "unanswered_tx": 0,
        "abandoned_tx": 0,
        "durability": "fsync",
        "curve": True,
        "encrypt": True,
        "parameters": {"encryption": "always"},
        "per_node": [
            {"id": i, "messages_handled": 12_345_678, "byzantine": "", "traceback": "", **row} for i in range(4)
        ],
        "valid": True,
        **changes,
    }


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(summary(**changes))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("schedule", "text"),
    [("always", "encryption on"), ("never", "encryption OFF"), ("every:5", "encryption every:5")],
)
def test_the_encryption_schedule_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], schedule: str, text: str
) -> None:
    out = shown(monkeypatch, capsys, parameters={"encryption": schedule})
    assert text in " ".join(out.replace("│", " ").split())


def test_titles_fit_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(monkeypatch, capsys, crashed=[3], committed_tx_after_crash=5).splitlines()
    titles = ("node", "CPU s", "peak", "sent", "recv", "messages", "blocks", "faults", "exit")
    assert any(all(title in line for title in titles) for line in lines)
    assert any("12,345,678" in line and "killed" in line for line in lines)
    assert max(map(len, lines)) <= 80


def restart(node: int, killed_at_s: float, recovery_s: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "node": node,
        "killed_at_s": killed_at_s,
        "recovery_s": recovery_s,
        "killed_again": False,
        "throughput_before_tx_per_s": 2000.0,
        "throughput_while_down_tx_per_s": 1000.0,
        "throughput_catching_up_tx_per_s": 1500.0,
        **changes,
    }


def test_an_emulated_wan_is_shown_with_its_measured_round_trips(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [{"measured_rtt_ms": 19.5}, {"measured_rtt_ms": 331.25}]
    wan = {"profile": "eight-regions", "pairs": pairs, "worst_deviation_percent": 1.76}
    wan |= {"emulator": "netem", "lateness_ms": None}
    flat = " ".join(shown(monkeypatch, capsys, wan=wan).replace("│", " ").split())
    assert "eight-regions round trips 19.5 to 331.2 ms measured, at most 1.8 % off the profile" in flat
    near = {**wan, "worst_deviation_percent": None}
    assert "off the profile" not in shown(monkeypatch, capsys, wan=near)
    assert "late by" not in shown(monkeypatch, capsys, wan=wan)
    late = {"emulator": "user-space", "lateness_ms": {"median": 0.03, "p99": 0.1, "max": 12.25}}
    flat = " ".join(shown(monkeypatch, capsys, wan=wan | late).replace("│", " ").split())
    assert "user-space packets left late by 0.03 ms (p99 0.10, max 12.2)" in flat
    assert "WAN" not in shown(monkeypatch, capsys, wan=None)


def test_rows_for_what_happened_and_only_for_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("late sends", "refused", "unanswered", "restarts", "Byzantine", "link faults")
    calm = shown(monkeypatch, capsys)
    assert not any(word in calm for word in words)
    busy = shown(
        monkeypatch,
        capsys,
        late_sends=1234,
        refused_tx={"full": 7, "too long": 8},
        unanswered_tx=9,
        abandoned_tx=4,
        restarted=[2, 3],
        restarts=[restart(2, 3.0, 3.14), restart(3, 3.0, None), restart(2, 7.0, None, killed_again=True)],
        recovery_median_s=3.14,
        recovery_worst_s=9.87,
        pause_median_s=2.72,
        pause_worst_s=5.52,
        byzantine={"3": "bad-shards"},
        link_faults=[{"kind": "drop", "probability": 0.01}],
    )
    assert all(word in busy for word in (*words, "1,234", "15", "full"))
    flat = " ".join(busy.replace("│", " ").split())
    assert "restarts 3 of nodes [2, 3]; 1 never kept up; 1 killed again" in flat
    assert "recovery median 3.1 s from restart to keeping up, worst 9.9 s" in flat
    assert "pause median 2.7 s after a kill without a new block, worst 5.5 s" in flat
    assert "while down 1,000 tx/s of the others, 2,000 before" in flat
    assert "catching up 1,500 tx/s of the others, 2,000 before" in flat
    assert "unanswered 9 transactions, when the run ended; 4 at killed nodes" in flat


def test_when_nobody_stayed_up_there_are_no_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = {"throughput_before_tx_per_s": None, "throughput_while_down_tx_per_s": None}
    nobody["throughput_catching_up_tx_per_s"] = None
    out = shown(monkeypatch, capsys, restarted=[0], restarts=[restart(0, 3.0, None, **nobody)])
    assert "restarts" in out and "while down" not in out and "recovery median" not in out


def test_liars_and_what_was_recorded_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = [
        {"node": 2, "kind": "BAD_BRANCH", "records": 30, "recorded_by": 2},
        {"node": 3, "kind": "BAD_BRANCH", "records": 5, "recorded_by": 1},
    ]
    rows = summary()["per_node"]
    rows[3]["traceback"] = "KeyError: 'x'"
    liars = {"2": "bad-shards", "3": "replay"}
    out = shown(monkeypatch, capsys, byzantine=liars, faults_recorded=faults, per_node=rows)
    flat = " ".join(out.replace("│", " ").split())
    assert "Byzantine 2 2: bad-shards, 3: replay (1 more than f)" in flat
    assert "BAD_BRANCH 35" in flat and "2 correct nodes" in flat and "[2, 3]" in flat
    assert "node 3 failed KeyError: 'x'" in flat


def test_link_faults_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    faults = [
        {"kind": "partition", "groups": [[0, 1], [2, 3]], "start_s": 5.0, "end_s": 10.0},
        {"kind": "one-way", "senders": [0]},
        {"kind": "delay", "delay_s": 0.1, "jitter_s": 0.02},
        {"kind": "bandwidth", "bytes_per_s": 250000.0, "receivers": [3]},
        {"kind": "drop", "probability": 0.01},
        {"kind": "reset", "every_s": 0.5},
        {"kind": "slow", "every_s": 0.02, "receivers": [1]},
    ]
    flat = " ".join(shown(monkeypatch, capsys, link_faults=faults).replace("│", " ").split())
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
        assert words in flat, flat


def test_what_goes_on_now_is_shown() -> None:
    now = Progress("running", 1.0, 12.0, crashed=[2], restarts=3, byzantine=[3], link_faults=["partition", "drop"])
    line = Display._line(now)
    assert "killed: [2]  restarts: 3  Byzantine: [3]  links: partition, drop" in line
    out = io.StringIO()
    Display(out).show(now)
    assert out.getvalue() == "running (nodes [2] killed) (partition, drop)\n"


def test_an_unusual_load_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    unusual = {"load": "open loop", "arrivals": "poisson", "clients": 3, "submit_to": 2, "tx_size": "exp:250"}
    text = shown(monkeypatch, capsys, **unusual)
    assert "open loop, Poisson arrivals, 3 clients" in text and "to 2 nodes" in text and "exp:250 bytes" in text
    assert "clients" not in shown(monkeypatch, capsys)


def test_what_was_never_answered_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    never = {"offered_tx": 20, "offered_refused_tx": 5, "offered_unanswered_tx": 3, "latency_at_least": ["p99", "max"]}
    text = shown(monkeypatch, capsys, **never, warnings=["node 3's proposals are in 2 of 85 blocks"])
    flat = " ".join(text.replace("│", " ").split())
    assert "20 transactions in 2 s: 12 committed, 5 refused, 3 unanswered" in flat
    assert "latency p50 100.0" in flat and "latency p99 ≥ 200.0" in flat and "latency max ≥ 300.0" in flat
    assert "backlog 3 waiting at the start, 4 at the end" in flat and "drained 0.1" in flat
    assert "attention: node 3's proposals are in 2 of 85 blocks" in text
