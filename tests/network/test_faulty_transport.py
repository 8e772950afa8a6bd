"""Faults in the link layer: step by step, under random schedules, with links on top, and on real sockets.

All but the last part have a fake transport and a fake clock. There, a node looks at its transport only when it was
called by `ready`, when `due` has come, or to say what it owes, so a forgotten wake-up is a test that ends nowhere.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st
from support.network import HOST, Endpoint, Proxy, connect_all, credentials, endpoints, free_ports, until
from support.peers import Listener, QueueTransport, peers_of

from honeybadger.network import faulty_transport
from honeybadger.network.codec import HELLO, Codec, Header
from honeybadger.network.fault_schedule import LinkFault, Schedule
from honeybadger.network.faulty_transport import REOPEN_S, FaultyTransport
from honeybadger.network.links import Link
from honeybadger.network.outgoing import Entry
from honeybadger.network.transport import PeerEvent
from honeybadger.protocols.honey_badger.messages import MESSAGE_TYPES, Echo
from honeybadger.protocols.wire import Message

UP, DOWN = PeerEvent(1, True), PeerEvent(1, False)
#: a Unix time at which sums with short times are exact
START = float(2**30)


class FakeTransport(QueueTransport):
    """Notes when things are sent and reset; the connections are up or down as the test wants."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(0, 1)
        self.clock = clock
        self.live: set[int] = set()
        #: of `sent` and of `resets`
        self.sent_at: list[float] = []
        self.reset_at: list[float] = []
        self.closed: int | None = None
        self.sent_bytes = self.received_bytes = 0

    def connect(self, peer: int) -> None:
        self.live.add(peer)
        self.changes.append(PeerEvent(peer, True))

    def disconnect(self, peer: int) -> None:
        self.live.discard(peer)
        self.changes.append(PeerEvent(peer, False))

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        if peer not in self.live:
            return False
        self.sent_at.append(self.clock())
        self.sent_bytes += sum(map(len, parts))
        return super().send(peer, parts)

    def reset(self, peer: int) -> None:
        self.reset_at.append(self.clock())
        self.disconnect(peer)

    def close(self, linger_ms: int = 0) -> None:
        self.closed = linger_ms


class Bench:
    """Node 0 of `nodes`, connected, at second 0 of its schedule."""

    def __init__(self, *faults: LinkFault, nodes: int = 2, start: float | None = START, seed: int = 1) -> None:
        self.now = START
        self.woken = 0
        self.leads = False
        self.inner = FakeTransport(lambda: self.now)
        self.outer = FaultyTransport(
            self.inner, 0, nodes, faults, self.wake, start, random.Random(seed), lambda: self.now, lambda: self.leads
        )
        if start is not None:
            for peer in range(1, nodes):
                self.inner.connect(peer)
            self.first = self.outer.events()

    def wake(self) -> None:
        self.woken += 1

    def at(self, second: float) -> list[PeerEvent]:
        """Go there, and look."""
        self.now = START + second
        return self.outer.events()

    def send(self, *texts: bytes, peer: int = 1) -> list[bool]:
        return [self.outer.send(peer, [text]) for text in texts]

    def left(self) -> list[tuple[float, bytes]]:
        """What was handed to the real transport, with the second."""
        return [(at - START, parts[0]) for at, (_, parts) in zip(self.inner.sent_at, self.inner.sent, strict=True)]

    @property
    def due(self) -> float:
        return self.outer.due - START


def test_without_faults_nothing_changes() -> None:
    bench = Bench()
    assert bench.first == [UP]
    assert bench.send(b"a", b"b") == [True, True]
    bench.inner.inbox.append((1, [b"x"]))
    assert (bench.outer.receive(), bench.outer.receive()) == ((1, [b"x"]), None)
    assert bench.left() == [(0, b"a"), (0, b"b")]
    bench.inner.disconnect(1)
    assert bench.at(1) == [DOWN]
    assert bench.send(b"c") == [False]
    bench.inner.changes.append(PeerEvent(1, False, "refused"))
    assert bench.at(2) == [PeerEvent(1, False, "refused")]
    bench.inner.connect(1)
    assert bench.at(3) == [UP]
    assert bench.inner.sent_bytes == 2
    assert bench.woken == 0
    assert bench.due == float("inf")


