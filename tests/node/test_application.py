"""Application, client API and ledger writer together: who is told what, and when."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import zmq
from support.client_port import ClientPort
from support.network import until
from support.requests import committed, positions_of, refused, submit

from honeybadger.ledger import Chain, SQLiteStore
from honeybadger.network.client_protocol import (
    LONGEST_REQUEST,
    MOST_TRANSACTIONS,
    Committed,
    Status,
    StatusRequest,
    encoder,
)
from honeybadger.node.application import PENDING_BLOCKS_TO_PAUSE, NodeApplication
from honeybadger.node.ledger_writer import LedgerWriter
from honeybadger.node.mempool import Mempool, Request, Ticket
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

CHAIN_ID = bytes(range(32))


def told(tickets: list[Ticket]) -> list[tuple[int, int]]:
    """(number of the request, position) of each transaction, sorted."""
    return sorted((request.number, int(position)) for request, positions in tickets for position in positions)


def application(limit: int = 100) -> tuple[NodeApplication, Chain]:
    chain = Chain(SQLiteStore(Path("unused"), "memory", chain_id=CHAIN_ID), CHAIN_ID)
    parameters = HoneyBadgerParameters(batch_size=8, max_tx_bytes=10, max_proposal_bytes=100)
    return NodeApplication(4, parameters, Mempool(limit, 1000, 10), chain), chain


def test_a_duplicate_within_an_epoch_is_committed_once_and_answered() -> None:
    app, _ = application()
    mine, again = Request(b"c", 1), Request(b"c", 2)
    app.submit(mine, [b"a", b"b"])
    app.submit(again, [b"a"])
    assert app.select(1) == [b"a", b"b"]
    app.commit(1, [(0, [b"a", b"b"]), (1, [b"a"]), (2, [b"a", b"a"])])
    assert app.pending[0].header.tx_count == 2
    assert told(app.pending[0].tickets) == [(1, 0), (1, 1), (2, 0)]


def test_duplicates_of_earlier_blocks_are_answered_with_their_height() -> None:
    app, chain = application()
    ours = Request(b"c", 1)
    app.commit(1, [(1, [b"x"])])
    # Only a node that took it before the block can hold it still: put it back as if it had.
    app._mempool.add(ours, [b"x"])
    app.select(2)
    app.commit(2, [(0, [b"x"]), (1, [b"y"])])
    assert {height: told(tickets) for height, tickets in app.pending[1].repeated.items()} == {1: [(1, 0)]}
    chain.flush()
    assert [block.header.height for block in app.blocks_durable(1)] == [1]
    assert [block.header.height for block in app.blocks_durable(2)] == [2]


def test_committed_transactions_are_answered_at_once_or_with_their_block() -> None:
    app, chain = application()
    app.commit(1, [(1, [b"x", b"y"])])
    late = Request(b"c", 9)
    assert app.submit(late, [b"new", b"y"]).durable == {}
    assert told(app.pending[0].tickets) == [(9, 1)]
    chain.flush()
    app.blocks_durable(1)
    submission = app.submit(late, [b"x", b"z", b"y"])
    assert {height: list(positions) for height, positions in submission.durable.items()} == {1: [0, 2]}
    assert len(app._mempool) == 2


def test_a_slow_disk_pauses_proposals() -> None:
    app, _ = application()
    app.submit(Request(b"c", 1), [b"a"])
    for epoch in range(1, PENDING_BLOCKS_TO_PAUSE + 1):
        assert app.has_transactions()
        app.commit(epoch, [])
    assert not app.has_transactions()
    assert app.select(99) == []
    app.blocks_durable(1)
    assert app.has_transactions()
    assert app.select(100) == [b"a"]


class Stand(ClientPort):
    """A node's client socket, mempool and ledger, without consensus."""

    def __init__(self, curve: bool = True) -> None:
        self.app, self.chain = application(limit=5)
        super().__init__(curve, self.app.submit)
        self.failures: list[BaseException] = []
        self.writer = LedgerWriter(self.chain, self.durable, self.failures.append)

    def durable(self, height: int) -> None:
        for block in self.app.blocks_durable(height):
            self.api.report(block)

    def close(self) -> None:
        self.writer.close()
        super().close()


