"""What a node tells as it happens is bounded, whatever its peers do, and ends with how things are."""

import io
from typing import Any

import msgspec
import pytest

from honeybadger.node.events import EventLog
from honeybadger.node.notices import CONNECTION_EVENTS_PER_S, FAULT_EVENTS, LINES, Notices
from honeybadger.protocols.faults import FaultKind


class Bench:
    """Notices whose file can be read."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.file = io.BytesIO()
        self.said: list[str] = []
        self.notices = Notices(EventLog(self.file), self.said.append, clock)

    def events(self, **wanted: object) -> list[dict[str, Any]]:
        found = [msgspec.json.decode(line) for line in self.file.getvalue().splitlines()]
        return [event for event in found if wanted.items() <= event.items()]


@pytest.fixture
def bench(clock: Any) -> Bench:
    return Bench(clock)


def flap(bench: Bench, peer: int, times: int, seconds: float) -> None:
    """Up and down, `times` each, in so many seconds, while the node looks after itself once a second."""
    for _ in range(times):
        for up in (True, False):
            before = int(bench.clock.now)
            bench.notices.connection(peer, up, "")
            bench.clock.now += seconds / times / 2
            if int(bench.clock.now) > before:
                bench.notices.each_second()


def test_a_flapping_connection_fills_no_log_and_loses_no_count(bench: Bench) -> None:
    flap(bench, 2, 5000, 10.0)
    bench.notices.each_second()
    mine = bench.events(event="connection", peer=2)
    assert len(mine) <= 11 * (CONNECTION_EVENTS_PER_S + 1)
    assert len(mine) + sum(event["left_out"] for event in mine) == 10_000, "what was left out is counted"
    assert mine[-1]["up"] is False, "how it is now"


def test_the_state_of_a_connection_that_calms_down_is_told_in_time(bench: Bench) -> None:
    flap(bench, 2, 100, 0.1)
    bench.notices.connection(2, True, "")
    assert len(bench.events(peer=2)) == CONNECTION_EVENTS_PER_S
    bench.notices.connection(3, True, "")
    assert [event["up"] for event in bench.events(peer=3)] == [True], "each peer has its own share"
    bench.notices.each_second()
    last = bench.events(peer=2)[-1]
    assert (last["up"], last["left_out"]) == (True, 201 - CONNECTION_EVENTS_PER_S - 1)
    bench.notices.each_second()
    assert bench.events(peer=2)[-1] == last, "once"
    bench.clock.now += 2
    bench.notices.connection(2, False, "it refused this node's key")
    last = bench.events(peer=2)[-1]
    assert (last["up"], last["failure"], last["left_out"]) == (False, "it refused this node's key", 0)


def test_quiet_connections_are_told_as_they_are(bench: Bench) -> None:
    for up in (True, False, True):
        bench.notices.connection(1, up, "")
        bench.clock.now += 1.5
        bench.notices.each_second()
    assert [(event["up"], event["left_out"]) for event in bench.events()] == [(True, 0), (False, 0), (True, 0)]


def test_faults_are_counted_all_and_told_a_few_times(bench: Bench) -> None:
    for number in range(50):
        bench.notices.fault(3, FaultKind.BAD_FRAME, str(number))
    bench.notices.fault(3, FaultKind.EQUIVOCATION, "twice")
    assert bench.notices.faults == {(3, "BAD_FRAME"): 50, (3, "EQUIVOCATION"): 1}
    assert len(bench.events(kind="BAD_FRAME")) == FAULT_EVENTS
    assert [event["detail"] for event in bench.events(kind="EQUIVOCATION")] == ["twice"]


def test_a_person_is_told_once_and_not_without_end(bench: Bench) -> None:
    assert bench.notices.say_once("hello")
    assert not bench.notices.say_once("hello")
    for number in range(2 * LINES):
        bench.notices.connection(1, False, f"reason {number}")
    assert len(bench.said) == LINES
