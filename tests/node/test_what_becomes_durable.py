"""A whole node, alone in its cluster: no block outlives the votes that led to it, and no epoch ends twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lone_node import Home

from honeybadger.node.node import Node, NodeError


def failing_journal(node: Node) -> None:
    """The disk fails under the votes of the tick that commits."""
    sync = node.journal.sync

    def fail() -> None:
        if node.chain.height:
            node.journal._fail(OSError("no space left"))
        sync()

    node.journal.sync = fail  # type: ignore[method-assign]


def failing_tick(node: Node) -> None:
    """A bug in the tick that commits, before its votes are written."""
    commit = node.application.commit

    def fail(epoch: int, contributions: Any) -> None:
        commit(epoch, contributions)
        raise RuntimeError("a bug")

    node.application.commit = fail  # type: ignore[method-assign]


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


def test_an_orderly_stop_writes_what_was_committed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.run(b"a")
    home.run(b"b")
    assert home.blocks() == [[b"a"], [b"b"]]


def test_an_epoch_that_ends_differently_stops_the_node(tmp_path: Path) -> None:
    """Its votes are lost, and its block has no certificate yet, so it is run again; the new result was dropped."""
    home = Home(tmp_path)

    def uncertified(node: Node) -> None:
        node.recovery._certifier._on_certificate = lambda height, epoch, certificate: None

    home.run(b"a", sabotage=uncertified)
    home.run(b"b", sabotage=uncertified)
    assert home.blocks() == [[b"a"], [b"b"]], "with its votes it ends the same way"
    shutil.rmtree(tmp_path / "journal")
    with pytest.raises(NodeError, match=r"epoch 1 was run again .* differs from block 1") as caught:
        home.run(b"c", sabotage=uncertified)
    assert "\n" not in str(caught.value)
    assert home.blocks() == [[b"a"], [b"b"]]
