"""A run whose payload is charged and not carried reads as if all of it had been there."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import asdict

from bench.load.client import Result
from bench.load.offers import client_directory, read_offers
from bench.plan.build_run import run_of
from bench.plan.fields import SettingsError
from bench.plan.simulation_settings import SimulationSettings, refuse_unsimulated
from bench.plan.workload import TxSizes
from bench.run.simulated_run import SimulatedRun
from honeybadger.simulation.virtual_time.table import CostTable, Crypto, Line, Node

SHORT = {"nodes": 4, "batch_size": 1600, "duration": 0.3, "warmup": 0.0, "seed": 3}
#: may differ by a few per cent: shards are padded, ciphertexts have headers, transactions are chosen in bundles
CLOSE = 0.05


def simulate(bundle: int, out: Path | None = None, how: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    settings = msgspec.structs.replace(run_of(**{**SHORT, **options}), out=out)
    chosen = SimulationSettings(**{"crypto": "ideal", "bundle": bundle, **(how or {})})
    refuse_unsimulated(settings, chosen)
    return SimulatedRun(settings, chosen, lambda progress: None).run()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nodes": 7, "batch_size": 3500},
        {"protocol": "pbft", "duration": 1.2},
        {"how": {"own_hosts": True, "uplink_mbit": 40.0}},
        {"submit_to": "all"},
        {"tx_size": "100-400", "encrypt": False},
    ],
    ids=str,
)
def test_figures_are_those_of_the_run_that_carries_everything(options):
    one, four = simulate(1, **options), simulate(4, **options)
    assert one["valid"] and four["valid"], (one["reason"], four["reason"])
    for name in ("batch_size", "tx_size", "tx_bytes", "parameters"):
        assert one[name] == four[name]
    assert four["simulation"]["bundle"] == 4 and four["committed_tx"] % 4 == 0
    for name in ("throughput_tx_per_s", "throughput_bytes_per_s", "cpu_s_per_tx", "sent_bytes_per_tx"):
        assert four[name] == pytest.approx(one[name], rel=CLOSE), name
    for name in ("committed_tx", "offered_tx", "offered_committed_tx"):
        # Whole blocks are within the short window, or not.
        assert four[name] == pytest.approx(one[name], rel=0.15, abs=2 * one["batch_size"]), name
    assert four["latency_s"]["p50"] == pytest.approx(one["latency_s"]["p50"], rel=0.1)
    for name, size in one["bytes_by_type"].items():
        assert four["bytes_by_type"][name] == pytest.approx(size, rel=0.15), name


def test_a_protocol_of_ones_own_says_what_is_payload():
    one, four = (simulate(bundle, protocol="sequencer", rate=4000, duration=0.2) for bundle in (1, 4))
    assert one["valid"] and four["valid"], (one["reason"], four["reason"])
    # Batches are small, and their frames are no payload.
    assert four["sent_bytes_per_tx"] == pytest.approx(one["sent_bytes_per_tx"], rel=0.1)


def test_an_open_loop_offers_as_many(tmp_path):
    one, four = simulate(1, rate=8000), simulate(4, tmp_path / "run", rate=8000)
    assert one["valid"] and four["valid"], four["reason"]
    assert one["offered_tx"] == four["offered_tx"] == 2400
    assert four["latency_s"]["p50"] == pytest.approx(one["latency_s"]["p50"], rel=0.1)
    scheduled, _ = np.load(tmp_path / "run" / "client-0" / "transactions.npy")
    assert 4 * len(scheduled) > four["offered_tx"] > len(scheduled)


def one_price(name: str, price: float) -> CostTable:
    """A table in which nothing else costs anything, but the wait for the disk."""
    table = CostTable.load()
    node = {field: Line(0, 0) if isinstance(old, Line) else 0.0 for field, old in asdict(table.node).items()}
    crypto = {field: Line(0, 0) if isinstance(old, Line) else 0.0 for field, old in asdict(table.crypto).items()}
    node |= {"sync": 0.004, name: Line(0, price) if isinstance(node[name], Line) else price}
    return CostTable("made up", "", "bls", Crypto(**crypto), Node(**node))


#: seconds by byte, and by transaction
BYTE, TRANSACTION = 2e-8, 1e-5


@pytest.mark.parametrize(
    ("name", "price"),
    [
        *((name, BYTE) for name in ("encode", "decode", "send", "receive", "commit_byte", "ledger")),
        *((name, TRANSACTION) for name in ("submit", "commit")),
        # One process for all of them.
        ("client", 10 * TRANSACTION),
    ],
)
def test_each_price_is_paid_for_all_that_a_carried_transaction_stands_for(tmp_path, name, price):
    path = tmp_path / "costs.toml"
    one_price(name, price).save(path)
    one, four = (simulate(bundle, batch_size=800, how={"calibration": path}) for bundle in (1, 4))
    assert one["valid"] and four["valid"], (one["reason"], four["reason"])
    # The load generator is no node.
    figure = "throughput_tx_per_s" if name == "client" else "cpu_s_per_tx"
    assert four[figure] == pytest.approx(one[figure], rel=0.15)
    assert (one["cpu_s_per_tx"] > 0) == (name != "client")


def test_what_waits_counts_as_often():
    summary = simulate(4, batch_size=400, window=8000, duration=0.9)
    assert 4000 < summary["per_node"][0]["mempool_max"] <= 8000


def test_mempools_have_room_for_what_the_closed_loop_offers():
    """More than real ones would take, in transactions and in bytes."""
    summary = simulate(4_000, batch_size=400_000, tx_size=1024, submit_to="all", duration=5.0, how={"own_hosts": True})
    assert summary["valid"], summary["reason"]
    assert summary["per_node"][0]["mempool_max"] > 1_000_000 and not summary["refused_tx"]
    # Of the B oldest each node chooses B/N at random: 1 - (3/4)^4 of them.
    blocks = summary["committed_tx"] / summary["epochs"]
    assert blocks == pytest.approx(400_000 * (1 - 0.75**4), rel=0.1)


def test_the_same_seed_gives_the_same_trace(tmp_path):
    traces = [tmp_path / "first", tmp_path / "second"]
    for trace in traces:
        simulate(4, how={"trace": trace}, wan="two-regions")
    assert traces[0].read_bytes() == traces[1].read_bytes() != b""


def test_what_a_client_carried_counts_as_what_it_stands_for(tmp_path):
    home = client_directory(tmp_path, 0)
    home.mkdir()
    result = Result([(0, 3, 0)], 1, {"full": 2}, 1, 1, 5.0, bundle=10, carried_bytes=40)
    (home / "load.json").write_bytes(msgspec.json.encode(result))
    np.save(home / "transactions.npy", np.array([[1.0, 2.0, 3.0], [1.5, np.nan, np.inf]]))
    offers = read_offers(tmp_path, 1, 1, TxSizes.parse(250))
    assert (offers.late, offers.unanswered, offers.abandoned, offers.refused) == (10, 10, 10, {"full": 20})
    assert offers.backlog(4.0) == 10 and offers.refused_of(slice(None)) == 10
    assert len(offers.waits(offers.within((0.0, 9.0))).answered) == 10
    # Ledgers hold what was carried.
    (offer,) = offers.offers
    assert len(offer.acknowledged) == 3 and offer.workload.sizes == TxSizes.parse(40)


@pytest.mark.parametrize(
    ("bundle", "options", "says"),
    [
        (3, {}, "--bundle 3 does not divide batch-size = 1600"),
        (32, {}, "--bundle 32 leaves fewer than 16 transactions of batch-size = 1600 to a node; at most 25"),
        (2, {"batch_size": 40}, "at most 1"),
        (200, {"protocol": "pbft"}, "at most 100"),
        (4, {"window": 3}, "--bundle 4 exceeds window = 3"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(bundle, options, says):
    with pytest.raises(SettingsError, match=says):
        simulate(bundle, **options)
