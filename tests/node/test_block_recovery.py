"""What a node answers about blocks when its own disk is bad: nothing, and it says so; it does not die of a request."""

import math
import sqlite3
from types import SimpleNamespace

import pytest
from support.clock import CLOCK
from test_catch_up import BLOCKS, CERTIFICATES, CHAIN_ID, PUBLIC, SECRET

from honeybadger.cluster.manifest import Runtime
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.links import Link
from honeybadger.node.block_messages import (
    BlockCertificate,
    BlockRequest,
    BodyPart,
    CertificateRequest,
    CertifiedHeader,
)
from honeybadger.node.certifier import QUIET_S
from honeybadger.node.recovery import Recovery, settled_epoch
from honeybadger.protocols.honey_badger.messages import Term
from honeybadger.protocols.quorums import Quorums


@pytest.fixture
def bench(tmp_path):
    path = tmp_path / "ledger.sqlite"
    store = SQLiteStore(path, "os", chain_id=CHAIN_ID)
    store.append(BLOCKS[:8], {h: CERTIFICATES[h] for h in range(1, 6)})
    made = SimpleNamespace(path=path, store=store, sent=[], said=[], told=[], chain=Chain(store, CHAIN_ID))
    made.recovery = Recovery(
        SimpleNamespace(
            manifest=SimpleNamespace(quorums=Quorums(4, 1), chain_id=CHAIN_ID, public_keys=PUBLIC),
            runtime=Runtime(recovery=True),
            keys=SimpleNamespace(node=0, secret_keys=SECRET[0]),
            notices=SimpleNamespace(say_once=made.said.append),
            chain=made.chain,
            store=store,
            application=SimpleNamespace(pending=[], durable_epoch=8, passed=lambda epoch: None),
            protocol=SimpleNamespace(
                epoch=9, skip_to=made.told.append, handle=lambda sender, message: made.told.append((sender, message))
            ),
            peers=SimpleNamespace(links={1: Link(7, 1 << 20)}),
            outbox=SimpleNamespace(
                send=lambda node, message: made.sent.append(message), broadcast=made.sent.append, fault=pytest.fail
            ),
        ),
        CLOCK,
    )
    yield made
    store.close()


def test_a_damaged_block_is_not_served_and_kills_nobody(bench):
    with sqlite3.connect(bench.path) as other:
        other.execute("UPDATE blocks SET segment = 9 WHERE height = 2")
        other.execute("UPDATE blocks SET header = x'00', certificate = NULL WHERE height = 4")
    other.close()
    bench.recovery.handle(1, BlockRequest(0, 1, 4))
    bench.recovery.handle(1, CertificateRequest(0, 4))
    assert [type(m) for m in bench.sent if isinstance(m, CertifiedHeader)] == [CertifiedHeader], "block 1 only"
    assert len(bench.said) == 2 and all("honeybadger ledger repair" in line for line in bench.said)


def test_what_is_settled_is_what_is_certified(bench):
    assert bench.recovery.settled_epoch == bench.recovery.announced_epoch == 5
    assert settled_epoch(bench.chain, enabled=True) == 5
    assert settled_epoch(bench.chain, enabled=False) == 8


def test_a_wanted_block_without_certificate_is_certified_on_demand(bench):
    bench.recovery.handle(1, BlockRequest(0, 7, 1))
    assert [m.height for m in bench.sent] == [7], "the own share, for everybody"
    bench.recovery.handle(1, BlockRequest(0, 8, 1))
    assert [m.height for m in bench.sent] == [7], "one in a while"


def test_a_late_certificate_does_not_send_the_protocol_back(bench):
    """Of several blocks one is certified, when the protocol has long gone on."""
    bench.recovery.start()
    bench.recovery.handle(1, BlockCertificate(0, 6, CERTIFICATES[6]))
    bench.chain.flush()
    assert bench.recovery.settled_epoch == 6 and not bench.told


def test_certificates_are_taken_and_the_protocol_gets_the_rest(bench):
    bench.recovery._protocol.epoch = 6
    bench.recovery.start()
    bench.recovery.handle(1, BlockCertificate(0, 6, CERTIFICATES[6]))
    bench.recovery.handle(2, Term(9, 0, True))
    assert bench.told == [7, (2, Term(9, 0, True))], "on behind block 6"
    assert bench.recovery._routes[CertifiedHeader] == bench.recovery._catch_up.handle_header
    assert bench.recovery._routes[BodyPart] == bench.recovery._catch_up.handle_part


def test_after_a_restart_all_blocks_above_the_newest_certificate_are_signed(bench):
    """Others may have fewer of them, and must find the same one signed."""
    bench.recovery.start()
    assert [m.height for m in bench.sent] == [6, 7, 8]


def test_the_main_loop_wakes_up_for_a_block_that_none_follows(bench, clock):
    assert bench.recovery.rest_s == math.inf
    for block in BLOCKS[8:10]:
        bench.recovery.block_durable(SimpleNamespace(certified=False, header=block.header))
    assert [m.height for m in bench.sent] == [9] and bench.recovery.rest_s == pytest.approx(QUIET_S)
    clock.now += QUIET_S
    bench.recovery.each_tick()
    assert [m.height for m in bench.sent] == [9, 10] and bench.recovery.rest_s == math.inf
