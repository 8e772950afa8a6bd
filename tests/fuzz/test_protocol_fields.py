"""The protocol object alone: messages of a real run, with fields changed, put back into a run at any moment."""

from __future__ import annotations

import random

from memory_nodes import CODEC, PARAMETERS
from mutations import mutated_fields

from honeybadger.network.codec import WireError
from honeybadger.protocols.messages import MESSAGE_TYPES, Message
from honeybadger.simulation.cluster import SimulatedCluster, Strategy


def recorded(seed: int) -> list[bytes]:
    """Entries with one message each, of all kinds, of a run of four correct nodes."""
    cluster = SimulatedCluster(4, seed, parameters=PARAMETERS)
    cluster.submit(0, [b"tx %d" % i for i in range(30)])
    cluster.start()
    seen: dict[bytes, type[Message]] = {}
    while cluster.network.pending() and len(seen) < 900:
        for _, _, message in cluster.network.pending():
            seen.setdefault(CODEC.encode([message]), type(message))
        for _ in range(60):
            cluster.network.step()
    # As many of each kind.
    by_kind = {kind: [data for data, its in seen.items() if its is kind] for kind in MESSAGE_TYPES}
    return [data for found in by_kind.values() for data in found[:60]]


def test_real_messages_with_other_fields(seed: int) -> None:
    rng = random.Random(seed)
    corpus = recorded(seed)
    kinds = {type(CODEC.decode(data)[0]) for data in corpus}
    assert len(kinds) >= 6, kinds
    cluster = SimulatedCluster(4, seed, byzantine={3: Strategy()}, parameters=PARAMETERS)
    wanted = [b"%d-%d" % (me, i) for me in range(3) for i in range(20)]
    for me in range(3):
        cluster.submit(me, wanted[20 * me : 20 * me + 20])
    cluster.start()
    taken = 0
    for _ in range(6000):
        try:
            messages = CODEC.decode(mutated_fields(rng.choice(corpus), rng, valid=rng.random() < 0.9))
        except WireError:
            continue
        taken += 1
        for message in messages:
            for node in cluster.nodes.values():
                node.handle(3, message)
        cluster.network.step()
    assert taken > 2000
    cluster.run_until_committed(wanted, 500_000)
    cluster.check()
    assert {fault.node for fault in cluster.network.faults} == {3}