def test_delay_holds_each_message_for_its_time() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=0.25, start_s=1, end_s=2))
    bench.send(b"before")
    bench.at(1)
    bench.send(b"a")
    bench.now += 0.125
    bench.send(b"b")
    assert bench.left() == [(0, b"before")]
    assert bench.due == 1.25
    bench.at(1.125)
    assert len(bench.left()) == 1
    bench.at(1.25)
    assert bench.left()[1:] == [(1.25, b"a")]
    bench.at(1.5)
    assert bench.left()[2:] == [(1.5, b"b")]
    assert bench.due == 2


def test_a_fault_of_the_leader_strikes_while_this_node_leads() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=1.0, leader=True, start_s=1, end_s=9))
    bench.send(b"not yet")
    bench.leads = True
    bench.at(2)
    bench.send(b"as leader")
    bench.at(3)
    bench.at(4)
    bench.leads = False
    bench.send(b"as backup")
    bench.leads = True
    bench.send(b"again")
    bench.at(5)
    bench.at(9)
    bench.send(b"over")
    assert bench.left() == [(0, b"not yet"), (3, b"as leader"), (4, b"as backup"), (5, b"again"), (9, b"over")]


def test_what_is_sent_after_a_delay_does_not_overtake() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=1, end_s=2))
    bench.at(1.75)
    bench.send(b"slow")
    bench.at(2)
    bench.send(b"fast")
    assert bench.left() == []
    bench.at(2.75)
    bench.send(b"later")
    assert [text for _, text in bench.left()] == [b"slow", b"fast", b"later"]


def test_jitter_varies_and_never_reorders() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=0.1, jitter_s=0.1))
    for k in range(200):
        bench.at(k / 100)
        bench.send(b"%d" % k)
    while len(bench.left()) < 200:
        bench.at(bench.due)
    assert [text for _, text in bench.left()] == [b"%d" % k for k in range(200)]
    delays = [when - k / 100 for k, (when, _) in enumerate(bench.left())]
    assert max(delays) <= 0.2 + 1e-6
    assert max(delays) - min(delays) > 0.1


def test_bandwidth_spaces_messages_and_its_end_frees_them() -> None:
    bench = Bench(LinkFault(kind="bandwidth", bytes_per_s=1000, end_s=10))
    bench.at(1)
    bench.send(bytes(500), bytes(250), bytes(250), bytes(100_000), bytes(1))
    whens = []
    for _ in range(3):
        bench.at(bench.due)
        whens.append(bench.now - START)
    assert whens == [1.5, 1.75, 2.0]
    assert len(bench.left()) == 3
    bench.at(9)
    assert len(bench.left()) == 3
    bench.at(10)
    assert len(bench.left()) == 5


def test_delay_and_bandwidth_add_up_and_an_idle_link_saves_nothing() -> None:
    bench = Bench(LinkFault(kind="bandwidth", bytes_per_s=1000), LinkFault(kind="delay", delay_s=1))
    bench.send(bytes(500), bytes(500))
    bench.at(bench.due)
    bench.at(bench.due)
    bench.at(8)
    bench.send(bytes(500))
    bench.at(bench.due)
    assert [when for when, _ in bench.left()] == [1.5, 2.0, 9.5]


def test_a_drop_loses_what_is_behind_it_and_the_connection_comes_back() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=0.5), LinkFault(kind="drop", probability=1, start_s=1, end_s=2))
    bench.at(0.25)
    bench.send(b"arrives")
    bench.at(0.75)
    bench.send(b"lost")
    bench.now += 0.125
    bench.send(b"behind")
    assert bench.at(1.25) == [DOWN]
    assert bench.send(b"x") == [False]
    assert bench.due == pytest.approx(1.25 + REOPEN_S)
    assert bench.at(bench.due) == [UP]
    bench.at(1.75)
    assert bench.send(b"again") == [True]
    assert bench.at(2.25) == []
    assert [text for _, text in bench.left()] == [b"arrives", b"again"]


