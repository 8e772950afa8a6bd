"""Two processes with the keys of node 2, among others: who is listened to, and what comes through."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from support.peers import Listener, QueueTransport, peers_of

from honeybadger.network.codec import Codec
from honeybadger.network.transport import PeerEvent
from honeybadger.node.standing import Standing
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import MESSAGE_TYPES, BVal, Term
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.wire import Message

CODEC = Codec(MESSAGE_TYPES, 1000)
NODES = 3
SHARED = 2


class Process(QueueTransport):
    """One process with the keys of node `me`; what it sends to a node arrives where the world says that one is."""

    def __init__(self, world: World, me: int, session: int) -> None:
        super().__init__(me, NODES)
        self.world, self.me, self.session = world, me, session
        self.received: list[tuple[int, Message]] = []
        self.told = Listener()
        self.said = 0
        self.peers = peers_of(me, NODES, session, CODEC, self, self.told, now=world.clock)

    def say(self) -> None:
        """Something new to everybody, that tells who said it."""
        self.said += 1
        self.peers.broadcast(BVal(1, self.session, self.said, True))

    def heard(self, sender: int, session: int) -> list[int]:
        """What came from this process, by the order in which it said it."""
        return [m.round for s, m in self.received if s == sender and isinstance(m, BVal) and m.proposer == session]

    def turn(self) -> None:
        self.peers.connections_changed()
        while (entries := self.peers.receive()) is not None:
            for sender, messages in entries:
                self.received += [(sender, message) for message in messages]
        self.peers.flush(9, 0)
        self.peers.loopback.clear()

    # -- as a transport ------------------------------------------------------------------------------------

    def send(self, peer: int, parts: Sequence[bytes]) -> bool:
        to = self.world.at_address[peer]
        if to is not None:
            to.arrives(self.me, *parts)
        return to is not None

    def reset(self, peer: int) -> None:
        self.changes += [PeerEvent(peer, False), PeerEvent(peer, True)]
        self.world.connection_made(peer)


class World:
    """Nodes 0 and 1, and the genuine node 2, which is at its address. A turn takes 50 ms."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.restless = False
        self.at_address: list[Process | None] = [None] * NODES
        self.processes = [Process(self, me, 100 + me) for me in range(NODES)]
        self.at_address = list(self.processes)
        self.observers, self.genuine = self.processes[:SHARED], self.processes[SHARED]
        self.twin: Process | None = None

    def start_twin(self) -> Process:
        """It connects to the others; nobody connects to it, unless it gets the address."""
        self.twin = Process(self, SHARED, 999)
        self.processes.append(self.twin)
        return self.twin

    def stop_twin(self) -> None:
        self.processes.remove(self.twin)
        self.move_address(self.genuine)

    def move_address(self, to: Process) -> None:
        """Connections to node 2 lead to this process from now on."""
        self.at_address[SHARED] = to
        for observer in self.observers:
            observer.changes += [PeerEvent(SHARED, False), PeerEvent(SHARED, True)]

    def connection_made(self, peer: int) -> None:
        if peer == SHARED and self.restless and self.twin is not None:
            self.at_address[SHARED] = self.twin if self.at_address[SHARED] is self.genuine else self.genuine

    def run(self, seconds: float, *, talk: bool = True) -> None:
        for _ in range(int(seconds * 20)):
            self.clock.now += 0.05
            for process in self.processes:
                if talk:
                    process.say()
                process.turn()

    def settled(self) -> None:
        """Everybody hears everything from everybody, each once and in order; only node 2 is accused."""
        self.run(5, talk=False)
        for process in (*self.observers, self.genuine):
            for other in (*self.observers, self.genuine):
                if other is not process:
                    heard = process.heard(other.me, other.session)
                    # What the twin has acknowledged as node 2, and the genuine node perhaps had, comes again.
                    assert list(dict.fromkeys(heard)) == list(range(1, other.said + 1)), (process.me, other.me)
            assert all(link.heeded for link in process.peers.links.values())
            assert {node for node, _ in process.told.faults} <= {SHARED}

    def said_twice(self) -> bool:
        """Both sides know."""
        return self.genuine.told.twin_heard_by == {0, 1} and all(
            (SHARED, FaultKind.KEYS_USED_TWICE) in observer.told.faults for observer in self.observers
        )


@pytest.fixture
def world(clock: Any) -> World:
    made = World(clock)
    made.run(2)
    return made