@pytest.fixture(params=[True, False], ids=["curve", "plain"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    made = Stand(request.param)
    yield made
    made.close()


def test_a_submission_is_answered_when_durable_and_at_once_afterwards(stand: Stand) -> None:
    stand.client.send(submit(1, [b"a", b"", b"b", b"x" * 11]))
    until(lambda: len(stand.replies) >= 2, stand.step)
    assert stand.replies == [refused(1, "empty", [1]), refused(1, "too long", [3])]
    stand.app.commit(1, [(0, stand.app.select(1))])
    for _ in range(20):
        stand.step()
    assert len(stand.replies) == 2, "committed, but not durable yet"
    stand.writer.votes_synced()
    until(lambda: len(stand.replies) >= 3, stand.step)
    answer = stand.replies[2]
    assert isinstance(answer, Committed)
    assert (answer.request, answer.height, positions_of(answer)) == (1, 1, [0, 2])
    assert answer.durable_ns > 0
    stand.client.send(submit(2, [b"b"]))
    until(lambda: len(stand.replies) >= 4, stand.step)
    assert stand.replies[3] == committed(2, 1, 0, [0])
    stand.client.send(submit(3, [b"%d" % i for i in range(7)]))
    stand.client.send(StatusRequest(4))
    until(lambda: len(stand.replies) >= 6, stand.step)
    assert stand.replies[4:] == [refused(3, "full", [5, 6]), Status(4, {"height": 3})]
    assert stand.failures == []


def test_who_waits_for_the_disk_is_limited_over_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeybadger.node.application.MAX_TICKETS", 5)
    app, _ = application()
    for epoch, transactions in ((1, [b"a", b"b"]), (2, [b"c"])):
        app.submit(Request(b"", 1), transactions)
        app.commit(epoch, [(0, app.select(epoch))])
    again = app.submit(Request(b"", 2), [b"a", b"c", b"b"])
    assert list(again.refused) == ["full"] and again.refused["full"].tolist() == [1], "three wait, two more may"
    assert [len(told(block.tickets)) for block in app.pending] == [block.waiting for block in app.pending] == [4, 1]


def test_malformed_requests_are_counted_and_nothing_else() -> None:
    stand = Stand()
    socket = stand.raw()
    for count, parts in enumerate(
        [
            [b""],
            [b"\xff"],
            [b"\x91" * 50_000],
            [b"\x93\x01\x01\xdd\xff\xff\xff\xff"],
            [b"\x93\x01\xff\x90"],
            [b"\x93\x01\x01\xa1a"],
            [b"\x93\x01\x01\xc4\x03\0\0\0"],
            [b"\x93\x01\x01\xc4\x08\x01\0\0\0\x01\0\0\0"],
            [b"\x93\x01\x01\xc4\x04\xff\xff\xff\xff"],
            [encoder.encode(submit(1, [b"a"] * (MOST_TRANSACTIONS + 1)))],
            [b"\x93\x03\x01\x90"],
            [b"", b"\x92\x02\x01"],
            [b"\x92\x02\x01", b""],
            [b"\x92\x02\x01\x00"],
            [b"\x92\x02\xcf" + b"\xff" * 8],
            # Queries of blocks: height 0, offset -1, height and offset 2^64 - 1, text, too few fields, a real number.
            [b"\x95\x06\x01\x00\x00\x00"],
            [b"\x95\x06\x01\xce\xff\xff\xff\xff\xff\x00"],
            [b"\x95\x06\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"],
            [b"\x95\x06\x01\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00"],
            [b"\x95\x06\x01\xa1a\x00\x00"],
            [b"\x94\x06\x01\x01\x00"],
            [b"\x95\x06\x01\x01\xca\x00\x00\x00\x00\x00"],
        ],
        1,
    ):
        socket.send_multipart(parts)
        until(lambda count=count: stand.api.refused_requests == count, stand.step)
        stand.client.send(StatusRequest(count))
        until(lambda count=count: stand.replies == [Status(n, {"height": 3}) for n in range(1, count + 1)], stand.step)
    assert (stand.api.refused_requests, len(stand.app._mempool)) == (22, 0)
    socket.close(0)
    stand.close()


def test_too_long_a_request_disconnects_its_sender_only(stand: Stand) -> None:
    stand.client.send(StatusRequest(1))
    until(lambda: stand.replies, stand.step)
    socket = stand.raw()
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    socket.send(bytes(LONGEST_REQUEST + 1))
    until(lambda: monitor.poll(0), stand.step)
    stand.client.send(StatusRequest(2))
    until(lambda: len(stand.replies) >= 2, stand.step)
    assert stand.api.refused_requests == 0
    socket.disable_monitor()
    monitor.close(0)
    socket.close(0)


def test_a_failing_disk_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    app, chain = application()
    failures: list[BaseException] = []
    writer = LedgerWriter(chain, lambda height: None, failures.append)
    app.commit(1, [])
    with monkeypatch.context() as patch:
        patch.setattr(chain, "flush", Mock(side_effect=OSError("no space left")))
        writer.votes_synced()
        until(lambda: failures)
    assert str(failures[0]) == "no space left"
    writer.close()
    assert chain.durable_height == 0, "what has failed is not tried again on the way out"


def test_a_block_is_not_written_before_the_votes_that_led_to_it() -> None:
    """They are on disk when `votes_synced` is called, at the end of a tick; a write under way leaves the block out."""
    app, chain = application()
    written: list[int] = []
    writer = LedgerWriter(chain, written.append, pytest.fail)
    app.commit(1, [(0, [b"a"])])
    writer.votes_synced()
    app.commit(2, [(0, [b"b"])])
    until(lambda: written)
    writer.close()
    assert (written, chain.durable_height, chain.height) == ([1, 1], 1, 2)
