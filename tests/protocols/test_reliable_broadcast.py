"""Each reliable broadcast, one instance at a time: scenarios 1 to 7."""

import random

import msgspec
import pytest
from support.byzantine.harness import ALL_SIZES, faulty_nodes
from support.byzantine.scripted import EPOCH, BroadcastNet, Recorder, code_of, vals_of

from honeybadger.adversary.base import flipped
from honeybadger.adversary.dispersal import dispersal, echo_of, vote_of
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.broadcast_avid import Avid
from honeybadger.protocols.honey_badger.broadcast_bracha import Bracha
from honeybadger.protocols.honey_badger.broadcast_hash_echo import HashEcho
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, HoneyBadgerFault, Ready, Val, Vote
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.schedulers import fifo

VALUE = b"a value of some length" * 5
kinds = pytest.mark.parametrize("kind", BROADCASTS.values(), ids=BROADCASTS)
coded = pytest.mark.parametrize("kind", [k for k in BROADCASTS.values() if k is not Bracha], ids=lambda k: k.__name__)


def vote(kind, val, node, q):
    """What honest `node` answers its VAL with."""
    return vote_of(val, node, q) if kind is HashEcho else echo_of(val)


def alone(nodes, me=0, proposer=0, kind=HashEcho, journal=None):
    """One instance with a recorder for an outbox."""
    q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    recorder, values = Recorder(), []
    code = code_of(kind, q)
    instance = kind(me, EPOCH, proposer, q, code, 1 << 14, recorder, values.append, lambda lacking: None, journal)
    return instance, recorder, values, q, code


@kinds
@pytest.mark.parametrize("nodes", [1, 2, 3, *ALL_SIZES])
@pytest.mark.parametrize("value", [b"", VALUE])
def test_honest_proposer(kind, nodes, value):
    net = BroadcastNet(nodes, 1, kind=kind)
    net.nodes[0].broadcast(value)
    net.network.run()
    assert net.delivered == dict.fromkeys(range(nodes), value)
    assert not net.network.faults


@kinds
@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_exact_thresholds(kind, nodes):
    """READY at the (N-f)-th ECHO or the (f+1)-st READY, delivery at the (2f+1)-st READY."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1, kind=kind)
    vals = vals_of(code, VALUE)
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


@kinds
@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_amplification_and_late_echoes(kind, nodes):
    """Scenario 7: f+1 READYs make a READY; 2f+1 READYs wait for N-2f ECHOs, or f+1 with the whole value."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1, kind=kind)
    vals = vals_of(code, VALUE)
    ready = Ready(EPOCH, 0, vals[0].root)
    for sender in range(q.ready):
        assert len(recorder.sent) == (sender >= q.weak)
        instance.handle_ready(sender, ready)
    for sender in range(q.weak if kind is Bracha else q.data_shards):
        assert not values
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert values == [VALUE]
    assert recorder.sent == [ready]


@kinds
@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_all_echoes_and_too_few_readies(kind, nodes):
    """READYs of 2f are not enough, however many ECHOs follow."""
    instance, _, values, q, code = alone(nodes, me=nodes - 1, kind=kind)
    vals = vals_of(code, VALUE)
    for sender in range(q.ready - 1):
        instance.handle_ready(sender, Ready(EPOCH, 0, vals[0].root))
    for sender in range(nodes):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert not values
    instance.handle_ready(nodes - 1, Ready(EPOCH, 0, vals[0].root))
    assert values == [VALUE]


@kinds
@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_without_val_still_delivers(kind, nodes):
    """Scenario 7: one correct node never gets its VAL, f nodes are silent."""
    silent = faulty_nodes(nodes)[1:]
    net = BroadcastNet(nodes, 2, silent=silent, kind=kind)
    net.nodes[0].broadcast(VALUE)
    net.network.lose(lambda sender, recipient, message: recipient == 1)
    net.network.run()
    assert net.delivered == dict.fromkeys(net.nodes, VALUE)


@coded
def test_echo_counts_at_the_senders_index_only(kind):
    """Scenario 4: three copies of one valid shard are one shard at most."""
    instance, recorder, _, _, code = alone(4, me=3, kind=kind)
    vals = vals_of(code, VALUE)
    for sender in range(3):
        instance.handle_echo(sender, echo_of(vals[0]))
    assert not recorder.sent
    assert recorder.faults == [(1, HoneyBadgerFault.BAD_BRANCH), (2, HoneyBadgerFault.BAD_BRANCH)]


@kinds
def test_one_echo_and_one_ready_per_sender(kind):
    """Scenario 5: repeating oneself does not count twice; contradicting oneself is a fault."""
    instance, recorder, values, _, code = alone(4, me=3, kind=kind)
    vals, others = (vals_of(code, v) for v in (VALUE, b"other"))
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