def test_a_drop_in_send_wakes_the_reactor() -> None:
    bench = Bench(LinkFault(kind="drop", probability=1))
    assert bench.send(b"lost", b"x") == [False, False]
    assert bench.woken == 1
    assert bench.at(0) == [DOWN]
    bench.at(1)
    assert bench.left() == []


def test_drops_have_their_probability() -> None:
    bench = Bench(LinkFault(kind="drop", probability=0.1))
    lost = 0
    for k in range(1000):
        bench.at(k)
        lost += not bench.send(b"x")[0]
    assert 60 < lost < 140
    assert len(bench.left()) == 1000 - lost


def test_a_cut_hides_real_events_and_loses_what_is_held() -> None:
    bench = Bench(
        LinkFault(kind="delay", delay_s=0.5),
        LinkFault(kind="partition", groups=((0,), (1, 2)), start_s=1, end_s=2),
        nodes=4,
    )
    bench.at(0.75)
    bench.send(b"lost")
    bench.send(b"other", peer=3)
    assert bench.at(1) == [DOWN, PeerEvent(2, False), PeerEvent(3, False)], "node 3 is in no group, node 0 is"
    assert bench.send(b"x") == [False]
    bench.inner.disconnect(1)
    bench.inner.changes.append(PeerEvent(1, False, "refused"))
    assert bench.at(1.25) == []
    bench.inner.connect(1)
    bench.inner.disconnect(2)
    assert bench.at(1.5) == []
    assert bench.at(2) == [UP, PeerEvent(3, True)]
    bench.inner.connect(2)
    assert bench.at(2.25) == [PeerEvent(2, True)]
    bench.send(b"again")
    bench.at(3)
    assert bench.left() == [(3, b"again")]


def test_a_cut_that_is_over_before_anybody_looked_breaks_the_connection() -> None:
    bench = Bench(LinkFault(kind="one-way", receivers=(1,), start_s=1, end_s=1.5))
    assert bench.at(3) == [DOWN, UP]
    assert bench.at(4) == []
    again = Bench(LinkFault(kind="one-way", receivers=(1,), start_s=1, end_s=1.5))
    assert again.at(0.5) == []
    again.now = START + 1.25
    assert again.send(b"in the cut, before the next look") == [False]
    assert again.woken == 1
    again.inner.inbox.append((1, [b"x"]))
    assert again.outer.receive() == (1, [b"x"]), "one way only"
    assert again.outer.events() == [DOWN]


def test_a_real_break_loses_what_is_held() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=1))
    bench.send(b"lost")
    bench.inner.disconnect(1)
    bench.inner.connect(1)
    assert bench.at(0.5) == [DOWN, UP]
    bench.send(b"new")
    bench.at(2)
    assert [text for _, text in bench.left()] == [b"new"]


def test_a_connection_that_cannot_take_a_held_message_is_broken() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=1))
    bench.send(b"lost", b"lost too")
    bench.inner.live.clear()  # its event is still to come
    assert bench.at(1) == [DOWN]
    assert bench.at(1 + REOPEN_S) == [UP], "as far as is known"
    bench.inner.disconnect(1)
    assert bench.at(1.5) == [DOWN]


def test_resets_are_real_and_periodic() -> None:
    bench = Bench(LinkFault(kind="reset", every_s=0.5, start_s=1, end_s=2.25), LinkFault(kind="delay", delay_s=0.25))
    bench.at(1.375)
    bench.send(b"lost")
    assert bench.due == 1.5
    assert bench.at(1.5) == [DOWN]
    assert bench.send(b"x") == [False]
    bench.inner.connect(1)
    assert bench.at(1.625) == [UP]
    bench.at(2)
    bench.at(5)
    assert [when - START for when in bench.inner.reset_at] == [1.5, 2.0]
    assert bench.left() == []


def test_reset_on_request_loses_what_is_held() -> None:
    bench = Bench(LinkFault(kind="delay", delay_s=0.25))
    bench.send(b"lost")
    bench.outer.reset(1)
    assert bench.woken == 1
    assert bench.at(0) == [DOWN]
    bench.inner.connect(1)
    assert bench.at(1) == [UP]
    assert bench.left() == []


