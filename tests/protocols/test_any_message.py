"""No message, whatever its fields, from whomever, at whatever moment, makes `handle` raise."""

import random

import msgspec
import pytest
from byzantine.harness import parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto.bls12_381 import BLS12_381
from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.messages import (
    MESSAGE_TYPES,
    Aux,
    BVal,
    CoinShare,
    Conf,
    DecryptionShares,
    Echo,
    HoneyBadgerMessage,
    Message,
    Ready,
    Term,
    Val,
)
from honeybadger.simulation.cluster import SimulatedCluster, Strategy

epochs = st.sampled_from([0, 1, 2, 3, 5, 9, 10, 11, 2**31, 2**53])
proposers = st.sampled_from([0, 1, 2, 3, 4, 5, 65535])
rounds = st.sampled_from([0, 1, 2, 3, 5, 119, 120, 121, 10**6, 2**31])
roots = st.sampled_from([bytes(32), b"\1" * 32]) | st.binary(min_size=32, max_size=32)
branches = st.sampled_from([b"", bytes(32), bytes(64), bytes(512)]) | st.binary(max_size=80)
shards = st.sampled_from([b"", bytes(64), bytes(1 << 14)]) | st.binary(max_size=70)
points = st.sampled_from(
    [bytes(48), bytes([0xC0]) + bytes(47), b"\xff" * 48, BLS12_381.g1.encode(BLS12_381.g1.generator)]
) | st.binary(min_size=48, max_size=48)
share_lists = st.lists(st.tuples(proposers, points), max_size=6)
messages = st.one_of(
    st.builds(Val, epochs, proposers, roots, branches, shards),
    st.builds(Echo, epochs, proposers, roots, branches, shards),
    st.builds(Ready, epochs, proposers, roots),
    st.builds(BVal, epochs, proposers, rounds, st.booleans()),
    st.builds(Aux, epochs, proposers, rounds, st.booleans()),
    st.builds(Conf, epochs, proposers, rounds, st.integers(1, 3)),
    st.builds(CoinShare, epochs, proposers, rounds, points),
    st.builds(Term, epochs, proposers, st.booleans()),
    st.builds(DecryptionShares, epochs, share_lists),
)
decoder = msgspec.msgpack.Decoder(HoneyBadgerMessage)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(0, 400), messages), min_size=5, max_size=60),
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


def test_messages_after_everything_is_over():
    """Committed epochs: no effect, no fault, nothing stored."""
    cluster = SimulatedCluster(4, 1)
    cluster.submit(0, [b"tx"])
    cluster.start()
    cluster.run_until_committed([b"tx"])
    cluster.network.run()
    node = cluster.nodes[0]
    before = node.status()
    rng = random.Random(1)
    sample = [
        Val(1, 3, bytes(32), b"", b"x"),
        Echo(1, 3, bytes(32), b"", b"x"),
        Ready(1, 3, rng.randbytes(32)),
        BVal(1, 3, 0, True),
        Aux(1, 3, 0, True),
        Conf(1, 3, 2, 3),
        CoinShare(1, 3, 2, bytes(48)),
        Term(1, 3, False),
        DecryptionShares(1, [(0, bytes(48))]),
    ]
    assert {type(message) for message in sample} == set(MESSAGE_TYPES)
    for message in sample:
        node.handle(3, message)
        node.handle(3, msgspec.structs.replace(message, epoch=0))
    assert node.status() == before
    assert not cluster.network.pending()
    assert not cluster.network.faults


class Stranger(Message, tag=77):
    """A message of another protocol."""


class AddressedStranger(Message, tag=78):
    proposer: int


@pytest.mark.parametrize("number", [1, 9])
def test_messages_of_other_protocols(number):
    cluster = SimulatedCluster(4, 1)
    cluster.nodes[0].handle(3, AddressedStranger(number, 1))
    assert [(f.node, f.kind) for f in cluster.network.faults] == [(3, FaultKind.UNKNOWN_MESSAGE)]


def test_messages_without_proposer():
    cluster = SimulatedCluster(4, 1)
    cluster.nodes[0].handle(3, Stranger(1))
    assert [(f.node, f.kind) for f in cluster.network.faults] == [(3, FaultKind.UNKNOWN_MESSAGE)]


@pytest.mark.parametrize("proposer", [4, 65535])
def test_proposers_outside_the_cluster(proposer):
    cluster = SimulatedCluster(4, 1)
    for message in (Ready(1, proposer, bytes(32)), Term(1, proposer, True), BVal(1, proposer, 0, True)):
        cluster.nodes[0].handle(3, message)
    assert [(f.node, f.kind) for f in cluster.network.faults] == [(3, FaultKind.NOT_A_MEMBER)] * 3
    assert not cluster.network.pending() or all(m.proposer == 0 for _, _, m in cluster.network.pending())
