"""One simulated node with a protocol that only notes what it is told: nothing that happens during a tick is lost."""

import msgspec
import pytest

from honeybadger.protocols.honey_badger.messages import Ready
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.simulation.virtual_time.costs import Costs
from honeybadger.simulation.virtual_time.events import Trace
from honeybadger.simulation.virtual_time.ideal import IDEAL
from honeybadger.simulation.virtual_time.links import Network
from honeybadger.simulation.virtual_time.node import TICK_S, ReplyTo
from honeybadger.simulation.virtual_time.table import CostTable, Line
from honeybadger.simulation.virtual_time.world import Description, World

TICK = 1.0
FREE = Line(0, 0)


class Notes:
    """A protocol. `seen`: what it was told, and when."""

    epoch, horizon, leader, settled = 1, 1, None, 0

    def __init__(self, node):
        self.node, self.seen = node, []

    def handle(self, sender, message):
        self._note("handle", sender, message.epoch)

    def poke(self):
        self._note("poke")

    def timeout(self, name):
        self._note("timeout", name)

    def _note(self, *what):
        self.seen.append((round(self.node.now(), 6), *what))

    def told(self, what):
        return [(at, *rest) for at, name, *rest in self.seen if name == what]


def world_of(path, message=0.0, **changes):
    """Two nodes whose tick takes a second, and their protocols; nothing else costs anything but a `message`."""
    table = CostTable.load()
    costs = dict.fromkeys(("loop", "block", "commit", "commit_byte", "sync"), 0.0)
    costs |= dict.fromkeys(("encode", "decode", "send", "receive", "submit", "ledger", "client"), FREE)
    node = msgspec.structs.replace(table.node, **{**costs, "tick": TICK, "message": message, **changes})
    what = Description(
        specification=SPECIFICATION,
        parameters=SPECIFICATION.parameters(),
        quorums=SPECIFICATION.fault_model.quorums(2, 0),
        suite=IDEAL,
        costs=Costs(msgspec.structs.replace(table, node=node)),
        own_hosts=True,
        network=Network(latency_s=0.25),
    )
    world = World(what, path, ReplyTo(), Trace(None))
    for one in world.nodes:
        one.protocol = Notes(one)
    return world, [one.protocol for one in world.nodes]


@pytest.fixture
def run(tmp_path):
    worlds = []

    def make(**changes):
        worlds.append(world_of(tmp_path, **changes))
        return worlds[-1]

    yield make
    for world, _ in worlds:
        world.close()


def until(world, time):
    world.run(lambda: world.clock.now > time)


def test_a_timer_that_expires_during_a_tick_is_told_in_the_next_one(run):
    world, (first, _) = run()
    world.begin()
    world.nodes[0].timers.set("late", 1.5)
    # This tick lasts from 1.2 to 2.2.
    world.clock.at(1.2, world.nodes[0].wake)
    until(world, 5)
    assert first.told("timeout") == [(2.2 + TICK, "late")]


def test_a_wish_to_be_asked_again_that_comes_during_a_tick_is_not_forgotten(run):
    """As when a block becomes durable meanwhile."""
    world, (first, _) = run()
    world.begin()
    world.clock.at(0.5, world.nodes[0].wake)
    world.clock.at(0.6, world.nodes[0].wake)
    until(world, 5)
    assert first.told("poke") == [(TICK,), (2 * TICK,)]


def test_what_is_said_leaves_when_the_tick_has_passed_and_arrives_after_the_latency(run):
    world, (first, second) = run(sync=0.5)
    world.nodes[0].outbox.broadcast(Ready(1, 0, bytes(32)))
    world.begin()
    until(world, 6)
    assert first.told("handle") == [(TICK, 0, 1)]
    # The vote that the protocol did not journal waits for no disk.
    assert second.told("handle") == [(TICK + 0.25 + TICK, 0, 1)]


def test_a_vote_waits_for_the_disk(run):
    world, (_, second) = run(sync=0.5)
    world.nodes[0].outbox.broadcast(Ready(1, 0, bytes(32)))
    world.nodes[0].journal.remember(1, 1, 0, 0, b"vote")
    world.begin()
    until(world, 6)
    assert second.told("handle") == [(TICK + 0.5 + 0.25 + TICK, 0, 1)]


def test_a_message_beyond_the_horizon_waits_until_the_protocol_gets_there(run):
    world, (_, second) = run()
    world.nodes[0].outbox.broadcast(Ready(2, 0, bytes(32)))
    world.begin()
    until(world, 6)
    assert second.told("handle") == []
    second.horizon = 2
    world.nodes[1].wake()
    until(world, 9)
    assert [what for _, *what in second.told("handle")] == [[0, 2]]


def test_a_tick_takes_no_more_frames_when_its_time_is_up(run):
    world, (_, second) = run(message=TICK_S)
    for epoch in (0, 1):
        world.nodes[0].outbox.send(1, Ready(epoch, 0, bytes(32)))
    world.begin()
    # Both arrive while this tick is in progress.
    world.clock.at(1.1, world.nodes[1].wake)
    until(world, 6)
    assert [name for _, name, *_ in second.seen] == ["poke", "poke", "handle", "poke", "handle", "poke"]


def test_a_killed_node_says_and_hears_nothing(run):
    world, (first, second) = run()
    world.nodes[0].outbox.broadcast(Ready(1, 0, bytes(32)))
    world.begin()
    world.clock.at(0.5, world.nodes[0].kill)
    world.clock.at(0.6, world.nodes[0].wake)
    until(world, 6)
    assert second.told("handle") == [] and len(first.told("poke")) == 1
