"""Connections of simulated nodes: when they open and close, and what is lost with them."""

import random
from typing import Any

import msgspec
import pytest

from honeybadger.network.codec import HEADER_BYTES, Codec, WireError
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.network.faulty_transport import FaultyTransport
from honeybadger.network.transport import PeerEvent
from honeybadger.protocols.honey_badger.messages import MESSAGE_TYPES, Ready
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.schedulers.frames import FrameDelays
from honeybadger.simulation.schedulers.scheduler import Scheduler
from honeybadger.simulation.virtual_time import codec as codec_file
from honeybadger.simulation.virtual_time.codec import FRAMING_BYTES, ChargedCodec, Decoded
from honeybadger.simulation.virtual_time.costs import Costs, Meter
from honeybadger.simulation.virtual_time.links import Links, Network
from honeybadger.simulation.virtual_time.payload import CARRIED_AS_IT_IS
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.simulation.virtual_time.table import CostTable, Line, Node
from honeybadger.simulation.virtual_time.thread import Thread
from honeybadger.simulation.virtual_time.transport import VirtualTransport, Wires

FREE = Line(0.0, 0.0)
#: ZeroMQ's thread takes no time here
TABLE = msgspec.structs.replace(CostTable.load().node, send_io=FREE, receive_io=FREE)
HEADER = bytes(HEADER_BYTES)


def codec_of(meter: Meter, decoded: Decoded | None = None) -> ChargedCodec:
    return ChargedCodec(MESSAGE_TYPES, 10_000, {}, meter, TABLE, CARRIED_AS_IT_IS, decoded)


class Bench:
    """Nodes a second apart; `events` and `taken`: of each, with the time."""

    def __init__(self, nodes: int = 2, prices: Node = TABLE) -> None:
        self.prices = prices
        self.clock = Clock()
        self.wires = Wires(self.clock, Links(self.clock, nodes, Network(1.0), random.Random(1)))
        self.events: list[tuple[float, int, PeerEvent]] = []
        self.taken: list[tuple[float, int, int, Any]] = []
        self.meters = [Meter(Costs(CostTable.load())) for _ in range(nodes)]
        self.up = [self.start(me) for me in range(nodes)]

    def start(self, me: int) -> VirtualTransport:
        made: list[VirtualTransport] = []
        meter = self.meters[me]
        thread = Thread(Processors(self.clock, 1), meter)
        made.append(
            VirtualTransport(me, self.wires, codec_of(meter), meter, self.prices, thread, lambda: self._look(made[0]))
        )
        return made[0]

    def _look(self, transport: VirtualTransport) -> None:
        now = self.clock.now
        self.events += [(now, transport.me, event) for event in transport.events()]
        while (arrived := transport.receive()) is not None:
            self.taken.append((now, transport.me, arrived[0], arrived[1][1:]))

    def until(self, time: float) -> None:
        self.clock.at(time, lambda: None)
        while self.clock.now < time:
            self.clock.step()

    def say(self, sender: VirtualTransport, peer: int, text: bytes) -> bool:
        sent = sender.send(peer, [HEADER, text])
        sender.leave()
        return sent


def test_a_connection_opens_a_round_trip_after_both_are_up() -> None:
    bench = Bench()
    assert not bench.say(bench.up[0], 1, b"early")
    bench.until(3)
    assert bench.events == [(2.0, 1, PeerEvent(0, True)), (2.0, 0, PeerEvent(1, True))] and bench.wires.met == 2
    assert bench.say(bench.up[0], 1, b"x")
    bench.until(5)
    assert bench.taken == [(4.0, 1, 0, [b"x"])]


def test_what_is_sent_leaves_at_the_end_of_the_tick_and_dies_with_the_node() -> None:
    bench = Bench()
    bench.until(3)
    bench.up[0].send(1, [HEADER, b"late"])
    bench.until(5)
    bench.up[0].leave()
    bench.until(5.5)
    bench.up[0].send(1, [HEADER, b"never"])
    bench.up[0].close()
    bench.up[0].leave()
    bench.until(9)
    assert bench.taken == [(6.0, 1, 0, [b"late"])], "what has left before the sender died arrives"


def test_a_death_is_heard_after_the_latency_and_a_new_life_gets_nothing_of_the_old_one() -> None:
    bench = Bench()
    bench.until(3)
    bench.say(bench.up[0], 1, b"lost")
    bench.up[1].close()
    bench.events.clear()
    again = bench.start(1)
    assert bench.say(bench.up[0], 1, b"lost too"), "node 0 does not know yet"
    bench.until(9)
    assert bench.taken == []
    assert [(at, event) for at, node, event in bench.events if node == 0] == [
        (4.0, PeerEvent(1, False)),
        (5.0, PeerEvent(1, True)),
    ]
    bench.say(bench.up[0], 1, b"new")
    bench.say(again, 0, b"back")
    bench.until(11)
    assert [rest for _, *rest in bench.taken] == [[1, 0, [b"new"]], [0, 1, [b"back"]]]


def test_a_death_that_is_heard_of_late_does_not_close_the_connection_to_the_next_life() -> None:
    bench = Bench()
    bench.until(3)
    old = bench.up[1]
    old.close()
    again = bench.start(1)
    bench.until(6)
    bench.events.clear()
    bench.up[0].lost(old)
    assert bench.events == [] and bench.say(bench.up[0], 1, b"x") and again.is_open


