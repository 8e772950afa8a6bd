"""Checks that ledgers agree, and that every committed transaction was offered and is committed once."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bench.load.offers import Offer
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.verify import compare, verify_ledger
from honeybadger.wording import counted

Hashes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class LedgerCheck:
    """`problem`: the first thing that is wrong, for people, or ""; `height`, `tip`: of the shortest ledger.

    `missing`: acknowledged transactions that are not in the shortest ledger of a correct node.
    """

    problem: str
    agree: bool = False
    height: int = 0
    tip: str = ""
    transactions: int = 0
    missing: int = 0


def check_ledgers(paths: dict[int, Path], correct: set[int], offers: Sequence[Offer]) -> LedgerCheck:
    """Verify ledgers (index → file), compare them, and compare them with what was offered.

    Ledgers of killed nodes must agree up to their end. Height and tip are of the shortest of the `correct` nodes.
    """
    with ExitStack() as stack:
        stores: dict[int, SQLiteStore] = {}
        for index, path in paths.items():
            try:
                stores[index] = SQLiteStore(path, read_only=True)
            except LedgerError as error:
                return LedgerCheck(f"node {index}: {error}")
            stack.callback(stores[index].close)
        if not correct & stores.keys():
            return LedgerCheck("no correct node is left")
        # First each by itself: what is damaged cannot be compared, and counts against its own node.
        for index, store in stores.items():
            report = verify_ledger(store, find_repeats=False)
            if not report.ok:
                return LedgerCheck(f"node {index}: block {report.bad_height}: {report.reason}")
        difference = compare(list(stores.values()))
        if difference is not None:
            return LedgerCheck(f"the ledgers of correct nodes differ at height {difference}")
        # They agree, so the longest one has all blocks of the others.
        longest = max(stores.values(), key=lambda store: store.height())
        shortest = min((stores[index] for index in stores if index in correct), key=lambda store: store.height())
        tip = shortest.tip()
        blocks = [_hashes(block.transactions()) for block in longest.iter_blocks()]
        committed = np.concatenate(blocks or [_hashes([])])
        offered, promised = _offered(offers)
        in_shortest = np.concatenate(blocks[: shortest.height()] or [_hashes([])])
        return LedgerCheck(
            _mismatch(committed, offered, promised),
            True,
            shortest.height(),
            tip.hash.hex() if tip else "",
            len(committed),
            len(np.setdiff1d(promised, in_shortest)),
        )


def _offered(offers: Sequence[Offer]) -> tuple[Hashes, Hashes]:
    """All offered transactions, and those of them that were acknowledged."""
    everything, promised = [_hashes([])], [_hashes([])]
    for offer in offers:
        batches = [_hashes(offer.workload.batch(number, count)) for number, count, _ in offer.batches]
        mine = np.concatenate([_hashes([]), *batches])
        everything.append(mine)
        promised.append(mine[offer.acknowledged])
    return np.concatenate(everything), np.concatenate(promised)


def _mismatch(committed: Hashes, offered: Hashes, promised: Hashes) -> str:
    """What is wrong with the committed transactions, or ""; by 64-bit keyed hashes of whole transactions."""
    distinct = np.unique(committed)
    if doubled := len(committed) - len(distinct):
        return f"{counted(doubled, 'transaction')} committed more than once"
    if unknown := len(np.setdiff1d(distinct, offered, assume_unique=True)):
        return f"{unknown} committed transactions were never offered"
    lost = len(np.setdiff1d(promised, distinct))
    return f"{lost} acknowledged transactions are not in the ledger" if lost else ""


def _hashes(transactions: Sequence[bytes]) -> Hashes:
    return np.fromiter(map(hash, transactions), dtype=np.int64, count=len(transactions))
