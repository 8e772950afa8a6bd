"""Which made-up results are valid, and what is said of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.checks import LedgerCheck, check_ledgers
from bench.offers import Offer
from bench.validity import why_invalid
from bench.workload import Workload
from honeybadger.ledger import Chain, SQLiteStore

GOOD = LedgerCheck("", True, 5, "ab", 50)


def reason(
    check: LedgerCheck = GOOD,
    died: tuple[str, ...] = (),
    rounds_left: int = 0,
    same_height: bool = True,
    **changes: Any,
) -> str:
    summary = {
        "nodes": 4,
        "crashed": [],
        "byzantine": {},
        "restarts": [],
        "link_faults": [],
        "per_node": [{"id": i, "exit": 0} for i in range(4)],
        "faults_recorded": [],
        "committed_tx": 50,
        "committed_tx_after_crash": None,
        "committed_tx_after_link_faults": None,
        "refused_tx": {},
        "unanswered_tx": 0,
        "abandoned_tx": 0,
        "final_heights": [5, 5, 5, 5],
        **changes,
    }
    return why_invalid(summary, check, 3, died, rounds_left, same_height)


def restart(**changes: Any) -> dict[str, Any]:
    return {"node": 2, "restarted_at_s": 7.0, "recovery_s": 1.0, "killed_again": False, **changes}


def accusation(node: int) -> dict[str, Any]:
    return {"node": node, "kind": "BAD_BRANCH", "records": 1, "recorded_by": 1}


CUT = {"kind": "partition", "groups": [[0, 1], [2, 3]]}
LIAR = {"byzantine": {"3": "replay"}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unanswered_tx": 7},
        {"crashed": [3], "per_node": [{"id": 3, "exit": -9}], "committed_tx_after_crash": 10},
        {"restarts": [restart()], "committed_tx_after_crash": 10},
        {"restarts": [restart(recovery_s=None, killed_again=True), restart()], "committed_tx_after_crash": 10},
        {**LIAR, "faults_recorded": [accusation(3)]},
        {**LIAR, "per_node": [{"id": 3, "exit": 1}]},
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
        ({"check": LedgerCheck("the ledgers differ", False, 0, "", 0)}, "the ledgers differ"),
        ({"died": ("node 1 ended unasked: oh", "node 2")}, "node 1 ended unasked: oh"),
        ({"per_node": [{"id": 1, "exit": 1}]}, "node 1 ended with status 1"),
        ({"faults_recorded": [accusation(3), accusation(0)], **LIAR}, "correct nodes were accused: [0]"),
        (
            {"committed_tx_after_crash": 0, "crashed": [2, 3], "per_node": [], "same_height": False},
            "nothing was committed after the crash: 2 of 4 nodes are left, but an epoch needs N-f = 3",
        ),
        (
            {"committed_tx_after_crash": 0, "restarts": [restart()]},
            "nothing was committed after the restart: 4 of 4 nodes are left",
        ),
        (
            {"committed_tx_after_crash": 0, "crashed": [2], **LIAR},
            "2 of 4 nodes are left, but an epoch needs N-f = 3",
        ),
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
        ({"committed_tx": 0, "link_faults": [CUT]}, "links are cut for ever"),
        (
            {"committed_tx": 0, "refused_tx": {"too long": 3}, "unanswered_tx": 12},
            'measured window: 3 were refused as "too long" and 12 were still unanswered at the end',
        ),
        ({"link_faults": [{**CUT, "end_s": 40.0}], "unanswered_tx": 7, "abandoned_tx": 3}, "4 transactions still"),
    ],
)
def test_invalid(changes, says):
    assert says in reason(**changes)


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
    paths = {0: written(tmp_path / "a", [first, second]), 1: written(tmp_path / "b", [first])}
    acknowledged = np.array([True, False, True, False, True, False])
    check = check_ledgers(paths, correct, [Offer(workload, [(0, 3, 0), (1, 3, 1)], acknowledged)])
    assert (check.problem, check.agree, check.transactions) == ("", True, 6)
    assert (check.missing, check.height) == (missing, 1 if missing else 2)


def test_an_acknowledged_transaction_that_nobody_has_is_lost(tmp_path):
    workload = Workload(1, 20)
    paths = {0: written(tmp_path / "a", [workload.batch(0, 3)])}
    check = check_ledgers(paths, {0}, [Offer(workload, [(0, 3, 0), (1, 3, 0)], np.arange(6) % 3 == 0)])
    assert check.problem == "1 acknowledged transactions are not in the ledger"
