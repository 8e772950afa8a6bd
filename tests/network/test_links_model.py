"""Two links over pipes that lose what is in flight, against a model: exactly once, in order, nothing held back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from honeybadger.network import links as links_module
from honeybadger.network.codec import DATA, HELLO, Header
from honeybadger.network.links import Entry, Link

SIDES = st.sampled_from([0, 1])


@dataclass
class Node:
    """A link, the connections on which it sends (oldest first, the last one is live), and what happened."""

    link: Link
    connections: list[list[list[bytes]]] = field(default_factory=list)
    live: bool = False
    horizon: int = 2
    accepted: int | None = None
    offered: list[tuple[int, bytes]] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)


class LossyLinks(RuleBasedStateMachine):
    """Each direction is a sequence of connections; within one nothing is reordered.

    The end of a broken one is lost, the rest of it may arrive late, among messages of its successor. A sender may
    notice a break only after having sent more.
    """

    @initialize(
        entries=st.integers(1, 4),
        bytes_in_flight=st.sampled_from([1, 30, 10_000]),
        most=st.integers(1, 9),
        connected=st.booleans(),
    )
    def begin(self, entries: int, bytes_in_flight: int, most: int, connected: bool) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(links_module, "ENTRIES_PER_MESSAGE", entries)
        self.patch.setattr(links_module, "IN_FLIGHT_BYTES", bytes_in_flight)
        self.patch.setattr(links_module, "ENTRIES_IN_FLIGHT", most)
        self.nodes = [Node(Link(session, 1 << 20)) for session in (11, 22)]
        if connected:
            self.settle(2, 2)

    def teardown(self) -> None:
        if hasattr(self, "nodes"):
            self.settle(self.nodes[0].horizon, self.nodes[1].horizon)
            self.settle(99, 99)
            for node in self.nodes:
                assert node.link.outgoing.backlog == 0
                assert node.link.outgoing.held_bytes == 0
            self.patch.undo()

    @rule(side=SIDES, epochs=st.lists(st.integers(1, 9), min_size=1, max_size=6))
    def offer(self, side: int, epochs: list[int]) -> None:
        node = self.nodes[side]
        for epoch in epochs:
            data = b"%d/%d/%d" % (side, len(node.offered), epoch)
            node.offered.append((epoch, data))
            node.link.outgoing.offer(Entry(epoch, data))

    @rule(side=SIDES, most=st.integers(1, 5), announce=st.booleans())
    def send(self, side: int, most: int, announce: bool) -> None:
        self.say(side, most, announce)

    @rule(side=SIDES, which=st.integers(0, 3), most=st.integers(1, 6))
    def deliver(self, side: int, which: int, most: int) -> None:
        pending = [c for c in self.nodes[side].connections if c]
        if pending:
            connection = pending[which % len(pending)]
            for message in connection[:most]:
                self.handle(1 - side, message)
            del connection[:most]

    @rule(side=SIDES, kept=st.integers(0, 6), notice=st.booleans())
    def cut(self, side: int, kept: int, notice: bool) -> None:
        node = self.nodes[side]
        if node.live:
            node.live = False
            del node.connections[-1][kept:]
        if notice:
            node.link.connection_closed()

    @rule(side=SIDES)
    def reconnect(self, side: int) -> None:
        """The path is there again; the sender does not know yet."""
        node = self.nodes[side]
        if not node.live:
            node.live = True
            node.connections = [*node.connections, []]

    @rule(side=SIDES, kept=st.integers(0, 1))
    def flap(self, side: int, kept: int) -> None:
        """Broken and there again between two looks of the sender."""
        self.cut(side, kept, False)
        self.reconnect(side)

    @rule(side=SIDES)
    def notice(self, side: int) -> None:
        if self.nodes[side].live:
            self.nodes[side].link.connection_opened()

    @rule(side=SIDES, horizon=st.integers(2, 9))
    def advance(self, side: int, horizon: int) -> None:
        self.nodes[side].horizon = max(self.nodes[side].horizon, horizon)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        for node, other in zip(getattr(self, "nodes", []), reversed(getattr(self, "nodes", [])), strict=True):
            assert node.link.incoming.lost == 0
            assert other.link.outgoing.dropped == 0
            assert len(set(node.received)) == len(node.received) == node.link.incoming.processed
            by_epoch: dict[bytes, list[int]] = defaultdict(list)
            for data in node.received:
                by_epoch[data.split(b"/")[2]].append(int(data.split(b"/")[1]))
            assert all(numbers == sorted(numbers) for numbers in by_epoch.values())

    def say(self, side: int, most: int, announce: bool) -> int:
        """Send at most so many messages, to nowhere if the connection is broken; how many it were."""
        node = self.nodes[side]
        for count in range(most):
            message = node.link.next_message(node.horizon, b"hello", announce=announce) if node.link.connected else None
            if message is None:
                return count
            if node.live:
                node.connections[-1].append(message)
        return most

    def handle(self, side: int, message: list[bytes]) -> None:
        """As `Peers` does."""
        node, head = self.nodes[side], Header.decode(message[0])
        if head.kind == HELLO:
            node.accepted = head.session
            node.link.receive(head, 0)
        elif node.accepted == head.session:
            assert head.kind == DATA
            for data in message[1:][node.link.receive(head, len(message) - 1)]:
                assert int(data.split(b"/")[2]) <= node.horizon, "sent beyond the announced horizon"
                node.received.append(data)
                node.link.incoming.done(1)

    def settle(self, *horizons: int) -> None:
        """A quiet network: everything within the horizons arrives."""
        for node, horizon in zip(self.nodes, horizons, strict=True):
            node.horizon = horizon
            self.reconnect(self.nodes.index(node))
            node.link.connection_opened()
        while sum(self.say(side, 50, True) for side in (0, 1)):
            for side in (0, 1):
                for which in range(len(self.nodes[side].connections)):
                    self.deliver(side, which, 10_000)
        self.nothing_is_lost_or_doubled()
        for node, other in zip(self.nodes, reversed(self.nodes), strict=True):
            due = {data for epoch, data in other.offered if epoch <= node.horizon}
            assert set(node.received) == due


LossyLinks.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestLossyLinks = LossyLinks.TestCase
