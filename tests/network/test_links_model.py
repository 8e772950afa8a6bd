"""Two links over pipes that lose what is in flight, and nodes that restart, against a model.

Exactly once, in order within an epoch, nothing held back; and a new incarnation gets everything again that it had not
declared durable.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from honeybadger.network import outgoing as outgoing_module
from honeybadger.network.codec import DATA, HELLO, Header, Hello
from honeybadger.network.links import Link
from honeybadger.network.outgoing import Entry

SIDES = st.sampled_from([0, 1])


def hello(heard: tuple[int, int], twice: bool) -> bytes:
    """Second part of a greeting."""
    return msgspec.msgpack.encode(Hello(bytes(32), {}, heard, twice))


@dataclass
class Node:
    """A link, the connections on which it sends (oldest first, the last one is live), and what happened."""

    link: Link
    session: int
    connections: list[list[list[bytes]]] = field(default_factory=list)
    live: bool = False
    horizon: int = 2
    durable: int = 0
    restarted: bool = False
    #: what this incarnation offered
    offered: list[tuple[int, bytes]] = field(default_factory=list)
    #: what this incarnation received from the other's present one
    received: list[bytes] = field(default_factory=list)
    #: this incarnation is owed what the other one offered of later epochs than this, or from this position on
    owed_above: int = 0
    owed_from: int = 0


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
        self.patch.setattr(outgoing_module, "ENTRIES_PER_MESSAGE", entries)
        self.patch.setattr(outgoing_module, "IN_FLIGHT_BYTES", bytes_in_flight)
        self.patch.setattr(outgoing_module, "ENTRIES_IN_FLIGHT", most)
        self.nodes = [Node(Link(session, 1 << 20), session) for session in (11, 22)]
        self.sessions = 22
        if connected:
            self.settle(2, 2)

    def teardown(self) -> None:
        if hasattr(self, "nodes"):
            self.settle(self.nodes[0].horizon, self.nodes[1].horizon)
            for node in self.nodes:
                node.durable = 9
            self.settle(99, 99)
            for node in self.nodes:
                assert node.link.outgoing.backlog == 0
                assert node.link.outgoing.held_bytes == 0
            self.patch.undo()

    @rule(side=SIDES, epochs=st.lists(st.integers(1, 9), min_size=1, max_size=6))
    def offer(self, side: int, epochs: list[int]) -> None:
        node = self.nodes[side]
        for epoch in epochs:
            data = b"%d/%d/%d" % (node.session, len(node.offered), epoch)
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

    @rule(side=SIDES, durable=st.integers(1, 9))
    def make_durable(self, side: int, durable: int) -> None:
        self.nodes[side].durable = max(self.nodes[side].durable, durable)

    @rule(side=SIDES, horizon=st.integers(2, 9), own=st.integers(0, 6), others=st.integers(0, 6))
    def restart(self, side: int, horizon: int, own: int, others: int) -> None:
        """Only the durable epoch survives. Some messages from and to the dead incarnation may still arrive."""
        self.cut(side, own, False)
        self.cut(1 - side, others, False)
        old, other = self.nodes[side], self.nodes[1 - side]
        self.sessions += 1
        self.nodes[side] = Node(
            Link(self.sessions, 1 << 20),
            self.sessions,
            connections=old.connections,
            horizon=horizon,
            durable=old.durable,
            restarted=True,
            owed_above=old.durable,
            owed_from=len(other.offered),
        )
        other.received = []
        other.owed_from = 0

    @rule(side=SIDES, horizon=st.integers(2, 9))
    def restart_in_calm(self, side: int, horizon: int) -> None:
        """All is received and acknowledged; then the node restarts, and is brought up to date again."""
        self.settle(self.nodes[0].horizon, self.nodes[1].horizon)
        self.restart(side, horizon, 0, 0)
        self.settle(self.nodes[0].horizon, self.nodes[1].horizon)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        for node, other in zip(getattr(self, "nodes", []), reversed(getattr(self, "nodes", [])), strict=True):
            assert other.link.outgoing.dropped == 0
            assert len(set(node.received)) == len(node.received)
            if not node.restarted and node.link.incoming.session == other.session:
                assert node.link.incoming.lost == 0
                assert len(node.received) == node.link.incoming.processed
            by_epoch: dict[bytes, list[int]] = defaultdict(list)
            for data in node.received:
                by_epoch[data.split(b"/")[2]].append(int(data.split(b"/")[1]))
            assert all(numbers == sorted(numbers) for numbers in by_epoch.values())

    @invariant()
    def what_is_held_adds_up(self) -> None:
        for node in getattr(self, "nodes", []):
            out = node.link.outgoing
            queued = sum(map(outgoing_module._cost, out._queue))
            later = [entry for kept in (out._waiting, out._retained) for entries in kept.values() for entry in entries]
            assert (out._queued_bytes, out.held_bytes) == (queued, queued + sum(map(outgoing_module._cost, later)))

    def say(self, side: int, most: int, announce: bool) -> int:
        """Send at most so many messages, to nowhere if the connection is broken; how many it were."""
        node = self.nodes[side]
        for count in range(most):
            if not node.link.connected:
                return count
            message = node.link.next_message(node.horizon, node.durable, hello, announce=announce)
            if message is None:
                return count
            if node.live:
                node.connections[-1].append(message)
        return most

    def handle(self, side: int, message: list[bytes]) -> None:
        """As `Peers` does."""
        node, head = self.nodes[side], Header.decode(message[0])
        if head.kind == HELLO:
            before = node.link.incoming.session
            greeting = node.link.greeted(head, msgspec.msgpack.decode(message[1], type=Hello))
            if not greeting.taken:
                node.link.greet_again()
                return
            if greeting.takes_over:
                assert head.session > before, "a late word of a dead incarnation mutes the present one"
            node.link.receive(head, 0)
            if not node.link.heeded:
                self.greet_again(side)
        elif node.link.incoming.session == head.session and head.ack_session == node.session:
            assert head.kind == DATA
            for data in message[1:][node.link.receive(head, len(message) - 1)]:
                assert int(data.split(b"/")[2]) <= node.horizon, "sent beyond the announced horizon"
                if head.session == self.nodes[1 - side].session:
                    node.received.append(data)
                node.link.incoming.done(1)

    def greet_again(self, side: int) -> None:
        """A connection on which entries were lost is made anew."""
        link = self.nodes[side].link
        if link.connected and link.outgoing.in_flight:
            self.flap(side, 0)
            link.connection_opened()
        link.greet_again()

    def settle(self, *horizons: int) -> None:
        """A quiet network: everything within the horizons arrives."""
        for node, horizon in zip(self.nodes, horizons, strict=True):
            node.horizon = horizon
            self.reconnect(self.nodes.index(node))
            node.link.connection_opened()
        for _ in range(1000):
            said = sum(self.say(side, 50, True) for side in (0, 1))
            unheard = [side for side in (0, 1) if not self.nodes[side].link.heeded]
            if not said and not unheard:
                break
            if not said:
                # A second has passed.
                for side in unheard:
                    self.greet_again(side)
            for side in (0, 1):
                for which in range(len(self.nodes[side].connections)):
                    self.deliver(side, which, 10_000)
        assert not said and not unheard
        self.nothing_is_lost_or_doubled()
        for node, other in zip(self.nodes, reversed(self.nodes), strict=True):
            within = [(i, epoch, data) for i, (epoch, data) in enumerate(other.offered) if epoch <= node.horizon]
            due = {data for i, epoch, data in within if epoch > node.owed_above or i >= node.owed_from}
            assert due <= set(node.received) <= {data for _, _, data in within}
            if not node.restarted:
                assert set(node.received) == {data for _, _, data in within}


class TestLossyLinks(LossyLinks.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.mark.soak
class TestLossyLinksAtLength(LossyLinks.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(max_examples=3000, stateful_step_count=50, deadline=None)