def test_a_slow_node_takes_one_message_at_a_time() -> None:
    bench = Bench(LinkFault(kind="slow", every_s=0.25, receivers=(0,), start_s=1, end_s=2))
    bench.inner.inbox.extend((1, [b"%d" % k]) for k in range(9))
    assert [bench.outer.receive() for _ in range(2)] == [(1, [b"0"]), (1, [b"1"])]
    bench.at(1)
    assert bench.outer.receive() == (1, [b"2"])
    assert bench.outer.receive() is None
    assert bench.due == 1.25
    bench.at(1.25)
    assert [bench.outer.receive() for _ in range(2)] == [(1, [b"3"]), None]
    bench.at(2)
    assert [bench.outer.receive() for _ in range(6)] == [*[(1, [b"%d" % k]) for k in range(4, 9)], None]
    assert bench.due == float("inf")


def test_a_pause_that_ends_in_send_is_told() -> None:
    bench = Bench(LinkFault(kind="slow", every_s=0.25))
    bench.inner.inbox.extend([(1, [b"0"]), (1, [b"1"])])
    bench.outer.receive()
    assert bench.outer.receive() is None
    bench.now += 0.25
    bench.send(b"x")
    assert bench.woken == 1
    assert bench.outer.receive() == (1, [b"1"])


def test_the_schedule_starts_when_all_are_connected_for_the_first_time() -> None:
    bench = Bench(LinkFault(kind="one-way", senders=(0,), start_s=1, end_s=2), nodes=3, start=None)
    bench.inner.connect(1)
    assert bench.at(5) == [UP]
    bench.inner.disconnect(1)
    bench.inner.connect(2)
    assert bench.at(6) == [DOWN, PeerEvent(2, True)]
    assert bench.due == float("inf")
    bench.inner.connect(1)
    assert bench.at(7) == [UP]
    bench.inner.disconnect(1)
    assert bench.at(7.5) == [DOWN]
    assert bench.due == 8
    assert bench.at(8) == [PeerEvent(2, False)]


def test_a_schedule_has_begun_already_or_is_still_to_begin() -> None:
    late = Bench(LinkFault(kind="partition", groups=((0,),), end_s=50), start=START - 49)
    assert (late.first, late.at(1)) == ([], [UP])
    early = Bench(LinkFault(kind="partition", groups=((0,),)), start=START + 10)
    assert (early.first, early.due, early.at(10)) == ([UP], 10, [DOWN])


def test_not_more_than_so_many_messages_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty_transport, "MESSAGES_HELD", 3)
    bench = Bench(LinkFault(kind="delay", delay_s=1))
    assert bench.send(b"a", b"b", b"c", b"d", b"e") == [True, True, True, False, False]
    assert bench.at(0.5) == [DOWN, UP]
    assert bench.at(2) == []
    assert bench.left() == []


def test_the_timer_calls_when_something_is_due_and_not_after_close() -> None:
    woken = Event()
    inner = FakeTransport(time.time)
    outer = FaultyTransport(inner, 0, 2, [LinkFault(kind="delay", delay_s=0.05)], woken.set)
    inner.connect(1)
    assert outer.events() == [UP]
    began = time.time()
    outer.send(1, [b"x"])
    while not inner.sent:
        assert woken.wait(10)
        woken.clear()
        outer.events()
    assert inner.sent_at[0] >= began + 0.05
    outer.send(1, [b"x"])
    outer.close(7)
    assert inner.closed == 7
    assert not woken.wait(0.1)


# -- random schedules ----------------------------------------------------------------------------------------

#: eighths of a second: sums are exact
TIMES = st.integers(0, 40).map(lambda k: k / 8)
LENGTHS = st.integers(1, 16).map(lambda k: k / 8)
LINKS = st.sampled_from([((), ()), ((0,), ()), ((), (0,)), ((1,), (0,)), ((0,), (1,))])


