"""No message, whatever its fields, from whomever, at whatever moment, makes `handle` raise."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.byzantine.harness import parameters

from crypto.bls.bls12_381 import BLS12_381
from honeybadger.protocols.honey_badger.messages import MESSAGE_TYPES, HoneyBadgerMessage
from honeybadger.simulation.cluster import SimulatedCluster, Strategy

proposers = st.sampled_from([0, 1, 2, 3, 4, 5, 65535])
points = st.sampled_from(
    [bytes(48), bytes([0xC0]) + bytes(47), b"\xff" * 48, BLS12_381.g1.encode(BLS12_381.g1.generator)]
) | st.binary(min_size=48, max_size=48)
#: field of a message → what may stand there
FIELDS = {
    "epoch": st.sampled_from([0, 1, 2, 3, 5, 9, 10, 11, 2**31, 2**53]),
    "proposer": proposers,
    "round": st.sampled_from([0, 1, 2, 3, 5, 119, 120, 121, 10**6, 2**31]),
    "root": st.sampled_from([bytes(32), b"\1" * 32]) | st.binary(min_size=32, max_size=32),
    "branch": st.sampled_from([b"", bytes(32), bytes(64), bytes(512)]) | st.binary(max_size=80),
    "shard": st.sampled_from([b"", bytes(64), bytes(1 << 14)]) | st.binary(max_size=70),
    "value": st.booleans(),
    "values": st.integers(1, 3),
    "share": points,
    "shares": st.lists(st.tuples(proposers, points), max_size=6),
}
messages = st.one_of(*(st.builds(kind, *map(FIELDS.get, kind.__struct_fields__)) for kind in MESSAGE_TYPES))
decoder = msgspec.msgpack.Decoder(HoneyBadgerMessage)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(0, 400), messages), min_size=20, max_size=60),
    st.integers(0, 10**6),
    st.sampled_from(["every-round", "fixed-fixed-coin"]),
)
def test_handle_never_raises(injections, seed, schedule):
    """Random messages of node 3 into the run of the others: no exception, no harm, blame for node 3 only."""
    settings_ = parameters(4, coin_schedule=schedule)
    cluster = SimulatedCluster(4, seed, byzantine={3: Strategy()}, parameters=settings_)
    cluster.submit(0, [b"tx"])
    cluster.start()
    by_moment = sorted(injections, key=lambda item: item[0])
    for moment, message in by_moment:
        while cluster.network.steps < moment and cluster.network.step():
            pass
        again = decoder.decode(msgspec.msgpack.encode(message))
        assert again == message, "only what can come off the wire"
        for node in cluster.nodes.values():
            node.handle(3, message)
            node.status()
    cluster.run_until_committed([b"tx"], 100_000)
    cluster.network.run(max_steps=100_000)
    cluster.check()
