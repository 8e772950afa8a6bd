"""Extending a chain: same inputs, same chain; nothing is committed twice or lost on the way to disk."""

import random
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledger import CHAIN_ID, OTHER_ID, AllEqual, chain_of_blocks, committed_in, fill, memory_store, numbered

from honeybadger.ledger import Block, Chain, LedgerError, SQLiteStore, build_block, verify_ledger

EPOCHS = st.lists(st.lists(st.lists(st.integers(0, 60).map(lambda i: b"%d" % i), max_size=12), max_size=4), max_size=8)


@settings(max_examples=25, deadline=None)
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
    assert committed_in(chain, [b"%d" % i for i in range(70)]) == committed
    assert chain.transaction_count == len(committed)
    chain.flush()
    assert verify_ledger(store).ok
    again = Chain(memory_store(), CHAIN_ID)
    for epoch, parts in enumerate(epochs):
        again.extend(epoch, list(enumerate(parts)))
    assert again.tip_hash == chain.tip_hash


def test_first_occurrence_wins_in_proposer_order_and_misuse_changes_nothing() -> None:
    chain = Chain(memory_store(), CHAIN_ID)
    update = chain.extend(0, [(1, [b"b", b"a", b"b"]), (2, [b"c", b"a"]), (5, [b"b"])])
    assert update.block.transactions() == [b"b", b"a", b"c"]
    assert update.duplicates == {}
    assert update.block.header.proposers == (1, 2, 5)
    update = chain.extend(4, [(0, []), (1, [])])
    for epoch, contributions in ((4, [(0, [b"x"])]), (5, [(1, [b"x"]), (0, [])]), (5, [(1, [b"x"]), (1, [])])):
        with pytest.raises(ValueError, match=r"epoch 4|ascend"):
            chain.extend(epoch, contributions)
    assert (update.block.header.tx_count, chain.height, chain.epoch) == (0, 2, 4)
    assert (chain.tip_hash, committed_in(chain, [b"x"])) == (update.block.header.hash, {})


def test_duplicates_are_found_pending_and_stored() -> None:
    chain = Chain(memory_store(), CHAIN_ID)
    chain.extend(0, [(0, numbered(2000))])
    for epoch, new in ((1, b"pending"), (2, b"stored")):
        update = chain.extend(epoch, [(0, [*numbered(2000), new])])
        assert update.duplicates == dict.fromkeys(numbered(2000), 1)
        assert update.block.transactions() == [new]
        chain.flush()


def test_reopening_knows_what_was_committed(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "ledger.db", "os", chain_id=CHAIN_ID)) as store:
        before = fill(store, 6)
        before.extend(100, [(0, [b"never flushed"])])
    with closing(SQLiteStore(tmp_path / "ledger.db", "os")) as store:
        chain = Chain(store, CHAIN_ID, scratch=tmp_path)
        assert (chain.height, chain.durable_height, chain.epoch) == (6, 6, 12)
        assert chain.tip_hash == store.tip().hash
        old = numbered(20, "tx-3")
        assert committed_in(chain, old) == dict.fromkeys(old, 3)
        update = chain.extend(13, [(0, [*old, b"never flushed"])])
        assert update.duplicates == dict.fromkeys(old, 3)
        assert update.block.transactions() == [b"never flushed"]
        chain.flush()
        assert verify_ledger(store).ok


def test_collisions_across_blocks_do_not_drop_a_new_transaction() -> None:
    chain = Chain(memory_store(), CHAIN_ID, key=AllEqual())
    chain.extend(0, [(0, [b"a", b"bb"])])
    chain.flush()
    chain.extend(1, [(0, [b"ccc"])])
    update = chain.extend(2, [(0, [b"d", b"bb", b"ccc", b"ee", b"d"]), (1, [b"ee", b"f", b"d"])])
    assert update.block.transactions() == [b"d", b"ee", b"f"]
    assert update.duplicates == {b"bb": 1, b"ccc": 2}


def test_failed_flush_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    assert chain.flush() == []
    chain.extend(0, [(0, [b"a"])])
    chain.certify(1, b"certificate")

    def full(blocks: object, certificates: object) -> None:
        raise LedgerError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", full)
        with pytest.raises(LedgerError, match="disk full"):
            chain.flush()
    chain.extend(1, [(0, [b"a", b"b"])])
    assert (chain.height, chain.durable_height, store.height()) == (2, 0, 0)
    assert chain.flush() == [1, 2], "one group commit"
    assert (chain.durable_height, store.height()) == (2, 2)
    assert verify_ledger(store).ok and store.certificate(1) == b"certificate"


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
    assert committed_in(chain, [b"a", b"late"]) == {b"a": 1, b"late": 2}
    assert chain.flush() == [2]
    assert verify_ledger(store).ok


