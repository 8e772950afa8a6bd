"""A whole node, alone in its cluster: no block outlives the votes that led to it, no epoch ends twice, and a node that
lost its votes says nothing for a while.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import gevent
import pytest
from gevent.event import Event
from support.lone_node import Home
from support.network import until

from honeybadger.node import journal
from honeybadger.node.mempool import Request
from honeybadger.node.node import Node, NodeError
from honeybadger.node.reactor import Reactor, ReactorTimers


def failing_journal(node: Node) -> None:
    """The disk fails under the votes of the tick that commits."""
    sync = node.core.journal.sync

    def fail() -> None:
        if node.core.chain.height:
            with node.core.journal._working():
                raise OSError("no space left")
        sync()

    node.core.journal.sync = fail  # type: ignore[method-assign]


def failing_tick(node: Node) -> None:
    """A bug in the tick that commits, before its votes are written."""
    commit = node.core.application.commit

    def fail(epoch: int, contributions: Any) -> None:
        commit(epoch, contributions)
        raise RuntimeError("a bug")

    node.core.application.commit = fail  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("sabotage", "error", "after"),
    [(failing_journal, NodeError, [[b"b"]]), (failing_tick, RuntimeError, [[b"a"], [b"b"]])],
)
def test_a_block_does_not_outlive_its_votes(
    tmp_path: Path, sabotage: Callable[[Node], None], error: type[Exception], after: list[list[bytes]]
) -> None:
    """On the way out, the block of the tick that failed was written, and its clients were told."""
    home = Home(tmp_path)
    with pytest.raises(error):
        home.run(b"a", sabotage=sabotage)
    assert home.blocks() == []
    assert not [event for event, _ in home.events if event == "block"]
    home.run(b"b")
    assert home.blocks() == after, "as the votes say that are left"


def test_an_epoch_that_ends_differently_stops_the_node(tmp_path: Path) -> None:
    """Its votes are lost, and its block has no certificate yet, so it is run again; the new result was dropped."""
    home = Home(tmp_path)

    def uncertified(node: Node) -> None:
        node.parts.recovery._certifier._on_certificate = lambda height, epoch, certificate: None

    home.run(b"a", sabotage=uncertified)
    home.run(b"b", sabotage=uncertified)
    assert home.blocks() == [[b"a"], [b"b"]], "with its votes it ends the same way"
    shutil.rmtree(tmp_path / "journal")
    with pytest.raises(NodeError, match=r"epoch 1 was run again .* differs from block 1") as caught:
        home.run(b"c", sabotage=uncertified)
    assert "\n" not in str(caught.value)
    assert home.blocks() == [[b"a"], [b"b"]]


def test_a_silent_node_says_so_and_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks it is told so, and so is whoever submits to it."""
    home = Home(tmp_path)
    home.run(b"a")
    shutil.rmtree(tmp_path / "journal")
    monkeypatch.setattr(journal, "LOST_MARGIN", 2)
    node = home.node()
    running = gevent.spawn(node.run)
    client = Request(b"", 0)
    try:
        status = node.parts.report.status()
        assert status["silent_through"] == 3
        assert "silent through epoch 3 (now 2)" in status["unwell"]
        submission = node.core.application.submit(client, [b"b", b"a", b""])
        assert submission.durable == {1: [1]}, "what is committed already needs no proposal"
        assert {reason: list(positions) for reason, positions in submission.refused.items()} == {"silent": [0, 2]}
        assert len(node.core.mempool) == 0
        for transaction in (b"c", b"d"):
            # As if others had proposed it.
            node.core.mempool.add(client, [transaction])
            node.wake.set()
            until(lambda: not len(node.core.mempool))
        assert (node.core.protocol.epoch, node.core.chain.height) == (4, 3)
        assert node.parts.report.status()["silent_through"] == 0
        assert node.parts.report.status()["unwell"] == ""
        assert not node.core.application.submit(client, [b"b"]).refused
    finally:
        node.stop()
        running.get(timeout=20)


def test_blocks_may_be_written_when_the_votes_of_the_tick_have_left() -> None:
    """`fake` stands for everything that a reactor drives."""
    fake = Mock(horizon=4, announced_epoch=3, rest_s=1.0, me=0, loopback=[])
    fake.receive.return_value, fake.serve.return_value, fake.owes_announcements.return_value = None, False, False
    core: Any = SimpleNamespace(protocol=fake, peers=fake)
    reactor = Reactor(core, fake, fake, fake, ReactorTimers(), Event())
    fake.flushed.side_effect = reactor.stop
    reactor.run()
    asked = ("may_go_on", "owes_announcements")
    assert [(name, *args) for name, args, _ in fake.method_calls if name not in asked] == [
        ("each_tick",),
        ("connections_changed",),
        ("receive",),
        ("serve",),
        ("poke",),
        ("flush", 4, 3),
        ("flushed",),
    ]