@st.composite
def link_faults(draw: st.DrawFn, forever: bool) -> LinkFault:
    """A fault between nodes 0 and 1 that ends by second 7, or maybe never if it lets something through."""
    kind = draw(st.sampled_from(["partition", "one-way", "delay", "bandwidth", "drop", "reset", "slow"]))
    start = draw(TIMES)
    end: float | None = start + draw(LENGTHS)
    if forever and kind in ("delay", "bandwidth", "drop", "slow") and draw(st.booleans()):
        end = None
    fields: dict[str, Any] = {"kind": kind, "start_s": start, "end_s": end}
    senders, receivers = draw(LINKS)
    if kind == "partition":
        return LinkFault(**fields, groups=((0,),))
    if kind == "slow":
        return LinkFault(**fields, receivers=receivers, every_s=draw(st.sampled_from([0.01, 0.125])))
    if kind == "one-way" and not senders and not receivers:
        senders = (0, 1)
    fields.update(senders=senders, receivers=receivers)
    if kind == "delay":
        delay = draw(LENGTHS)
        fields.update(delay_s=delay, jitter_s=draw(st.sampled_from([0.0, delay / 2, delay])))
    elif kind == "bandwidth":
        fields.update(bytes_per_s=draw(st.sampled_from([500.0, 5000.0])))
    elif kind == "drop":
        fields.update(probability=draw(st.sampled_from([0.05, 0.3])))
    elif kind == "reset":
        fields.update(every_s=draw(st.sampled_from([0.125, 1.0])))
    return LinkFault(**fields)


STEPS = st.lists(st.tuples(st.sampled_from(["wait", "due", "send", "flap", "down", "up"]), st.integers(0, 12)))


@settings(max_examples=100, deadline=None)
@given(st.lists(link_faults(False), max_size=4), STEPS, st.integers(0, 99))
def test_each_connection_carries_a_prefix_in_order(
    faults: list[LinkFault], steps: list[tuple[str, int]], seed: int
) -> None:
    bench = Bench(*faults, seed=seed)
    schedule = Schedule(faults, 0)
    numbers = itertools.count()
    connections: list[list[int]] = []
    sent_at: dict[int, float] = {}

    def look() -> None:
        for event in bench.outer.events():
            if event.opened:
                connections.append([])

    def say(count: int) -> None:
        look()
        for number in itertools.islice(numbers, count):
            if bench.outer.send(1, [b"%d" % number, bytes(50)]):
                connections[-1].append(number)
                sent_at[number] = bench.now - START

    if bench.first:
        connections.append([])
    for step, k in steps:
        if step == "wait":
            bench.now += k / 16
        elif step == "due":
            bench.now = max(bench.now, min(bench.outer.due, START + 10))
        elif step == "send":
            say(k)
        else:
            if step in ("flap", "down"):
                bench.inner.disconnect(1)
            if step in ("flap", "up"):
                bench.inner.connect(1)
        look()
    # The faults are over by second 7; the steps may take longer.
    bench.now = max(bench.now, START + 20)
    look()
    if not bench.inner.live:
        bench.inner.connect(1)
    bench.now += 20
    look()
    say(3)
    bench.at(200)

    left = [(when, int(text)) for when, text in bench.left()]
    assert [number for _, number in left] == sorted({number for _, number in left})
    arrived = {number for _, number in left}
    for carried in connections:
        assert [number in arrived for number in carried] == sorted([n in arrived for n in carried], reverse=True)
    assert arrived >= set(connections[-1][-3:]), "after the last fault everything flows"
    assert len(connections[-1]) >= 3
    for when, number in left:
        assert not schedule.conditions(1, when).cut
        conditions = schedule.conditions(1, sent_at.get(number, when))
        assert when >= sent_at.get(number, when) + conditions.delay_s - conditions.jitter_s


def hello(heard: tuple[int, int], twice: bool) -> bytes:
    """Second part of a greeting, shorter than a real one."""
    return b"hello"


