"""Which made-up results are valid, and what is said of the others."""

from typing import Any

import numpy as np
import pytest
from support.ledger import tamper

from bench.load.offers import Offer
from bench.measure.ledger_check import LedgerCheck, check_ledgers
from bench.measure.validity import how_to_get_blocks, too_few_blocks, why_invalid
from bench.plan.workload import Workload
from honeybadger.ledger import Chain, SQLiteStore

GOOD = LedgerCheck("", True, 5, "ab", 50)


def reason(
    check: LedgerCheck = GOOD,
    died: tuple[str, ...] = (),
    rounds_left: int = 0,
    same_height: bool = True,
    advice: str = "",
    **changes: Any,
) -> str:
    summary = dict.fromkeys(("crashed", "restarts", "link_faults", "faults_recorded"), ())
    summary |= {"nodes": 4, "final_heights": [5, 5, 5, 5]}
    summary |= {"per_node": [{"id": i, "exit": 0, "traceback": ""} for i in range(4)]}
    summary |= {"committed_tx": 50, "committed_tx_after_crash": None, "committed_tx_after_link_faults": None}
    summary |= {"epochs": 5}
    summary |= {"byzantine": {}, "refused_tx": {}, "unanswered_tx": 0, "abandoned_tx": 0, **changes}
    return why_invalid(summary, check, 3, died, rounds_left, same_height, advice)


def restart(**changes: Any) -> dict[str, Any]:
    return {"node": 2, "restarted_at_s": 7.0, "recovery_s": 1.0, "killed_again": False, **changes}


CUT = {"kind": "partition", "groups": [[0, 1], [2, 3]]}
NONE = {"committed_tx": 0, "epochs": 0}
LIAR = {"byzantine": {"3": "replay"}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unanswered_tx": 7},
        {"crashed": [3], "per_node": [{"id": 3, "exit": -9}], "committed_tx_after_crash": 10},
        {"restarts": [restart()], "committed_tx_after_crash": 10},
        {"restarts": [restart(recovery_s=None, killed_again=True), restart()], "committed_tx_after_crash": 10},
        {**LIAR, "faults_recorded": [{"node": 3}]},
        {**LIAR, "per_node": [{"id": 3, "exit": 1, "traceback": "KeyError: 1"}]},
        {"link_faults": [{**CUT, "end_s": 4.0}], "committed_tx_after_link_faults": 10},
        {"link_faults": [{**CUT, "end_s": 4.0}], "unanswered_tx": 7, "abandoned_tx": 7},
        {"link_faults": [CUT], "same_height": False, "check": LedgerCheck("", True, 5, "ab", 50, 9)},
        {"link_faults": [CUT], "unanswered_tx": 7},
    ],
)
def test_valid(changes):
    assert reason(**changes) == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"check": LedgerCheck("the ledgers differ")}, "the ledgers differ"),
        ({"died": ("node 1 ended unasked: oh", "node 2")}, "node 1 ended unasked: oh"),
        ({"per_node": [{"id": 1, "exit": 1}]}, "node 1 ended with status 1"),
        (
            {**LIAR, "per_node": [{"id": 3, "exit": 1, "traceback": "StrategyError: KeyError: 1 (mine.py, line 9)"}]},
            "node 3 stopped: replay failed: KeyError: 1 (mine.py, line 9)",
        ),
        ({"faults_recorded": [{"node": 3}, {"node": 0}], **LIAR}, "correct nodes were accused: [0]"),
        (
            {"committed_tx_after_crash": 0, "crashed": [2, 3], "per_node": [], "same_height": False},
            "nothing was committed after the crash: 2 of 4 nodes are left, but an epoch needs N-f = 3",
        ),
        (
            {"committed_tx_after_crash": 0, "restarts": [restart()]},
            "nothing was committed after the restart: 4 of 4 nodes are left",
        ),
        ({"committed_tx_after_crash": 0, "crashed": [2], **LIAR}, "2 of 4 nodes are left, but an epoch needs N-f = 3"),
        ({"rounds_left": 2}, "2 restart rounds did not take place"),
        ({"restarts": [restart(recovery_s=None)]}, "node 2, restarted at 7.0 s, never caught up"),
        (
            {"restarts": [restart(recovery_s=None)], "same_height": False, "committed_tx_after_crash": 0},
            "never caught up",
        ),
        (
            {"restarts": [restart(recovery_s=None)], "committed_tx_after_crash": 0},
            "nothing was committed after the restart",
        ),
        ({"committed_tx_after_link_faults": 0}, "nothing was committed after the link faults"),
        ({"same_height": False}, "did not reach the same height: [5, 5, 5, 5]"),
        ({"check": LedgerCheck("", True, 5, "ab", 50, 9)}, "9 acknowledged transactions are not in the ledgers of all"),
        ({"committed_tx": 0}, "nothing was committed in the measured window"),
        ({"committed_tx": 0, "link_faults": [CUT]}, "some links stay cut until the end"),
        ({**NONE, "advice": "a block takes long"}, "in the measured window: a block takes long"),
        ({**NONE, "advice": "a block takes long", "crashed": [2, 3]}, "window: 2 of 4 nodes are left, but an epoch"),
        ({**NONE, "advice": "a block takes long", "refused_tx": {"full": 3}}, 'window: 3 were refused as "full"'),
        ({**NONE, "advice": "a block takes long", "refused_tx": {"full": 3}, "unanswered_tx": 2}, "a block takes long"),
        ({"committed_tx": 0, "advice": "a block takes long", "unanswered_tx": 2}, "window: 2 were still unanswered"),
        (
            {"committed_tx": 0, "refused_tx": {"too long": 3}, "unanswered_tx": 12},
            'measured window: 3 were refused as "too long" and 12 were still unanswered at the end',
        ),
        ({"link_faults": [{**CUT, "end_s": 40.0}], "unanswered_tx": 7, "abandoned_tx": 3}, "4 transactions still"),
    ],
)
def test_invalid(changes, says):
    assert says in reason(**changes)


