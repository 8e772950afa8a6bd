"""Peers over real sockets through a proxy that keeps breaking: nothing lost, nothing doubled, all in order."""

from __future__ import annotations

import random
from collections.abc import Callable

import gevent
import pytest
from network_helpers import HOST, Endpoint, Proxy, credentials, free_ports, until

from honeybadger.network.codec import Codec, Hello
from honeybadger.node.peers import Peers
from honeybadger.protocols.messages import MESSAGE_TYPES, Echo, Message

CODEC = Codec(MESSAGE_TYPES, 40_000)
HELLO = Hello(bytes(32), {})


def peers_of(endpoint: Endpoint, me: int) -> Peers:
    return Peers(
        me,
        2,
        1000 + me,
        64 << 20,
        CODEC,
        endpoint.transport,
        HELLO,
        lambda hello: "",
        lambda peer, why: pytest.fail(why),
        lambda peer, up, failure: None,
        lambda node, kind, detail: pytest.fail(f"{kind} {detail}"),
    )


def test_cut_connections_lose_nothing() -> None:
    rng = random.Random(3)
    ports = free_ports(2)
    proxies = [Proxy(port) for port in ports]
    members = credentials(2)
    made = [
        Endpoint(members[me], [(HOST, ports[i] if i == me else proxies[i].port) for i in range(2)], CODEC.longest_part)
        for me in range(2)
    ]
    peers = [peers_of(endpoint, me) for me, endpoint in enumerate(made)]
    received: list[list[Message]] = [[], []]
    done = False
    sent: list[list[Message]] = [[], []]

    def turn(me: int) -> Callable[[], None]:
        def step() -> None:
            made[me].zap.serve()
            peers[me].connections_changed()
            while (entries := peers[me].receive()) is not None:
                for _, messages in entries:
                    received[me] += messages
            peers[me].flush(9, 1 if done else 0)

        return step

    steps = [turn(0), turn(1)]
    for round_number in range(8):
        for _ in range(8):
            for me in range(2):
                for _ in range(4):
                    sent[me].append(Echo(1, len(sent[me]), bytes(32), b"", rng.randbytes(rng.randrange(40_000))))
                    peers[me].broadcast(sent[me][-1])
                steps[me]()
            gevent.sleep(0.001)
        until(lambda r=round_number: len(received[1]) > 4 * r and len(received[0]) > 4 * r, *steps)
        for proxy in proxies:
            proxy.cut()
    until(lambda: len(received[1]) >= len(sent[0]) and len(received[0]) >= len(sent[1]), *steps, seconds=20)
    assert received == [sent[1], sent[0]]
    assert min(proxy.connections for proxy in proxies) >= 3
    until(lambda: all(p.links[1 - me].outgoing.backlog == 0 for me, p in enumerate(peers)), *steps)
    assert all(
        p.links[1 - me].outgoing.held_bytes > sum(len(m.shard) for m in sent[me] if isinstance(m, Echo))
        for me, p in enumerate(peers)
    ), "retained, as nothing is durable"
    done = True
    until(lambda: all(p.links[1 - me].outgoing.held_bytes == 0 for me, p in enumerate(peers)), *steps)
    for endpoint in made:
        endpoint.close()
    for proxy in proxies:
        proxy.close()