@pytest.mark.parametrize("talk", [True, False], ids=["under load", "idle"])
def test_a_process_elsewhere_disturbs_nobody_and_both_sides_say_so(world: World, talk: bool) -> None:
    twin = world.start_twin()
    world.run(10, talk=talk)
    assert world.said_twice()
    world.stop_twin()
    world.run(1)
    world.settled()
    for observer in world.observers:
        assert not observer.heard(SHARED, twin.session), "nobody listens to who is not where it should be"
        assert observer.heard(SHARED, world.genuine.session) == list(range(1, world.genuine.said + 1))
    assert not twin.received


def test_a_process_that_has_the_address_for_a_while_is_another_stream(world: World) -> None:
    twin = world.start_twin()
    world.move_address(twin)
    world.run(5)
    world.observers[0].peers.send(SHARED, Term(1, 0, True))
    world.run(5)
    assert twin.heard(0, 100) and (0, Term(1, 0, True)) in twin.received
    for observer in world.observers:
        heard = observer.heard(SHARED, twin.session)
        assert heard == list(range(1, len(heard) + 1))
    world.stop_twin()
    world.run(2)
    world.settled()
    assert (0, Term(1, 0, True)) in world.genuine.received, "though its twin has acknowledged it"
    assert world.said_twice()


def test_two_processes_that_share_the_address_by_turns(world: World) -> None:
    world.start_twin()
    world.restless = True
    rng = random.Random(1)
    for _ in range(40):
        world.run(rng.random())
        world.move_address(rng.choice([world.twin, world.genuine]))
    for process in world.processes:
        for link in process.peers.links.values():
            assert len(link.sessions._former) <= 8
    assert world.said_twice()
    world.restless = False
    world.stop_twin()
    world.run(2)
    world.settled()


def test_nodes_that_each_listen_to_a_twin_of_the_other_find_together(world: World) -> None:
    """Each was started again, and the first to greet it was a process elsewhere."""
    twins = [Process(world, me, 999 + me) for me in (0, SHARED)]
    fresh = {me: Process(world, me, 200 + me) for me in (0, SHARED)}
    world.at_address = [None, world.observers[1], None]
    for twin in twins:
        twin.changes = [PeerEvent(peer, True) for peer in (0, SHARED) if peer != twin.me]
    world.processes = [*twins]
    world.at_address[0], world.at_address[SHARED] = fresh[0], fresh[SHARED]
    world.run(0.1, talk=False)
    for me in (0, SHARED):
        fresh[me].peers.connections_changed()
        while fresh[me].peers.receive() is not None:
            pass
        assert fresh[me].peers.links[SHARED - me].incoming.session >= 999
    world.processes = [fresh[0], world.observers[1], fresh[SHARED], *twins]
    world.observers[0], world.genuine = fresh[0], fresh[SHARED]
    world.observers[1].changes += [PeerEvent(peer, up) for peer in (0, SHARED) for up in (False, True)]
    world.run(10)
    world.processes = world.processes[:NODES]
    world.run(1)
    for me in (0, SHARED):
        assert fresh[me].heard(SHARED - me, 200 + SHARED - me)[-1] >= fresh[SHARED - me].said - 1


def test_a_restart_is_no_second_process(world: World) -> None:
    """Not even if much of the dead one arrives late."""
    for session in (300, 301, 302):
        old = world.genuine
        world.processes.remove(old)
        fresh = Process(world, SHARED, session)
        late = [list(observer.inbox) for observer in world.observers]
        world.genuine = fresh
        world.processes.append(fresh)
        world.move_address(fresh)
        world.run(1)
        old.changes = [PeerEvent(peer, True) for peer in (0, 1)]
        old.turn()
        for observer, messages in zip(world.observers, late, strict=True):
            observer.inbox.extend(messages)
        world.run(5)
        assert not fresh.told.twin_heard_by
    assert not any(process.told.faults for process in world.processes)
    assert world.genuine.heard(0, 100)


@pytest.mark.parametrize("keys", [True, False], ids=["its keys are used twice", "its manifest differs"])
def test_one_peer_alone_cannot_make_a_node_say_it(keys: bool) -> None:
    """Of f+1 one is correct."""
    said: list[Any] = []
    notices: Any = SimpleNamespace(
        fault=lambda *fault: said.append(fault), connection=None, say_once=lambda line: False
    )
    manifest: Any = SimpleNamespace(quorums=Quorums(4, 1))
    standing = Standing(SHARED, manifest, notices, said.append)
    for peer in [*[1] * 10, 3]:
        assert not said
        if keys:
            standing.twin_heard(peer)
        else:
            standing.refused(peer, "f is 1 here")
    assert said == [
        (SHARED, FaultKind.KEYS_USED_TWICE, "heard by nodes [1, 3]")
        if keys
        else "the manifest of this node differs from that of nodes [1, 3]: f is 1 here"
    ]
