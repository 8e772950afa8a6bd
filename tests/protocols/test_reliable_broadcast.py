"""Reliable broadcast, one instance at a time."""

import random

import msgspec
import pytest
from support.byzantine.harness import ALL_SIZES, faulty_nodes
from support.byzantine.scripted import EPOCH, BroadcastNet, Recorder

from crypto.erasure import ReedSolomon
from honeybadger.adversary.dispersal import dispersal, echo_of, vote_of
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import EchoHash, HoneyBadgerFault, Ready, Val
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast
from honeybadger.protocols.quorums import BYZANTINE, Quorums

VALUE = b"a value of some length" * 5


def alone(nodes, me=0, proposer=0):
    """One instance with a recorder for an outbox."""
    q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    recorder, values = Recorder(), []
    code = ReedSolomon(q.data_shards, nodes)
    instance = ReliableBroadcast(me, EPOCH, proposer, q, code, 1 << 14, recorder, values.append, lambda lacking: None)
    return instance, recorder, values, q, code


@pytest.mark.parametrize("nodes", [1, 2, 3, *ALL_SIZES])
@pytest.mark.parametrize("value", [b"", VALUE])
def test_honest_proposer(nodes, value):
    net = BroadcastNet(nodes, 1)
    net.nodes[0].broadcast(value)
    net.network.run()
    assert net.delivered == dict.fromkeys(range(nodes), value)
    assert not net.network.faults


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_exact_thresholds(nodes):
    """READY at the (N-f)-th ECHO or the (f+1)-st READY, delivery at the (2f+1)-st READY."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    for sender in range(q.quorum - 1):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert not recorder.sent
    instance.handle_echo(q.quorum - 1, echo_of(vals[q.quorum - 1]))
    assert recorder.sent == [Ready(EPOCH, 0, vals[0].root)]
    for sender in range(q.ready - 1):
        instance.handle_ready(sender, recorder.sent[0])
    assert not values
    instance.handle_ready(q.ready - 1, recorder.sent[0])
    assert values == [VALUE]


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_amplification_and_late_echoes(nodes):
    """Scenario 7: f+1 READYs make a READY; 2f+1 READYs wait for N-2f ECHOs."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    ready = Ready(EPOCH, 0, vals[0].root)
    for sender in range(q.ready):
        assert len(recorder.sent) == (sender >= q.weak)
        instance.handle_ready(sender, ready)
    for sender in range(q.data_shards):
        assert not values
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert values == [VALUE]
    assert recorder.sent == [ready]


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_all_echoes_and_too_few_readies(nodes):
    """READYs of 2f are not enough, however many ECHOs follow."""
    instance, _, values, q, code = alone(nodes, me=nodes - 1)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    for sender in range(q.ready - 1):
        instance.handle_ready(sender, Ready(EPOCH, 0, vals[0].root))
    for sender in range(nodes):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert not values
    instance.handle_ready(nodes - 1, Ready(EPOCH, 0, vals[0].root))
    assert values == [VALUE]


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_without_val_still_delivers(nodes):
    """Scenario 7: one correct node never gets its VAL, f nodes are silent."""
    silent = faulty_nodes(nodes)[1:]
    net = BroadcastNet(nodes, 2, silent=silent)
    net.nodes[0].broadcast(VALUE)
    net.network.lose(lambda sender, recipient, message: recipient == 1)
    net.network.run()
    assert net.delivered == dict.fromkeys(net.nodes, VALUE)


def test_echo_counts_at_the_senders_index_only():
    """Scenario 4: three copies of one valid shard are one shard at most."""
    instance, recorder, _, _, code = alone(4, me=3)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    for sender in range(3):
        instance.handle_echo(sender, echo_of(vals[0]))
    assert not recorder.sent
    assert recorder.faults == [(1, HoneyBadgerFault.BAD_BRANCH), (2, HoneyBadgerFault.BAD_BRANCH)]