class Side:
    """One node: a link over a faulty transport over one end of a pair of pipes."""

    def __init__(self, me: int, world: World, faults: list[LinkFault], seed: int) -> None:
        self.me, self.world = me, world
        self.session = 100 + me
        self.link = Link(self.session, 1 << 20)
        self.inner = FakeTransport(lambda: world.now)
        self.inner.connect(1 - me)
        self.outer = FaultyTransport(
            self.inner, me, 2, faults, self.wake, START, random.Random(seed), lambda: world.now
        )
        self.awake = True
        self.accepted = False
        self.offered: list[bytes] = []
        self.received: list[bytes] = []

    def wake(self) -> None:
        self.awake = True

    def tick(self) -> None:
        """As the reactor and `Peers` do."""
        self.awake = False
        for event in self.outer.events():
            if event.opened:
                self.link.connection_opened()
            else:
                self.link.connection_closed()
        while (arrived := self.outer.receive()) is not None:
            self.handle(arrived[1])
        while self.link.connected and (message := self.link.next_message(9, 9, hello, announce=True)):
            if not self.outer.send(1 - self.me, message):
                self.link.connection_opened()
                break

    def handle(self, message: list[bytes]) -> None:
        head = Header.decode(message[0])
        if head.kind == HELLO:
            self.accepted = True
            self.link.receive(head, 0)
        elif self.accepted and head.ack_session == self.session:
            for data in message[1:][self.link.receive(head, len(message) - 1)]:
                self.received.append(data)
                self.link.incoming.done(1)

    def next_time(self) -> float:
        """When this side is to look again."""
        if self.awake or self.inner.changes:
            return self.world.now
        owes = self.link.connected and self.link.owes_announcement(9, 9)
        return min(self.outer.due, self.world.now + 0.02 if owes else float("inf"))


class World:
    """Two sides; a connection that is reset loses some of what is under way, and comes back a little later."""

    def __init__(self, faults: list[LinkFault], seed: int) -> None:
        self.now = START
        self.rng = random.Random(seed)
        self.sides = [Side(me, self, faults, seed + me) for me in (0, 1)]
        self.resets = [0, 0]
        self.back_at = [float("inf")] * 2

    def step(self, until: float) -> None:
        """Go to the next time at which something happens, and let it."""
        under_way = self.now + 0.001 if any(side.inner.sent for side in self.sides) else until
        self.now = max(self.now, min(until, under_way, *self.back_at, *(side.next_time() for side in self.sides)))
        for side, other in zip(self.sides, reversed(self.sides), strict=True):
            if self.back_at[side.me] <= self.now:
                self.back_at[side.me] = float("inf")
                side.inner.connect(other.me)
            if side.next_time() <= self.now:
                side.tick()
            broken = len(side.inner.reset_at) > self.resets[side.me]
            if broken:
                self.resets[side.me] = len(side.inner.reset_at)
                self.back_at[side.me] = self.now + 0.005
                del side.inner.sent[self.rng.randrange(len(side.inner.sent) + 1) :]
            # What is under way arrives at once, or is there still when the connection breaks.
            count = len(side.inner.sent) - (self.rng.random() < 0.3)
            for _, message in side.inner.sent[: max(0, count)]:
                other.inner.inbox.append((side.me, message))
                other.awake = True
            del side.inner.sent[: max(0, count)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(link_faults(True), max_size=5),
    st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(1, 100), TIMES), max_size=12),
    st.integers(0, 99),
)
def test_links_deliver_exactly_once_in_order_under_any_schedule(
    faults: list[LinkFault], offers: list[tuple[int, int, float]], seed: int
) -> None:
    world = World(faults, seed)
    for me, count, second in sorted(offers, key=lambda offer: offer[2]):
        while world.now < START + second:
            world.step(START + second)
        side = world.sides[me]
        for _ in range(count):
            side.offered.append(b"%d/%d" % (me, len(side.offered)))
            side.link.outgoing.offer(Entry(1, side.offered[-1]))
        side.awake = True
    steps = 0
    while any(side.link.outgoing.backlog for side in world.sides):
        world.step(START + 3000)
        steps += 1
        assert steps < 100_000 and world.now < START + 3000, "no progress"
    for side, other in zip(world.sides, reversed(world.sides), strict=True):
        assert side.received == other.offered
        assert side.link.incoming.lost == 0


# -- real sockets --------------------------------------------------------------------------------------------


