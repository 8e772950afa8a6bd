"""Is a run valid? Ledgers agree, and every committed transaction was offered and is committed once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bench.offers import Offer
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.verify import compare, verify_ledger
from honeybadger.wording import counted

Hashes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class LedgerCheck:
    """Outcome. `problem`: the first thing that is wrong, for people, or ""; `height`, `tip`: of the shortest ledger.

    `missing`: acknowledged transactions that are not in the shortest ledger of a correct node.
    """

    problem: str
    agree: bool
    height: int
    tip: str
    transactions: int
    missing: int = 0


def check_ledgers(
    paths: dict[int, Path],
    correct: set[int],
    offers: Sequence[Offer],
) -> LedgerCheck:
    """Verify and compare ledgers (index → file), and match them against what was offered.

    Ledgers of killed nodes must agree as far as they go; height and tip are of the shortest of the `correct` ones.
    """
    with ExitStack() as stack:
        stores: dict[int, SQLiteStore] = {}
        for index, path in paths.items():
            try:
                stores[index] = SQLiteStore(path, read_only=True)
            except LedgerError as error:
                return LedgerCheck(f"node {index}: {error}", False, 0, "", 0)
            stack.callback(stores[index].close)
        if not correct & stores.keys():
            return LedgerCheck("no correct node is left", False, 0, "", 0)
        difference = compare(list(stores.values()))
        if difference is not None:
            return LedgerCheck(f"the ledgers of correct nodes differ at height {difference}", False, 0, "", 0)
        for index, store in stores.items():
            report = verify_ledger(store, find_repeats=False)
            if not report.ok:
                problem = f"node {index}: block {report.bad_height}: {report.reason}"
                return LedgerCheck(problem, True, 0, "", 0)
        # They agree, so the longest one has everything that any of them has.
        longest = max(stores.values(), key=lambda store: store.height())
        shortest = min((stores[index] for index in stores if index in correct), key=lambda store: store.height())
        tip = shortest.tip()
        known = [_hashes(block.transactions()) for block in longest.iter_blocks()]
        committed = np.concatenate(known or [_hashes([])])
        offered, promised = _offered(offers)
        in_shortest = np.concatenate(known[: shortest.height()] or [_hashes([])])
        return LedgerCheck(
            _mismatch(committed, offered, promised),
            True,
            shortest.height(),
            tip.hash.hex() if tip else "",
            len(committed),
            len(np.setdiff1d(promised, in_shortest)),
        )


def _offered(offers: Sequence[Offer]) -> tuple[Hashes, Hashes]:
    """All that was offered, and what of it was acknowledged."""
    everything, promised = [_hashes([])], [_hashes([])]
    for offer in offers:
        batches = [_hashes(offer.workload.batch(number, count)) for number, count, _ in offer.batches]
        mine = np.concatenate([_hashes([]), *batches])
        everything.append(mine)
        promised.append(mine[offer.acknowledged])
    return np.concatenate(everything), np.concatenate(promised)


def _mismatch(committed: Hashes, offered: Hashes, promised: Hashes) -> str:
    """What is wrong with what was committed, or ""; by 64-bit keyed hashes of whole transactions."""
    distinct = np.unique(committed)
    if len(distinct) != len(committed):
        return f"{counted(len(committed) - len(distinct), 'transaction')} committed more than once"
    unknown = len(np.setdiff1d(distinct, offered, assume_unique=True))
    if unknown:
        return f"{unknown} committed transactions were never offered"
    lost = len(np.setdiff1d(promised, distinct))
    return f"{lost} acknowledged transactions are not in the ledger" if lost else ""


def _hashes(transactions: Sequence[bytes]) -> Hashes:
    return np.fromiter(map(hash, transactions), dtype=np.int64, count=len(transactions))