def test_one_echo_and_one_ready_per_sender():
    """Scenario 5: repeating oneself does not count twice; contradicting oneself is a fault."""
    instance, recorder, values, _, code = alone(4, me=3)
    vals, others = (dispersal(code.encode(v), EPOCH, 0) for v in (VALUE, b"other"))
    for _ in range(4):
        instance.handle_echo(0, echo_of(vals[0]))
        instance.handle_ready(0, Ready(EPOCH, 0, vals[0].root))
    assert not recorder.sent
    instance.handle_echo(0, echo_of(others[0]))
    instance.handle_ready(0, Ready(EPOCH, 0, others[0].root))
    assert recorder.faults == [(0, FaultKind.EQUIVOCATION)] * 2
    instance.handle_echo(1, echo_of(others[1]))
    instance.handle_echo(2, echo_of(others[2]))
    assert not recorder.sent
    assert not values


def test_one_echo_and_one_ready_of_ones_own():
    """However many roots gain f+1 READYs, and ECHOs on top, this node speaks once."""
    instance, recorder, _, _, code = alone(7, me=6)
    for value, senders in ((VALUE, (0, 1, 2)), (b"other", (3, 4, 5))):
        vals = dispersal(code.encode(value), EPOCH, 0)
        instance.handle_val(0, vals[6])
        for sender in senders:
            instance.handle_ready(sender, Ready(EPOCH, 0, vals[0].root))
    for sender in range(6):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert len(recorder.of(EchoHash)) == 1
    assert len(recorder.of(Ready)) == 1
    assert recorder.faults == [(0, FaultKind.EQUIVOCATION)]


def test_only_the_proposer_broadcasts_and_only_once():
    instance, *_ = alone(4, me=1)
    with pytest.raises(RuntimeError):
        instance.broadcast(VALUE)
    instance, *_ = alone(4)
    instance.broadcast(VALUE)
    with pytest.raises(RuntimeError):
        instance.broadcast(VALUE)


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_no_codeword_is_delivered(nodes, seed):
    """Scenario 1: f faulty nodes help with ECHO and READY; each correct node restores from other shards."""
    faulty = faulty_nodes(nodes)
    net = BroadcastNet(nodes, seed, silent=faulty, proposer=nodes - 1)
    shards = net.code.encode(b"\xaa" * 64 * nodes)
    shards[seed] = bytes(len(shards[0]))
    vals = dispersal(shards, EPOCH, nodes - 1)
    for k in net.nodes:
        net.send(nodes - 1, [k], vals[k])
    for k in faulty:
        net.send(k, list(net.nodes), echo_of(vals[k]))
        net.send(k, list(net.nodes), Ready(EPOCH, nodes - 1, vals[0].root))
    net.network.run()
    assert not net.delivered
    assert {(f.node, f.kind) for f in net.network.faults} == {(nodes - 1, HoneyBadgerFault.BAD_CODEWORD)}


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_totality_with_partial_dispersal(nodes, seed):
    """Scenario 6: VALs to k correct nodes, the faulty ones favour one victim; all deliver, or none."""
    faulty = faulty_nodes(nodes)
    rng = random.Random(seed)
    q = Quorums(nodes, len(faulty))
    for count in (q.data_shards - 1, q.data_shards, nodes - len(faulty)):
        net = BroadcastNet(nodes, seed, silent=faulty, proposer=nodes - 1)
        vals = dispersal(net.code.encode(VALUE), EPOCH, nodes - 1)
        for k in rng.sample(sorted(net.nodes), count):
            net.send(nodes - 1, [k], vals[k])
        for k in faulty:
            friends = rng.choice([list(net.nodes), [0], rng.sample(sorted(net.nodes), 2)])
            net.send(k, friends, echo_of(vals[k]))
            net.send(k, friends, Ready(EPOCH, nodes - 1, vals[0].root))
        net.network.run()
        assert net.delivered in ({}, dict.fromkeys(net.nodes, VALUE))
        if count == q.data_shards - 1:
            assert not net.delivered
        if count == nodes - len(faulty):
            assert net.delivered
        assert not net.network.faults


@pytest.mark.parametrize("nodes", [4, 7, 9])
@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_two_roots(nodes, seed):
    """Scenario 2: random halves; the faulty nodes vouch for both roots."""
    faulty = faulty_nodes(nodes)
    rng = random.Random(seed)
    net = BroadcastNet(nodes, seed, silent=faulty, proposer=nodes - 1)
    both = [dispersal(net.code.encode(v), EPOCH, nodes - 1) for v in (b"a" * 99, b"b" * 99)]
    for k in net.nodes:
        choice = rng.randrange(2)
        net.send(nodes - 1, [k], both[choice][k])
        for liar in faulty:
            net.send(liar, [k], echo_of(both[choice][liar]))
            net.send(liar, [k], Ready(EPOCH, nodes - 1, both[choice][0].root))
    net.network.run()
    assert len(set(net.delivered.values())) <= 1
    assert len(net.delivered) in (0, len(net.nodes))