def wrap(made: list[Endpoint], faults: list[LinkFault], woken: Event, seed: int = 1) -> list[FaultyTransport]:
    """Put every endpoint's transport under the faults; second 0 is when all are connected."""
    wrapped = [
        FaultyTransport(endpoint.transport, me, len(made), faults, woken.set, rng=random.Random(seed + me))
        for me, endpoint in enumerate(made)
    ]
    for endpoint, transport in zip(made, wrapped, strict=True):
        endpoint.transport = transport  # type: ignore[assignment]
    return wrapped


def test_a_cut_on_real_sockets_ends_by_itself() -> None:
    woken = Event()
    with endpoints(2) as made:
        wrap(made, [LinkFault(kind="partition", groups=((0,), (1,)), start_s=0.2, end_s=0.4)], woken)
        connect_all(made)

        def cut_and_over(endpoint: Endpoint) -> bool:
            return [event.opened for event in endpoint.events] == [True, False, True]

        # Only timers wake it: nothing happens on the sockets.
        while not all(map(cut_and_over, made)):
            assert woken.wait(10)
            woken.clear()
            for endpoint in made:
                endpoint.serve()
        for me in (0, 1):
            assert made[me].transport.send(1 - me, [b"after"])
        until(lambda: all(e.received for e in made), *(e.serve for e in made))


def test_a_reset_makes_a_new_tcp_connection() -> None:
    ports = free_ports(2)
    proxy = Proxy(ports[1])
    members = credentials(2)
    made = [
        Endpoint(members[0], [(HOST, ports[0]), (HOST, proxy.port)]),
        Endpoint(members[1], [(HOST, port) for port in ports]),
    ]
    connect_all(made)
    for k in range(3):
        before = proxy.connections
        made[0].events.clear()
        made[0].transport.reset(1)
        until(lambda: made[0].up(1), *(e.serve for e in made))
        assert proxy.connections == before + 1
        assert [event.opened for event in made[0].events] == [False, True]
        until(lambda n=k: made[0].transport.send(1, [b"%d" % n]), *(e.serve for e in made))
        until(lambda n=k: (0, [b"%d" % n]) in made[1].received, *(e.serve for e in made))
    for endpoint in made:
        endpoint.close()
    proxy.close()


CODEC = Codec(MESSAGE_TYPES, 4000)


def test_peers_lose_nothing_under_all_faults_on_real_sockets() -> None:
    faults = [
        LinkFault(kind="delay", delay_s=0.002, jitter_s=0.002),
        LinkFault(kind="bandwidth", bytes_per_s=5e6),
        LinkFault(kind="drop", probability=0.02),
        LinkFault(kind="reset", every_s=0.15),
        LinkFault(kind="slow", every_s=0.002, receivers=(1,), end_s=0.5),
        LinkFault(kind="partition", groups=((0,),), start_s=0.2, end_s=0.4),
        LinkFault(kind="one-way", senders=(1,), start_s=0.5, end_s=0.6),
    ]
    woken = Event()
    rng = random.Random(5)
    received: list[list[Message]] = [[], []]
    sent: list[list[Message]] = [[], []]
    told = Listener()
    with endpoints(2, longest_part=CODEC.longest_part) as made:
        transports = wrap(made, faults, woken)
        peers = [peers_of(me, 2, 1000 + me, CODEC, transports[me], told, held_bytes_cap=64 << 20) for me in (0, 1)]

        def step() -> None:
            for me in (0, 1):
                if len(sent[me]) < 250:
                    sent[me].append(Echo(1, len(sent[me]), bytes(32), b"", rng.randbytes(rng.randrange(4000))))
                    peers[me].broadcast(sent[me][-1])
                made[me].zap.serve()
                peers[me].connections_changed()
                while (entries := peers[me].receive()) is not None:
                    for _, messages in entries:
                        received[me] += messages
                peers[me].flush(9, 0)
            gevent.sleep(0.001)

        until(lambda: len(received[0]) >= 250 and len(received[1]) >= 250, step)
        assert received == [sent[1], sent[0]]
    assert not told.faults and not told.refusals
