"""The tables of `honeybadger local`."""

from __future__ import annotations

from typing import Any

import pytest

from honeybadger.cli.local_display import print_table


def summary(**changes: Any) -> dict[str, Any]:
    row = {"cpu_s": 123.4, "peak_rss_bytes": 1e9, "sent_bytes": 1e10, "received_bytes": 1e10, "faults": 0, "exit": 0}
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
        "latency_s": {"p50": 0.1, "p99": 0.2},
        "epochs": 3,
        "epoch_s": {"p50": 0.1},
        "ledger": {"height": 3, "tip": "ab" * 32},
        "crashed": [],
        "restarted": [],
        "recovery_s": [],
        "committed_tx_after_crash": None,
        "late_sends": 0,
        "refused_tx": {},
        "unanswered_tx": 0,
        "durability": "fsync",
        "curve": True,
        "encrypt": True,
        "parameters": {"encryption": "always"},
        "per_node": [{"id": i, "messages_handled": 12_345_678, **row} for i in range(4)],
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
    titles = ("node", "CPU s", "peak MB", "sent MB", "recv MB", "messages", "faults", "exit")
    assert any(all(title in line for title in titles) for line in lines)
    assert any("12,345,678" in line and "killed" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_rows_for_what_happened_and_only_for_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("late sends", "refused", "unanswered", "restarted")
    calm = shown(monkeypatch, capsys)
    assert not any(word in calm for word in words)
    busy = shown(
        monkeypatch,
        capsys,
        late_sends=1234,
        refused_tx={"full": 7, "too long": 8},
        unanswered_tx=9,
        restarted=[2, 3],
        recovery_s=[3.14, None],
    )
    assert all(word in busy for word in (*words, "1,234", "15", "full", "3.1 s", "never"))