@kinds
def test_one_echo_and_one_ready_of_ones_own(kind):
    """However many roots gain f+1 READYs, and ECHOs on top, this node speaks once."""
    instance, recorder, _, _, code = alone(7, me=6, kind=kind)
    for value, senders in ((VALUE, (0, 1, 2)), (b"other", (3, 4, 5))):
        vals = vals_of(code, value)
        instance.handle_val(0, vals[6])
        for sender in senders:
            instance.handle_ready(sender, Ready(EPOCH, 0, vals[0].root))
    for sender in range(6):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert len(recorder.of(Echo) + recorder.of(EchoHash)) == 1
    assert len(recorder.of(Ready)) == 1
    assert recorder.faults == [(0, FaultKind.EQUIVOCATION)]


@kinds
def test_only_the_proposer_broadcasts_and_only_once(kind):
    instance, *_ = alone(4, me=1, kind=kind)
    with pytest.raises(RuntimeError):
        instance.broadcast(VALUE)
    instance, *_ = alone(4, kind=kind)
    instance.broadcast(VALUE)
    with pytest.raises(RuntimeError):
        instance.broadcast(VALUE)


@coded
@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_no_codeword_is_delivered(kind, nodes, seed):
    """Scenario 1: f faulty nodes help with ECHO and READY; each correct node restores from other shards."""
    faulty = faulty_nodes(nodes)
    net = BroadcastNet(nodes, seed, silent=faulty, proposer=nodes - 1, kind=kind)
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


@kinds
@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_totality_with_partial_dispersal(kind, nodes, seed):
    """Scenario 6: VALs to k correct nodes, the faulty ones favour one victim; all deliver, or none."""
    faulty = faulty_nodes(nodes)
    rng = random.Random(seed)
    q = Quorums(nodes, len(faulty))
    for count in (q.data_shards - 1, q.data_shards, nodes - len(faulty)):
        net = BroadcastNet(nodes, seed, silent=faulty, proposer=nodes - 1, kind=kind)
        vals = vals_of(net.code, VALUE, nodes - 1)
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


@kinds
@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_two_roots(kind, nodes, seed):
    """Scenario 2: random halves; the faulty nodes vouch for both roots."""
    faulty = faulty_nodes(nodes)
    rng = random.Random(seed)
    net = BroadcastNet(nodes, seed, silent=faulty, proposer=nodes - 1, kind=kind)
    both = [vals_of(net.code, v, nodes - 1) for v in (b"a" * 99, b"b" * 99)]
    for k in net.nodes:
        choice = rng.randrange(2)
        net.send(nodes - 1, [k], both[choice][k])
        for liar in faulty:
            net.send(liar, [k], echo_of(both[choice][liar]))
            net.send(liar, [k], Ready(EPOCH, nodes - 1, both[choice][0].root))
    net.network.run()
    assert len(set(net.delivered.values())) <= 1
    assert len(net.delivered) in (0, len(net.nodes))


@kinds
def test_shard_length_limit(kind):
    """A shard over the limit is refused before it is stored."""
    instance, recorder, _, q, _ = alone(4, me=3, kind=kind)
    vals = dispersal([bytes((1 << 14) + 64)] * 4, EPOCH, 0, kind is not Bracha)
    instance.handle_val(0, vals[3])
    instance.handle_echo(1, echo_of(vals[1]))
    assert recorder.faults == [(0, HoneyBadgerFault.BAD_SHARD_LENGTH), (1, HoneyBadgerFault.BAD_SHARD_LENGTH)]
    assert not instance.held_bytes
    assert not recorder.sent
    at_limit = dispersal([bytes(1 << 14)] * 4, EPOCH, 0, kind is not Bracha)
    instance.handle_val(0, at_limit[3])
    assert recorder.sent == [vote(kind, at_limit[3], 3, q)]


@kinds
def test_a_bad_val_does_not_use_up_the_slot(kind):
    instance, recorder, _, q, code = alone(4, me=3, kind=kind)
    vals = vals_of(code, VALUE)
    instance.handle_val(0, msgspec.structs.replace(vals[3], shard=flipped(vals[3].shard)))
    instance.handle_val(1, vals[3])
    assert not recorder.sent
    instance.handle_val(0, Val(EPOCH, 0, vals[3].root, vals[3].branch, vals[3].shard))
    assert recorder.sent == [vote(kind, vals[3], 3, q)]
    assert recorder.faults == [(0, HoneyBadgerFault.BAD_BRANCH), (1, HoneyBadgerFault.NOT_THE_PROPOSER)]


