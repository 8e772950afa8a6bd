"""Simulated nodes with a protocol that only notes what it is told: when ticks happen, and what outlives a node."""

import json

import msgspec
import pytest

from honeybadger.ledger.errors import LedgerError
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.node.reactor import TICK_S, Rest
from honeybadger.protocols.honey_badger.messages import Ready
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.simulation.virtual_time.clients import ReplyTo
from honeybadger.simulation.virtual_time.costs import Costs
from honeybadger.simulation.virtual_time.events import Trace
from honeybadger.simulation.virtual_time.ideal import IDEAL
from honeybadger.simulation.virtual_time.links import Network
from honeybadger.simulation.virtual_time.outside import VirtualOutside
from honeybadger.simulation.virtual_time.table import CostTable, Line
from honeybadger.simulation.virtual_time.world import Description, World

TICK, LATENCY = 0.01, 0.25
FREE = Line(0, 0)


class Notes:
    """A protocol. `seen`: what it was told, and when; `context`: what it may use."""

    epoch, horizon, leader, settled = 1, 1, None, 0

    def __init__(self, now, context):
        self._now, self.context, self.seen = now, context, []

    def handle(self, sender, message):
        self._note("handle", sender, message.epoch)

    def poke(self):
        self._note("poke")

    def timeout(self, name):
        self._note("timeout", name)

    def _note(self, *what):
        self.seen.append((round(self._now(), 6), *what))

    def told(self, what):
        return [(at, *rest) for at, name, *rest in self.seen if name == what]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Two nodes whose tick takes 10 ms, and their protocols; nothing else costs anything but a `message`."""
    worlds = []

    def protocol(self, context):
        made = Notes(self.now, context)
        return made, context.outbox

    def make(message=0.0, faults=(), **changes):
        table = CostTable.load()
        costs = dict.fromkeys(("loop", "block", "commit", "commit_byte", "sync"), 0.0)
        costs |= dict.fromkeys(
            ("encode", "decode", "send", "receive", "send_io", "receive_io", "submit", "ledger", "client"), FREE
        )
        node = msgspec.structs.replace(table.node, **{**costs, "tick": TICK, "message": message, **changes})
        what = Description(
            parameters=SPECIFICATION.parameters(),
            quorums=SPECIFICATION.fault_model.quorums(2, 0),
            suite=IDEAL,
            costs=Costs(msgspec.structs.replace(table, node=node)),
            own_hosts=True,
            network=Network(latency_s=LATENCY),
            faults=faults,
        )
        world = World(what, tmp_path, ReplyTo(), Trace(None))
        worlds.append(world)
        monkeypatch.setattr(VirtualOutside, "protocol", protocol)
        world.begin()
        # The nodes greet each other.
        until(world, 5)
        return world, [one.protocol for one in world.nodes]

    yield make
    for world in worlds:
        world.close()


def until(world, time):
    world.run(lambda: world.clock.now > time)


def at_rest(world):
    """Run until both nodes rest and will for a while; then forget what they were told. Returns the time."""

    def rests():
        lives = [node.life for node in world.nodes]
        return all(not life._busy and life._next_at > world.clock.now + 0.3 for life in lives)

    world.run(rests)
    for node in world.nodes:
        node.protocol.seen.clear()
    return world.clock.now


def about(*times):
    return pytest.approx(times, abs=2e-6)


def test_a_timer_is_due_by_the_time_of_the_node_which_in_a_tick_is_ahead(run):
    world, (first, _) = run()
    now = at_rest(world)
    first.context.timers.set("late", 0.015)
    # This tick lasts from 10 to 20 ms.
    world.clock.at(now + 0.01, world.nodes[0].life.wake)
    until(world, now + 0.1)
    assert [at for at, _ in first.told("timeout")] == about(now + 0.01 + TICK)


def test_a_timer_wakes_the_node(run):
    world, (first, _) = run()
    now = at_rest(world)
    first.context.timers.set("early", 0.05)
    world.nodes[0].life.wake()
    until(world, now + 0.2)
    assert [at for at, _ in first.told("timeout")] == about(now + 0.05 + TICK)


def test_a_wish_to_be_asked_again_that_comes_during_a_tick_is_not_forgotten(run):
    """As when a block becomes durable meanwhile."""
    world, (first, _) = run()
    now = at_rest(world)
    for moment in (0.0, 0.005, 0.006):
        world.clock.at(now + moment, world.nodes[0].life.wake)
    until(world, now + 0.1)
    assert [at for at, *_ in first.told("poke") if at < now + 0.1] == about(now + TICK, now + 2 * TICK)


def test_what_is_said_leaves_when_the_tick_has_passed_and_arrives_after_the_latency(run):
    world, (first, second) = run(sync=0.05)
    now = at_rest(world)
    first.context.outbox.broadcast(Ready(1, 0, bytes(32)))
    world.nodes[0].life.wake()
    until(world, now + 0.5)
    assert [at for at, *_ in first.told("handle")] == about(now + TICK)
    # The vote that the protocol did not journal waits for no disk.
    assert [at for at, *_ in second.told("handle")] == about(now + TICK + LATENCY + TICK)


def test_a_vote_waits_for_the_disk(run):
    world, (first, second) = run(sync=0.05)
    now = at_rest(world)
    first.context.outbox.broadcast(Ready(1, 0, bytes(32)))
    first.context.journal.remember(1, 1, 0, 0, b"vote")
    world.nodes[0].life.wake()
    until(world, now + 0.5)
    assert [at for at, *_ in second.told("handle")] == about(now + TICK + 0.05 + LATENCY + TICK)


def test_a_message_beyond_the_horizon_waits_at_the_sender_until_the_protocol_gets_there(run):
    world, (first, second) = run()
    now = at_rest(world)
    first.context.outbox.broadcast(Ready(2, 0, bytes(32)))
    world.nodes[0].life.wake()
    until(world, now + 2)
    assert second.told("handle") == []
    assert world.nodes[0].life.node.core.peers.links[1].outgoing.backlog == 1
    second.horizon = 2
    world.nodes[1].life.wake()
    until(world, now + 4)
    assert [what for _, *what in second.told("handle")] == [[0, 2]]


def test_a_tick_takes_no_more_when_its_time_is_up(run):
    world, (first, second) = run(message=TICK_S)
    now = at_rest(world)
    for epoch in (0, 1):
        first.context.outbox.send(1, Ready(epoch, 0, bytes(32)))
    world.nodes[0].life.wake()
    until(world, now + 0.5)
    told = [name for _, name, *_ in second.seen]
    assert told[told.index("handle") :][:4] == ["handle", "poke", "handle", "poke"]


def test_a_node_that_is_killed_in_a_tick_says_and_hears_nothing(run):
    world, (first, second) = run()
    now = at_rest(world)
    first.context.outbox.broadcast(Ready(1, 0, bytes(32)))
    world.nodes[0].life.wake()
    world.clock.at(now + TICK / 2, world.nodes[0].kill)
    world.clock.at(now + TICK, world.nodes[0].life.wake)
    until(world, now + 1)
    assert second.told("handle") == [] and len(first.told("poke")) == 1
    assert not world.nodes[1].life.node.core.peers.links[0].connected


def test_a_node_starts_again_with_its_votes_and_another_session(run, tmp_path):
    world, (first, _) = run()
    now = at_rest(world)
    old = world.nodes[0].life
    first.context.journal.remember(1, 1, 0, 0, b"vote")
    old.wake()
    until(world, now + 0.1)
    world.nodes[0].kill()
    until(world, now + 1)
    world.restart(0)
    until(world, now + 3)
    again = world.nodes[0].protocol
    assert again is not first and again.context.journal.recall(1, 1, 0, 0) == b"vote"
    links = [node.life.node.core.peers.links[1 - node.me] for node in world.nodes]
    assert all(link.connected and link.heeded for link in links)
    assert old.node.core.peers._session != world.nodes[0].life.node.core.peers._session == links[1].incoming.session
    lines = (tmp_path / "node-0" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines].count("started") == 2


def test_a_node_that_cannot_go_on_is_down_and_says_why(run, monkeypatch):
    world, (first, _) = run()
    now = at_rest(world)

    def broken():
        raise LedgerError("the disk is gone")

    monkeypatch.setattr(first, "poke", broken)
    world.nodes[0].life.wake()
    until(world, now + 1)
    assert (world.nodes[0].alive, world.nodes[0].failure) == (False, "the disk is gone")
    assert not world.nodes[1].life.node.core.peers.links[0].connected
    assert world.nodes[1].alive


def test_a_node_that_does_not_want_to_be_woken_rests(run, monkeypatch):
    """As one whose disk lags behind."""
    world, _ = run()
    now = at_rest(world)
    life, ticks = world.nodes[0].life, []

    def tick():
        ticks.append(life.now())
        return Rest(0.05, deaf=len(ticks) == 1)

    monkeypatch.setattr(life.node.parts.reactor, "tick", tick)
    for moment in (0.0, 0.005, 0.03):
        world.clock.at(now + moment, life.wake)
    until(world, now + 0.09)
    assert ticks[:2] == about(now + TICK, now + TICK + 0.05 + TICK)


def test_link_faults_go_on_where_they_are_when_a_node_starts_again(run):
    world, _ = run(faults=[LinkFault(kind="delay", delay_s=0.001)])
    assert world.schedule_zero == 2 * LATENCY
    zeros = [node.life.node.parts.transport._zero for node in world.nodes]
    assert zeros == pytest.approx([world.schedule_zero] * 2, abs=0.1)
    world.nodes[0].kill()
    until(world, 7)
    world.restart(0)
    until(world, 9)
    assert world.nodes[0].life.node.parts.transport._zero == world.schedule_zero
