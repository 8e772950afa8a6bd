"""When a simulated node's blocks and certificates are on its disk, and what a death leaves of them."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from honeybadger.ledger.chain import Chain
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.virtual_time.costs import Costs, Meter
from honeybadger.simulation.virtual_time.payload import CARRIED_AS_IT_IS
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.simulation.virtual_time.table import CostTable, Line
from honeybadger.simulation.virtual_time.writer import VirtualWriter

CHAIN_ID = b"chain".ljust(32, b".")
WRITE, SYNC = 1.0, 0.5


class Bench:
    """A write takes a second of a processor, and half a second of the disk."""

    def __init__(self, path: Any) -> None:
        self.clock = Clock()
        self.store = SQLiteStore(path / "ledger.sqlite", "os", chain_id=CHAIN_ID)
        self.chain = Chain(self.store, CHAIN_ID)
        self.durable: list[int] = []
        self.failures: list[str] = []
        self.woken = 0
        node: Any = SimpleNamespace(
            blocks_durable=self.durable.append, fail=self.failures.append, wake=SimpleNamespace(set=self.wake)
        )
        prices = msgspec.structs.replace(CostTable.load().node, ledger=Line(WRITE, 0.0), sync=SYNC)
        application: Any = SimpleNamespace(pending=())
        meter = Meter(Costs(CostTable.load()))
        host = Processors(self.clock, 1)
        self.writer = VirtualWriter(self.chain, application, node, self.clock, host, meter, prices, CARRIED_AS_IT_IS)

    def wake(self) -> None:
        self.woken += 1

    def block(self) -> None:
        """A tick commits a block."""
        self.chain.extend(self.chain.epoch + 1, [(0, [b"%d" % self.chain.height])])
        self.writer.votes_synced()

    def run(self) -> float:
        while self.clock.step():
            pass
        return self.clock.now


@pytest.fixture
def bench(tmp_path: Any) -> Bench:
    return Bench(tmp_path)


def test_a_block_is_written_when_its_tick_is_over_and_told_in_the_next_one(bench: Bench) -> None:
    bench.block()
    assert bench.run() == 0.0
    bench.writer.leave()
    assert bench.run() == WRITE + SYNC and bench.woken == 1
    assert bench.store.height() == 1 and bench.durable == []
    bench.writer.tell()
    bench.writer.tell()
    assert bench.durable == [1]


def test_blocks_that_come_during_a_write_are_written_together(bench: Bench) -> None:
    bench.block()
    bench.writer.leave()
    for _ in range(3):
        bench.block()
        bench.writer.leave()
    assert bench.run() == 2 * (WRITE + SYNC) and bench.store.height() == 4


def test_what_is_written_when_the_node_dies_is_lost(bench: Bench) -> None:
    bench.block()
    bench.writer.leave()
    bench.writer.die()
    bench.run()
    assert bench.store.height() == 0 and bench.woken == 0


def test_a_certificate_does_not_wait_for_the_next_block(bench: Bench) -> None:
    bench.block()
    bench.writer.leave()
    began = bench.run()
    bench.writer.write_certificates()
    bench.writer.leave()
    assert bench.run() == began, "there is none"
    bench.chain.certify(1, b"certificate")
    bench.writer.write_certificates()
    bench.writer.leave()
    assert bench.run() == began + WRITE + SYNC and bench.store.certificate(1) == b"certificate"


def test_a_run_that_ends_leaves_certificates_but_no_block_that_was_not_durable(bench: Bench) -> None:
    bench.block()
    bench.writer.leave()
    bench.run()
    bench.chain.certify(1, b"certificate")
    bench.block()
    bench.writer.close()
    assert (bench.store.height(), bench.store.certificate(1)) == (1, b"certificate")


def test_a_disk_that_fails_ends_the_node(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise LedgerError("no room")

    bench.block()
    monkeypatch.setattr(bench.chain, "flush", broken)
    bench.writer.leave()
    bench.clock.step()
    bench.clock.step()
    bench.writer.tell()
    assert bench.failures == ["ledger: no room"]