def test_a_reset_loses_what_is_on_its_way_and_opens_again() -> None:
    bench = Bench()
    bench.until(3)
    bench.events.clear()
    bench.say(bench.up[0], 1, b"lost")
    bench.say(bench.up[1], 0, b"the other way")
    bench.up[0].reset(1)
    assert not bench.say(bench.up[0], 1, b"closed")
    bench.until(6)
    assert bench.events == [(3.0, 0, PeerEvent(1, False)), (5.0, 0, PeerEvent(1, True))]
    assert bench.taken == [(4.0, 0, 1, [b"the other way"])]
    bench.up[0].reset(1)
    bench.up[1].close()
    bench.until(12)
    assert bench.events[-1] == (6.0, 0, PeerEvent(1, False)), "to a dead node nothing opens"


def test_a_size_is_charged_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes an entry larger than its bytes does so everywhere."""
    monkeypatch.setattr(ChargedCodec, "charged_size", lambda self, entry: 1_000_000)
    bench = Bench()
    meter = bench.meters[0]
    bench.until(3)
    meter.begin()
    bench.up[0].send(1, [HEADER, b"x", b"y"])
    size = FRAMING_BYTES + 2_000_000
    assert meter.end() == pytest.approx(TABLE.send.of(size))
    bench.up[0].leave()
    bench.meters[1].begin()
    bench.until(9)
    assert bench.meters[1].end() == pytest.approx(TABLE.receive.of(size))
    assert bench.up[0].sent_bytes == bench.up[1].received_bytes == size
    slow = LinkFault(kind="bandwidth", bytes_per_s=1_000_000.0)
    faulty = FaultyTransport(
        bench.up[0], 0, 2, [slow], lambda: None, 0.0, clock=lambda: 9.0, size=codec_of(meter).frame_size
    )
    faulty._paths[1].really_up = True
    faulty.events()
    faulty.send(1, [HEADER, b"x", b"y"])
    assert faulty.due == pytest.approx(9.0 + size / 1e6)
    faulty.close()
    meter.begin()
    ((entry, _),) = codec_of(meter).entries([Ready(1, 0, bytes(32))])
    assert meter.end() == pytest.approx(TABLE.encode.of(1_000_000))
    meter.begin()
    codec_of(meter).decode(entry)
    assert meter.end() == pytest.approx(TABLE.decode.of(1_000_000))


def test_an_entry_is_decoded_once_for_all_and_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    meter, decoded = Meter(Costs(CostTable.load())), Decoded()
    one, other = codec_of(meter, decoded), codec_of(meter, decoded)
    entries = [Codec(MESSAGE_TYPES, 10_000).encode([Ready(epoch, 0, bytes(32))]) for epoch in range(4)]
    first = one.decode(entries[0])
    assert other.decode(entries[0]) is first == [Ready(0, 0, bytes(32))]
    assert codec_of(meter).decode(entries[0]) is not first, "measured, each decodes for itself"
    for _ in range(2):
        with pytest.raises(WireError):
            one.decode(b"\x91\xc1")
    each = codec_file.TIMES * len(entries[0]) + codec_file.ENTRY_BYTES
    monkeypatch.setattr(codec_file, "REMEMBERED_BYTES", 2 * each)
    for entry in entries:
        one.decode(entry)
    assert len(decoded._messages) == 2 and one.decode(entries[0]) is not first


def test_the_thread_of_zeromq_takes_its_time_at_both_ends_and_dies_with_the_node() -> None:
    bench = Bench(prices=msgspec.structs.replace(TABLE, send_io=Line(0.25, 0.0), receive_io=Line(0.5, 0.0)))
    bench.until(3)
    assert bench.say(bench.up[0], 1, b"a") and bench.say(bench.up[0], 1, b"b")
    bench.until(6)
    # The second one waits for the first, at both ends.
    assert bench.taken == [(4.75, 1, 0, [b"a"]), (5.25, 1, 0, [b"b"])]
    assert [meter.total for meter in bench.meters] == [0.5, 1.0]
    assert bench.say(bench.up[0], 1, b"c")
    bench.up[0].close()
    bench.until(9)
    assert len(bench.taken) == 2


def test_a_scheduler_delays_frames_by_what_is_in_them_and_none_overtakes() -> None:
    bench = Bench()
    codec = codec_of(bench.meters[0])
    entries = [next(iter(codec.entries([Ready(1, proposer, bytes(32))])))[0] for proposer in (0, 1)]

    class LateProposer(Scheduler):
        """READYs of proposer 1 are late by two seconds."""

        def __call__(self, step, sender, recipient, message, rng):  # type: ignore[no-untyped-def]
            return step + 2000 * message.proposer

    bench.wires.delays = FrameDelays(LateProposer(), bench.clock, 2, list, random.Random(1))
    bench.until(3)
    for entry in (entries[0], entries[1], b"garbage"):
        assert bench.say(bench.up[0], 1, entry)
    bench.until(9)
    assert [at for at, *_ in bench.taken] == [4.0, 6.0, 6.0]


def test_what_waits_for_a_thread_is_done_together() -> None:
    clock, meter, done = Clock(), Meter(Costs(CostTable.load())), []
    thread = Thread(Processors(clock, 1), meter)
    for number in range(3):
        thread.run(1.0, lambda number=number: done.append((clock.now, number)))  # type: ignore[misc]
    while clock.step():
        pass
    assert done == [(1.0, 0), (3.0, 1), (3.0, 2)] and meter.total == 3.0
