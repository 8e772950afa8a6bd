"""Peers over real sockets through a proxy that keeps breaking: nothing lost, nothing doubled, all in order."""

import random

import gevent
from support.network import HOST, Endpoint, Proxy, credentials, free_ports, until
from support.peers import Listener, peers_of

from honeybadger.network.codec import Codec
from honeybadger.protocols.honey_badger.messages import MESSAGE_TYPES, Echo
from honeybadger.protocols.wire import Message

CODEC = Codec(MESSAGE_TYPES, 40_000)


def test_cut_connections_lose_nothing() -> None:
    rng = random.Random(3)
    ports = free_ports(2)
    proxies = [Proxy(port) for port in ports]
    members = credentials(2)
    made = [
        Endpoint(members[me], [(HOST, ports[i] if i == me else proxies[i].port) for i in range(2)], CODEC.longest_part)
        for me in range(2)
    ]
    told = Listener()
    peers = [peers_of(me, 2, 1000 + me, CODEC, made[me].transport, told, held_bytes_cap=64 << 20) for me in range(2)]
    outgoing = [peers[me].links[1 - me].outgoing for me in range(2)]
    received: list[list[Message]] = [[], []]
    sent: list[list[Echo]] = [[], []]
    durable = 0

    def step() -> None:
        for me in range(2):
            made[me].zap.serve()
            peers[me].connections_changed()
            while (entries := peers[me].receive()) is not None:
                for _, messages in entries:
                    received[me] += messages
            peers[me].flush(9, durable)

    for round_number in range(8):
        for _ in range(8):
            for me in [0, 1] * 4:
                sent[me].append(Echo(1, len(sent[me]), bytes(32), b"", rng.randbytes(rng.randrange(40_000))))
                peers[me].broadcast(sent[me][-1])
            step()
            gevent.sleep(0.001)
        until(lambda r=round_number: min(map(len, received)) > 4 * r, step)
        for proxy in proxies:
            proxy.cut()
    until(lambda: [len(part) for part in received] == [len(sent[1]), len(sent[0])], step)
    assert received == [sent[1], sent[0]]
    assert min(proxy.connections for proxy in proxies) >= 3
    until(lambda: all(link.backlog == 0 for link in outgoing), step)
    for me in range(2):
        assert outgoing[me].held_bytes > sum(len(m.shard) for m in sent[me]), "retained, as nothing is durable"
    durable = 1
    until(lambda: all(link.held_bytes == 0 for link in outgoing), step)
    assert not told.faults and not told.refusals
    for each in (*made, *proxies):
        each.close()