@pytest.mark.parametrize(
    ("durable_at", "says"),
    [
        ([], "no block in 40 s; try a longer --duration or fewer nodes"),
        ([131.0], "a block takes about 31 s here; try --duration 500"),
        ([104.0, 108.1, 112.0, 116.2], "a block takes about 4 s here; try --duration 60"),
        # Two before a long outage and one after it.
        ([101.2, 102.4, 138.0], "a block takes about 1 s here; try --duration 20"),
        # Longer would not help: something else kept blocks from this measured time.
        ([100.5, 101.0, 101.5], ""),
    ],
)
def test_how_to_get_blocks_into_a_measured_time_of_8_s(durable_at, says):
    assert how_to_get_blocks(durable_at, began=100.0, ended=140.0, duration_s=8.0) == says


def test_fewer_than_ten_epochs_are_too_few():
    few = "too few epochs: only {} in the measured 10 s, so its figures say little"
    assert too_few_blocks(1, 10.0, None, "wait") == [few.format("1 block") + ": wait"]
    assert too_few_blocks(9, 10.0, 0.171, "") == [few.format("9 blocks") + " (throughput ± 17 %)"]
    assert too_few_blocks(10, 10.0, 0.2, "wait") == [] and too_few_blocks(0, 10.0, None, "wait") == [], (
        "0 is a reason, not a warning"
    )


def written(path, batches: list[list[bytes]]):
    store = SQLiteStore(path, "os", chain_id=bytes(32))
    chain = Chain(store, bytes(32))
    for epoch, transactions in enumerate(batches):
        chain.extend(epoch, [(0, transactions)])
    chain.flush()
    store.close()
    return path


@pytest.mark.parametrize(("correct", "missing"), [({0, 1}, 1), ({0}, 0)])
def test_acknowledged_transactions_must_be_in_every_correct_ledger(tmp_path, correct, missing):
    workload = Workload(1, 20)
    first, second = workload.batch(0, 3), workload.batch(1, 3)
    paths = {
        0: written(tmp_path / "a" / "ledger.sqlite", [first, second]),
        1: written(tmp_path / "b" / "ledger.sqlite", [first]),
    }
    acknowledged = np.array([True, False, True, False, True, False])
    check = check_ledgers(paths, correct, [Offer(workload, [(0, 3, 0), (1, 3, 1)], acknowledged)])
    assert (check.problem, check.agree, check.transactions) == ("", True, 6)
    assert (check.missing, check.height) == (missing, 1 if missing else 2)


def test_an_acknowledged_transaction_that_nobody_has_is_lost(tmp_path):
    workload = Workload(1, 20)
    paths = {0: written(tmp_path / "a" / "ledger.sqlite", [workload.batch(0, 3)])}
    check = check_ledgers(paths, {0}, [Offer(workload, [(0, 3, 0), (1, 3, 0)], np.arange(6) % 3 == 0)])
    assert check.problem == "1 acknowledged transactions are not in the ledger"


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("header", b"\xc1", "node 1: block 2: header "),
        ("header", "text", "node 1: block 2: header "),
        ("previous", bytes(32), "node 1: block 2: column previous differs from the header"),
    ],
)
def test_a_damaged_block_counts_against_its_node(tmp_path, column, value, says):
    workload = Workload(1, 20)
    batches = [workload.batch(0, 3), workload.batch(1, 3)]
    paths = {index: written(tmp_path / str(index) / "ledger.sqlite", batches) for index in range(3)}
    tamper(paths[1], (f"UPDATE blocks SET {column} = ? WHERE height = 2", (value,)))
    check = check_ledgers(paths, {0, 1, 2}, [Offer(workload, [(0, 3, 0), (1, 3, 1)], np.ones(6, dtype=bool))])
    assert check.problem.startswith(says) and not check.agree
    assert reason(check).startswith(says)


def test_sound_ledgers_that_differ_do_not_agree(tmp_path):
    workload = Workload(1, 20)
    first, second = workload.batch(0, 3), workload.batch(1, 3)
    paths = {
        0: written(tmp_path / "a" / "ledger.sqlite", [first, second]),
        1: written(tmp_path / "b" / "ledger.sqlite", [first, first]),
    }
    check = check_ledgers(paths, {0, 1}, [Offer(workload, [(0, 3, 0), (1, 3, 1)], np.ones(6, dtype=bool))])
    assert (check.problem, check.agree) == ("the ledgers of correct nodes differ at height 2", False)