def test_two_flushes_do_not_write_the_same_block(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    chain.extend(0, [(0, [b"a"])])
    write = store.append
    second: list[Future[list[int]]] = []
    with ThreadPoolExecutor() as pool:

        def write_slowly(blocks: Sequence[Block], certificates: Mapping[int, bytes]) -> None:
            if not second:
                second.append(pool.submit(chain.flush))
                wait(second, 0.1)
            write(blocks, certificates)

        monkeypatch.setattr(store, "append", write_slowly)
        assert chain.flush() == [1]
    assert second[0].result() == []


def test_flushing_in_a_thread_while_extending(tmp_path: Path) -> None:
    source = random.Random(3)
    done = threading.Event()
    committed: dict[bytes, int] = {}

    def flush() -> list[int]:
        durable = []
        while not done.is_set():
            durable += chain.flush()
        return durable

    with closing(SQLiteStore(tmp_path / "ledger.db", "os", chain_id=CHAIN_ID)) as store, ThreadPoolExecutor() as pool:
        chain = Chain(store, CHAIN_ID, scratch=tmp_path)
        workers = [pool.submit(flush) for _ in range(2)]
        try:
            for epoch in range(80):
                asked = [b"%d" % source.randrange(1500) for _ in range(40)]
                update = chain.extend(epoch, [(0, asked)])
                assert update.duplicates == {t: committed[t] for t in asked if t in committed}
                committed.update(dict.fromkeys(update.block.transactions(), epoch + 1))
        finally:
            done.set()
        durable = [*workers[0].result(), *workers[1].result(), *chain.flush()]
        assert sorted(durable) == list(range(1, 81))
        report = verify_ledger(store)
        assert (report.ok, report.transactions, report.tip_hash) == (True, len(committed), chain.tip_hash)


# -- certificates and blocks of others -----------------------------------------------------------------------


def test_certificates_are_stored_with_the_next_flush() -> None:
    store = memory_store()
    chain = fill(store, 2)
    for height in (1, 3):
        chain.certify(height, b"certificate %d" % height)
    assert chain.flush() == [], "no block, and yet a certificate is written"
    assert [store.certificate(height) for height in (1, 2)] == [b"certificate 1", None]
    chain.extend(10, [(0, [b"pending"])])
    assert chain.flush() == [3]
    assert store.certificate(3) == b"certificate 3", "it came before its block"
    chain.certify(2, b"certificate 2")
    assert chain.flush() == []
    assert (store.certificate(2), chain.durable_height) == (b"certificate 2", 3)
    assert verify_ledger(store).ok


def test_adopted_blocks_are_like_own_ones() -> None:
    source = memory_store()
    fill(source, 3)
    store = memory_store()
    chain = Chain(store, CHAIN_ID)
    for block in source.iter_blocks():
        chain.adopt(block, block.transactions(), b"certificate %d" % block.header.height)
    assert (chain.height, chain.durable_height, chain.epoch, chain.tip_hash) == (3, 0, 6, source.tip().hash)
    old = numbered(20, "tx-2")
    assert committed_in(chain, old) == dict.fromkeys(old, 2)
    update = chain.extend(7, [(0, [*old, b"new"])])
    assert (update.block.transactions(), update.duplicates) == ([b"new"], dict.fromkeys(old, 2))
    assert chain.flush() == [1, 2, 3, 4]
    assert [store.certificate(h) for h in range(1, 5)] == [*(b"certificate %d" % h for h in (1, 2, 3)), None]
    assert verify_ledger(store).ok
    assert Chain(store, CHAIN_ID).tip_hash == update.block.header.hash


def test_adopt_refuses_a_block_that_does_not_follow() -> None:
    store = memory_store()
    chain = fill(store, 2)
    tip, previous = chain.tip_hash, store.header(1).hash
    for name, wrong in {
        "another chain": (OTHER_ID, tip, 3, 9),
        "height skipped": (CHAIN_ID, tip, 4, 9),
        "height taken": (CHAIN_ID, previous, 2, 9),
        "another predecessor": (CHAIN_ID, previous, 3, 9),
        "epoch not above the tip's": (CHAIN_ID, tip, 3, 4),
    }.items():
        with pytest.raises(LedgerError, match="does not follow block 2"):
            chain.adopt(build_block(*wrong, (0,), [b"x"]), [b"x"], b"certificate")
        assert (chain.height, chain.epoch, chain.tip_hash) == (2, 4, tip), name
    assert committed_in(chain, [b"x"]) == {}
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


def test_opening_refuses_another_chain_and_a_broken_one() -> None:
    store = memory_store()
    with pytest.raises(LedgerError, match="belongs to chain"):
        Chain(store, OTHER_ID)
    store.append(chain_of_blocks([[b"a"], [b"b"], [b"c"]]))
    store._writer.execute("DELETE FROM blocks WHERE height = 2")
    with pytest.raises(LedgerError, match="block 2 is missing"):
        Chain(store, CHAIN_ID)
    store._writer.execute("UPDATE blocks SET height = 2 WHERE height = 3")
    with pytest.raises(LedgerError, match="does not follow block 1"):
        Chain(store, CHAIN_ID)