def test_shard_length_limit():
    """A shard over the limit is refused before it is stored."""
    instance, recorder, _, _, _ = alone(4, me=3)
    vals = dispersal([bytes((1 << 14) + 64)] * 4, EPOCH, 0)
    instance.handle_val(0, vals[3])
    instance.handle_echo(1, echo_of(vals[1]))
    assert recorder.faults == [(0, HoneyBadgerFault.BAD_SHARD_LENGTH), (1, HoneyBadgerFault.BAD_SHARD_LENGTH)]
    assert not instance._roots
    assert not recorder.sent
    at_limit = dispersal([bytes(1 << 14)] * 4, EPOCH, 0)
    instance.handle_val(0, at_limit[3])
    assert isinstance(recorder.sent[0], EchoHash)


def test_a_bad_val_does_not_use_up_the_slot():
    instance, recorder, _, q, code = alone(4, me=3)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    instance.handle_val(0, vals[2])
    instance.handle_val(1, vals[3])
    assert not recorder.sent
    instance.handle_val(0, Val(EPOCH, 0, vals[3].root, vals[3].branch, vals[3].shard))
    assert recorder.sent == [vote_of(vals[3], 3, q)]
    assert recorder.faults == [(0, HoneyBadgerFault.BAD_BRANCH), (1, HoneyBadgerFault.NOT_THE_PROPOSER)]


#: how a VAL or ECHO is spoilt
SPOILERS = {
    "bad branch": lambda m: {"branch": bytes([m.branch[0] ^ 1]) + m.branch[1:]},
    "short branch": lambda m: {"branch": m.branch[:-32]},
    "ragged branch": lambda m: {"branch": m.branch[:-1]},
    "no branch": lambda m: {"branch": b""},
    "long branch": lambda m: {"branch": m.branch + bytes(32)},
    "other shard": lambda m: {"shard": bytes([m.shard[0] ^ 1]) + m.shard[1:]},
    "longer shard": lambda m: {"shard": m.shard + bytes(64)},
    "empty shard": lambda m: {"shard": b""},
    "huge shard": lambda m: {"shard": bytes(1 << 20)},
    "other root": lambda m: {"root": bytes(32)},
}


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("nodes", [4, 6, 8])
def test_spoilt_vals_and_echoes(nodes, kind):
    """Scenario 3: dropped, and the sender is named; what is right still counts."""
    instance, recorder, _, q, code = alone(nodes, me=nodes - 1)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    val, echo = vals[-1], echo_of(vals[1])
    instance.handle_val(0, msgspec.structs.replace(val, **SPOILERS[kind](val)))
    instance.handle_echo(1, msgspec.structs.replace(echo, **SPOILERS[kind](echo)))
    fault = HoneyBadgerFault.BAD_SHARD_LENGTH if kind in ("empty shard", "huge shard") else HoneyBadgerFault.BAD_BRANCH
    assert recorder.faults == [(0, fault), (1, fault)] and not recorder.sent and not instance.begun
    instance.handle_val(0, val)
    for sender in range(q.quorum):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert recorder.sent == [vote_of(val, nodes - 1, q), Ready(EPOCH, 0, val.root)]


@pytest.mark.parametrize("nodes", [4, 7, 10])
@pytest.mark.parametrize("broken", [0, -1])
def test_shards_of_unequal_length(nodes, broken):
    """Scenario 3: a root over leaves of unequal length is no codeword, wherever the odd one is."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1)
    shards = code.encode(VALUE)
    shards[broken] *= 2
    vals = dispersal(shards, EPOCH, 0)
    for sender in range(nodes):
        instance.handle_echo(sender, echo_of(vals[sender]))
    for sender in range(q.weak - 1):
        instance.handle_ready(sender, Ready(EPOCH, 0, vals[0].root))
    assert not values and not recorder.of(Ready)