#: how a VAL or ECHO is spoilt
SPOILERS = {
    "bad branch": lambda m: {"branch": flipped(m.branch)},
    "short branch": lambda m: {"branch": m.branch[:-32]},
    "ragged branch": lambda m: {"branch": m.branch[:-1]},
    "no branch": lambda m: {"branch": b""},
    "long branch": lambda m: {"branch": m.branch + bytes(32)},
    "other shard": lambda m: {"shard": flipped(m.shard)},
    "longer shard": lambda m: {"shard": m.shard + bytes(64)},
    "empty shard": lambda m: {"shard": b""},
    "huge shard": lambda m: {"shard": bytes(1 << 20)},
    "other root": lambda m: {"root": bytes(32)},
}
#: a value that is not coded has no branch that could be too short, and may be empty
OF_SHARDS = {"short branch", "ragged branch", "no branch"}


@kinds
@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_spoilt_vals_and_echoes(kind, nodes, spoiler):
    """Scenario 3: dropped, and the sender is named; what is right still counts."""
    if kind is Bracha and spoiler in OF_SHARDS:
        return
    instance, recorder, _, q, code = alone(nodes, me=nodes - 1, kind=kind)
    vals = vals_of(code, VALUE)
    val, echo = vals[-1], echo_of(vals[1])
    instance.handle_val(0, msgspec.structs.replace(val, **SPOILERS[spoiler](val)))
    instance.handle_echo(1, msgspec.structs.replace(echo, **SPOILERS[spoiler](echo)))
    lengths = {"huge shard"} if kind is Bracha else {"empty shard", "huge shard"}
    fault = HoneyBadgerFault.BAD_SHARD_LENGTH if spoiler in lengths else HoneyBadgerFault.BAD_BRANCH
    assert recorder.faults == [(0, fault), (1, fault)] and not recorder.sent and not instance.begun
    instance.handle_val(0, val)
    for sender in range(q.quorum):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert recorder.sent == [vote(kind, val, nodes - 1, q), Ready(EPOCH, 0, val.root)]


@kinds
@pytest.mark.parametrize("written", range(4))
def test_after_a_crash_at_any_point_nothing_is_said_differently(kind, written):
    """Of vote, shard and READY the journal has so many. Then the liars show this node another value."""

    def live(journal, value):
        instance, recorder, _, q, code = alone(4, me=3, kind=kind, journal=journal)
        for number, _, _, recalled in journal.votes(EPOCH):
            instance.resume(Vote(number), recalled)
        vals = vals_of(code, value)
        instance.handle_val(0, vals[3])
        for sender in range(3):
            instance.handle_echo(sender, echo_of(vals[sender]))
        return recorder.sent, vote(kind, vals[3], 3, q), Ready(EPOCH, 0, vals[0].root)

    whole, torn = JournalModel(), JournalModel()
    sent, echo, ready = live(whole, VALUE)
    assert sent == [echo, ready]
    for (number, proposer, zero), recalled in list(whole._slots[EPOCH].items())[:written]:
        torn.remember(EPOCH, number, proposer, zero, recalled)
    sent, other_echo, other_ready = live(torn, b"another value")
    assert sent == [[other_echo, other_ready], [other_ready], [echo, other_ready], [ready, echo]][written]


@kinds
def test_a_restarted_proposer_whose_vote_was_lost(kind):
    """Nodes 0 (proposer), 1 and the liar, 3, vote. Node 0 sends READY, restarts, and its vote has reached nobody.

    The liar's shard makes nodes 0 and 2 deliver, so node 2 never votes, and node 1 gets no shard from the liar.
    """
    journal = JournalModel()
    proposer, recorder, _, _, code = alone(4, kind=kind, journal=journal)
    vals = vals_of(code, VALUE)
    proposer.broadcast(VALUE)
    proposer.handle_val(0, vals[0])
    for sender in (1, 3):
        proposer.handle_echo(sender, echo_of(vals[sender]))
    (ready,) = recorder.of(Ready)

    proposer, recorder, of_proposer, *_ = alone(4, kind=kind, journal=journal)
    for number, _, _, recalled in journal.votes(EPOCH):
        proposer.resume(Vote(number), recalled)
    proposer.broadcast(VALUE)
    for node in (1, 3):
        proposer.handle_echo(node, echo_of(vals[node]))
    for node in (1, 2, 3):
        proposer.handle_ready(node, ready)
    proposer.handle_val(0, vals[0])
    assert of_proposer == [VALUE]

    instance, _, values, *_ = alone(4, me=1, kind=kind)
    instance.handle_val(0, vals[1])
    for echo in recorder.of(Echo):
        instance.handle_echo(0, echo)
    for node in (0, 2, 3):
        instance.handle_ready(node, ready)
    assert values == [VALUE]


