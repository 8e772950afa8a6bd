"""Extending a chain: same inputs, same chain; nothing is committed twice or lost on the way to disk."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_helpers import CHAIN_ID, OTHER_ID, chain_of_blocks, fill, memory_store, numbered

from honeybadger.ledger import Block, Chain, LedgerError, SQLiteStore, build_block, verify_ledger
from honeybadger.ledger import history as history_module

Contributions = list[tuple[int, list[bytes]]]
EPOCHS = st.lists(st.lists(st.lists(st.integers(0, 60).map(lambda i: b"%d" % i), max_size=12), max_size=4), max_size=8)


def run(chain: Chain, epochs: list[list[list[bytes]]]) -> list[bytes]:
    hashes = []
    for epoch, parts in enumerate(epochs):
        hashes.append(chain.extend(epoch, list(enumerate(parts))).block.header.hash)
    return hashes


@settings(max_examples=60, deadline=None)
@given(EPOCHS, st.integers(1, 4))
def test_against_a_plain_model_whatever_the_flushes(epochs: list[list[list[bytes]]], every: int) -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    committed: dict[bytes, int] = {}
    for epoch, parts in enumerate(epochs):
        update = chain.extend(epoch, list(enumerate(parts)))
        flat = [t for part in parts for t in part]
        expected = [t for t in dict.fromkeys(flat) if t not in committed]
        assert update.block.transactions() == expected
        assert update.duplicates == {t: committed[t] for t in flat if t in committed}
        assert update.block.header.proposers == tuple(range(len(parts)))
        committed.update(dict.fromkeys(expected, epoch + 1))
        if epoch % every == 0:
            chain.flush()
    assert chain.committed([b"%d" % i for i in range(70)]) == committed
    assert chain.transaction_count == len(committed)
    chain.flush()
    assert verify_ledger(store).ok
    assert run(Chain(memory_store(), CHAIN_ID), epochs) == [h.hash for h in store.headers()]


def test_first_occurrence_wins_in_proposer_order() -> None:
    chain = Chain(memory_store(), CHAIN_ID)
    update = chain.extend(0, [(1, [b"b", b"a", b"b"]), (2, [b"c", b"a"]), (5, [b"b"])])
    assert update.block.transactions() == [b"b", b"a", b"c"]
    assert update.duplicates == {}
    assert update.block.header.proposers == (1, 2, 5)


def test_empty_epochs_make_blocks() -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    chain.extend(0, [])
    update = chain.extend(4, [(0, []), (1, [])])
    assert (update.block.header.tx_count, chain.height, chain.epoch) == (0, 2, 4)
    assert chain.flush() == [1, 2]
    assert verify_ledger(store).ok


def test_misuse_raises_and_changes_nothing() -> None:
    chain = Chain(memory_store(), CHAIN_ID)
    chain.extend(3, [(0, [b"a"])])
    tip = chain.tip_hash
    with pytest.raises(ValueError, match=r"epoch 3"):
        chain.extend(3, [(0, [b"b"])])
    for contributions in ([(1, [b"b"]), (0, [])], [(1, [b"b"]), (1, [])]):
        with pytest.raises(ValueError, match="ascend"):
            chain.extend(4, contributions)
    assert (chain.height, chain.tip_hash, chain.committed([b"b"])) == (1, tip, {})


@pytest.mark.parametrize("flushed", [True, False])
def test_duplicates_are_found_pending_and_stored(flushed: bool) -> None:
    chain = Chain(memory_store(), CHAIN_ID)
    chain.extend(0, [(0, numbered(2000))])
    if flushed:
        chain.flush()
    update = chain.extend(1, [(0, [*numbered(2000), b"new"])])
    assert update.duplicates == dict.fromkeys(numbered(2000), 1)
    assert update.block.transactions() == [b"new"]


def test_reopening_knows_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    before = fill(store, 6)
    before.extend(100, [(0, [b"never flushed"])])
    store.close()
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    chain = Chain(store, CHAIN_ID, scratch=tmp_path)
    assert (chain.height, chain.durable_height, chain.epoch) == (6, 6, 12)
    tip = store.tip()
    assert tip is not None
    assert chain.tip_hash == tip.hash
    old = numbered(20, "tx-3")
    assert chain.committed(old) == dict.fromkeys(old, 3)
    update = chain.extend(13, [(0, [*old, b"never flushed"])])
    assert update.duplicates == dict.fromkeys(old, 3)
    assert update.block.transactions() == [b"never flushed"]
    chain.flush()
    assert verify_ledger(store).ok
    store.close()


def test_collisions_across_blocks_do_not_drop_a_new_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "fingerprint", lambda txs: np.zeros(len(txs), dtype=np.uint64))
    chain = Chain(memory_store(), CHAIN_ID)
    chain.extend(0, [(0, [b"a", b"bb"])])
    chain.flush()
    chain.extend(1, [(0, [b"ccc"])])
    update = chain.extend(2, [(0, [b"d", b"bb", b"ccc", b"ee"])])
    assert update.block.transactions() == [b"d", b"ee"]
    assert update.duplicates == {b"bb": 1, b"ccc": 2}


def test_flush_is_a_group_commit() -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    assert chain.flush() == []
    for epoch in range(3):
        chain.extend(epoch, [(0, [b"%d" % epoch])])
    assert (chain.height, chain.durable_height, store.height()) == (3, 0, 0)
    assert chain.flush() == [1, 2, 3]
    assert (chain.durable_height, store.height()) == (3, 3)


def test_failed_flush_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    chain.extend(0, [(0, [b"a"])])

    def full(blocks: object, certificates: object) -> None:
        raise LedgerError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", full)
        with pytest.raises(LedgerError, match="disk full"):
            chain.flush()
    chain.extend(1, [(0, [b"a", b"b"])])
    assert chain.durable_height == 0
    assert chain.flush() == [1, 2]
    assert verify_ledger(store).ok


def test_a_block_that_comes_during_a_flush_waits_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    chain.extend(0, [(0, [b"a"])])
    write = store.append

    def write_slowly(blocks: Sequence[Block], certificates: Mapping[int, bytes]) -> None:
        chain.extend(chain.epoch + 1, [(0, [b"late"])])
        write(blocks, certificates)

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", write_slowly)
        assert chain.flush() == [1]
    assert (chain.height, chain.durable_height) == (2, 1)
    assert chain.committed([b"a", b"late"]) == {b"a": 1, b"late": 2}
    assert chain.flush() == [2]
    assert verify_ledger(store).ok


def test_two_flushes_do_not_write_the_same_block(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    chain.extend(0, [(0, [b"a"])])
    write = store.append
    second: list[list[int]] = []
    other = threading.Thread(target=lambda: second.append(chain.flush()))

    def write_slowly(blocks: Sequence[Block], certificates: Mapping[int, bytes]) -> None:
        if not other.ident:
            other.start()
            other.join(0.3)
        write(blocks, certificates)

    monkeypatch.setattr(store, "append", write_slowly)
    assert chain.flush() == [1]
    other.join()
    assert second == [[]]


def test_flushing_in_a_thread_while_extending(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "ledger.db", "os", chain_id=CHAIN_ID)
    chain = Chain(store, CHAIN_ID, scratch=tmp_path)
    source = random.Random(3)
    done = threading.Event()
    durable: list[int] = []

    def flush() -> None:
        while not done.is_set():
            durable.extend(chain.flush())

    workers = [threading.Thread(target=flush) for _ in range(2)]
    for worker in workers:
        worker.start()
    committed: dict[bytes, int] = {}
    try:
        for epoch in range(150):
            asked = [b"%d" % source.randrange(3000) for _ in range(40)]
            update = chain.extend(epoch, [(0, asked)])
            assert update.duplicates == {t: committed[t] for t in asked if t in committed}
            committed.update(dict.fromkeys(update.block.transactions(), epoch + 1))
    finally:
        done.set()
        for worker in workers:
            worker.join()
    durable.extend(chain.flush())
    assert sorted(durable) == list(range(1, 151))
    report = verify_ledger(store)
    assert (report.ok, report.transactions, report.tip_hash) == (True, len(committed), chain.tip_hash)
    store.close()


# -- certificates and blocks of others -----------------------------------------------------------------------


def test_certificates_are_stored_with_the_next_flush() -> None:
    store = memory_store()
    chain = fill(store, 2)
    chain.extend(10, [(0, [b"pending"])])
    for height in (1, 3):
        chain.certify(height, b"certificate %d" % height)
    assert [store.certificate(height) for height in (1, 2, 3)] == [None] * 3
    assert chain.flush() == [3]
    assert [store.certificate(height) for height in (1, 2, 3)] == [b"certificate 1", None, b"certificate 3"]
    chain.certify(2, b"certificate 2")
    assert chain.flush() == [], "no block, and yet the certificate is written"
    assert (store.certificate(2), chain.durable_height) == (b"certificate 2", 3)
    assert verify_ledger(store).ok


def test_a_certificate_before_its_block_waits_for_it() -> None:
    store = memory_store()
    chain = fill(store, 1)
    chain.certify(2, b"early")
    assert chain.flush() == []
    chain.extend(10, [])
    assert chain.flush() == [2]
    assert store.certificate(2) == b"early"


def test_a_failed_flush_keeps_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory_store()
    chain = fill(store, 1)
    chain.certify(1, b"certificate")

    def full(blocks: object, certificates: object) -> None:
        raise LedgerError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", full)
        with pytest.raises(LedgerError, match="disk full"):
            chain.flush()
    chain.flush()
    assert store.certificate(1) == b"certificate"


def test_adopted_blocks_are_like_own_ones(tmp_path: Path) -> None:
    source = memory_store()
    fill(source, 3)
    path = tmp_path / "ledger.db"
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    chain = Chain(store, CHAIN_ID, scratch=tmp_path)
    for block in source.iter_blocks():
        chain.adopt(block, block.transactions(), b"certificate %d" % block.header.height)
    tip = source.tip()
    assert tip is not None
    assert (chain.height, chain.durable_height, chain.epoch, chain.tip_hash) == (3, 0, 6, tip.hash)
    old = numbered(20, "tx-2")
    assert chain.committed(old) == dict.fromkeys(old, 2)
    update = chain.extend(7, [(0, [*old, b"new"])])
    assert (update.block.transactions(), update.duplicates) == ([b"new"], dict.fromkeys(old, 2))
    assert chain.flush() == [1, 2, 3, 4]
    store.close()
    store = SQLiteStore(path, chain_id=CHAIN_ID)
    assert [store.certificate(height) for height in range(1, 5)] == [
        b"certificate 1",
        b"certificate 2",
        b"certificate 3",
        None,
    ]
    assert verify_ledger(store).ok
    assert Chain(store, CHAIN_ID, scratch=tmp_path).tip_hash == update.block.header.hash
    store.close()


def test_adopt_refuses_a_block_that_does_not_follow() -> None:
    store = memory_store()
    chain = fill(store, 2)
    tip, previous = chain.tip_hash, store.header(1)
    assert previous is not None
    wrong = {
        "another chain": build_block(OTHER_ID, tip, 3, 9, (0,), [b"x"]),
        "height skipped": build_block(CHAIN_ID, tip, 4, 9, (0,), [b"x"]),
        "height taken": build_block(CHAIN_ID, previous.hash, 2, 9, (0,), [b"x"]),
        "another predecessor": build_block(CHAIN_ID, previous.hash, 3, 9, (0,), [b"x"]),
        "epoch not above the tip's": build_block(CHAIN_ID, tip, 3, 4, (0,), [b"x"]),
    }
    for name, block in wrong.items():
        with pytest.raises(LedgerError, match="does not follow block 2"):
            chain.adopt(block, [b"x"], b"certificate")
        assert (chain.height, chain.epoch, chain.tip_hash) == (2, 4, tip), name
    assert chain.committed([b"x"]) == {}
    assert chain.flush() == []
    assert [store.certificate(height) for height in (1, 2)] == [None, None]
    good = build_block(CHAIN_ID, tip, 3, 5, (0,), [b"x"])
    chain.adopt(good, [b"x"], b"certificate")
    assert chain.flush() == [3]
    assert (store.certificate(3), verify_ledger(store).ok) == (b"certificate", True)


def test_an_epoch_that_is_run_again_must_end_as_it_did() -> None:
    store = memory_store()
    first = [(0, [b"a", b"b"]), (2, [b"b", b"c"])]
    second = [(1, [b"d", b"a"]), (2, [b"d", b"e"])]
    chain = Chain(store, CHAIN_ID)
    chain.extend(3, first)
    chain.flush()
    chain = Chain(store, CHAIN_ID)
    chain.extend(5, second)
    for _ in ("with the second block in memory", "with both on disk"):
        chain.repeat(3, first)
        chain.repeat(5, second)
        chain.flush()
    # The same block in other words is no difference.
    chain.repeat(3, [(0, [b"a", b"b"]), (2, [b"c", b"b"])])
    different = [
        [(0, [b"a", b"b"]), (2, [b"b"])],
        [(0, [b"a", b"b"]), (2, [b"b", b"c", b"new"])],
        [(0, [b"a", b"b"]), (2, [b"b", b"c", b"d"])],
        [(0, [b"b", b"a"]), (2, [b"b", b"c"])],
        [(0, [b"a", b"b"]), (3, [b"b", b"c"])],
        [(0, [b"a", b"b", b"c"])],
        [],
    ]
    hashes = [header.hash for header in store.headers()]
    assert chain.height == 2
    for contributions in different:
        with pytest.raises(LedgerError, match=r"epoch 3 was run again .* differs from block 1"):
            chain.repeat(3, contributions)
    with pytest.raises(LedgerError, match="differs from block 2"):
        chain.repeat(5, first)
    for epoch in (1, 4, 6):
        with pytest.raises(LedgerError, match="no block of it"):
            chain.repeat(epoch, first)
    assert ([header.hash for header in store.headers()], chain.height) == (hashes, 2)


def test_store_of_another_chain_is_refused() -> None:
    with pytest.raises(LedgerError, match="belongs to chain"):
        Chain(memory_store(), OTHER_ID)


def test_opening_refuses_a_broken_chain() -> None:
    store = memory_store()
    store.append(chain_of_blocks([[b"a"], [b"b"], [b"c"]]))
    store._writer.execute("DELETE FROM blocks WHERE height = 2")
    with pytest.raises(LedgerError, match="block 2 is missing"):
        Chain(store, CHAIN_ID)
    store._writer.execute("UPDATE blocks SET height = 2 WHERE height = 3")
    with pytest.raises(LedgerError, match="does not follow block 1"):
        Chain(store, CHAIN_ID)