@pytest.mark.parametrize("kind", [k for k in BROADCASTS.values() if not k.has_want], ids=lambda k: k.__name__)
def test_a_vote_by_hash_is_foreign(kind):
    instance, recorder, _, _, code = alone(4, me=3, kind=kind)
    vals = vals_of(code, VALUE)
    for sender in range(4):
        instance.handle_echo_hash(sender, EchoHash(EPOCH, 0, vals[0].root))
    assert recorder.faults == [(sender, HoneyBadgerFault.FOREIGN_VOTE) for sender in range(4)]
    assert not recorder.sent and not instance.begun


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_avid_sends_every_shard_to_everybody_and_asks_nobody(nodes):
    net = BroadcastNet(nodes, 1, kind=Avid)
    net.network.schedule_by(fifo)
    sent, transmit = [], net.network.transmit
    net.network.transmit = lambda *what: (sent.append(what), transmit(*what))[1]
    net.nodes[0].broadcast(VALUE)
    net.network.run()
    assert net.delivered == dict.fromkeys(range(nodes), VALUE)
    assert len([m for _, _, m in sent if isinstance(m, Echo)]) == nodes * nodes
    assert {type(m) for _, _, m in sent} == {Val, Echo, Ready}


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_avid_says_no_ready_for_what_is_no_codeword(nodes):
    """With N-f votes there are shards enough for the check."""
    instance, recorder, _, q, code = alone(nodes, me=nodes - 1, kind=Avid)
    shards = code.encode(VALUE)
    shards[0] = flipped(shards[0])
    vals = dispersal(shards, EPOCH, 0)
    for sender in range(q.quorum):
        assert not instance.aborted
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert instance.aborted and not recorder.sent and not instance.held_bytes
    assert recorder.faults == [(0, HoneyBadgerFault.BAD_CODEWORD)]


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_bracha_keeps_what_was_sent_by_enough_and_no_more(nodes):
    """Each sender has a value of its own, of the greatest length: only that of the VAL is kept."""
    instance, _, _, q, code = alone(nodes, me=nodes - 1, kind=Bracha)
    longest = 1 << 14
    of = {sender: vals_of(code, bytes([sender]) * longest)[0] for sender in range(nodes)}
    instance.handle_val(0, of[0])
    for sender in range(1, nodes - 1):
        instance.handle_echo(sender, echo_of(of[sender]))
    assert instance.held_bytes == longest
    instance, *_ = alone(nodes, me=nodes - 1, kind=Bracha)
    # In groups of f+1, as many as there can be.
    for sender in range(nodes):
        instance.handle_echo(sender, echo_of(of[sender // q.weak]))
    assert instance.held_bytes == nodes // q.weak * longest <= instance.most_held == (1 + nodes // q.weak) * longest


def test_one_liar_makes_bracha_keep_three_values_and_no_more():
    """The lying proposer tells node 6 one, nodes 1 to 3 another, 4 and 5 a third, and votes for that."""
    instance, recorder, values, _, code = alone(7, me=6, kind=Bracha)
    longest = 1 << 14
    of = [vals_of(code, bytes([number]) * longest)[0] for number in range(3)]
    instance.handle_val(0, of[0])
    for sender, number in ((1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (0, 2)):
        instance.handle_echo(sender, echo_of(of[number]))
    assert instance.held_bytes == 3 * longest == instance.most_held
    assert not values and not recorder.of(Ready) and not recorder.faults


def test_bracha_counts_a_value_whoever_sends_it_once_for_each():
    """There is no shard of one's own, and to repeat another node's value is to vote for it."""
    instance, recorder, _, _, code = alone(4, me=3, kind=Bracha)
    echo = echo_of(vals_of(code, VALUE)[0])
    for sender in (0, 0, 1, 1):
        instance.handle_echo(sender, echo)
    assert not recorder.sent
    instance.handle_echo(2, echo)
    assert recorder.sent == [Ready(EPOCH, 0, echo.root)] and not recorder.faults


@coded
@pytest.mark.parametrize("nodes", [4, 7, 10])
@pytest.mark.parametrize("broken", [0, -1])
def test_shards_of_unequal_length(kind, nodes, broken):
    """Scenario 3: a root over leaves of unequal length is no codeword, wherever the odd one is."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1, kind=kind)
    shards = code.encode(VALUE)
    shards[broken] *= 2
    vals = dispersal(shards, EPOCH, 0)
    for sender in range(nodes):
        instance.handle_echo(sender, echo_of(vals[sender]))
    for sender in range(q.weak - 1):
        instance.handle_ready(sender, Ready(EPOCH, 0, vals[0].root))
    assert not values and not recorder.of(Ready)
