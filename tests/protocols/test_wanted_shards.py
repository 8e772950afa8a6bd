"""Votes by hash, and shards that are asked for: one reliable broadcast at a time."""

import random

import pytest
from support.byzantine.harness import ALL_SIZES, faulty_nodes
from support.byzantine.scripted import EPOCH, BroadcastNet, Recorder
from test_reliable_broadcast import VALUE, alone

from honeybadger.adversary.dispersal import dispersal, echo_of, vote_of
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, HoneyBadgerFault, Ready, Val, Vote, Want
from honeybadger.protocols.honey_badger.places import is_holder, place_of
from honeybadger.protocols.honey_badger.shard_answers import ShardAnswers
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.schedulers import fifo


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_every_node_holds_as_many_data_shards(nodes):
    q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    for proposer in range(nodes):
        assert sorted(place_of(j, proposer, nodes) for j in range(nodes)) == list(range(nodes))
        assert is_holder(proposer, proposer, q)
    for node in range(nodes):
        assert sum(is_holder(node, proposer, q) for proposer in range(nodes)) == q.data_shards


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("proposer", [0, 2])
def test_in_the_good_case_only_holders_send_shards_and_nobody_asks(nodes, proposer):
    net = BroadcastNet(nodes, 1, proposer=proposer)
    net.network.schedule_by(fifo)
    sent, transmit = [], net.network.transmit
    net.network.transmit = lambda *what: (sent.append(what), transmit(*what))[1]
    net.nodes[proposer].broadcast(VALUE)
    net.network.run()
    assert net.delivered == dict.fromkeys(range(nodes), VALUE)
    holders = {s for s, _, m in sent if isinstance(m, Echo)}
    assert holders == {j for j in range(nodes) if is_holder(j, proposer, net.quorums)}
    assert len([m for _, _, m in sent if isinstance(m, Echo)]) == net.quorums.data_shards * nodes
    assert not [m for _, _, m in sent if isinstance(m, Want)]


def ready_without_shards(nodes):
    """The last node has 2f+1 READYs and the votes of all others by hash, but for f of the holders."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    for sender in range(q.ready):
        instance.handle_ready(sender, Ready(EPOCH, 0, vals[0].root))
    return instance, recorder, values, q, vals


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_as_many_as_are_missing_are_asked_and_f_more_later(nodes):
    instance, recorder, values, q, vals = ready_without_shards(nodes)
    want, root = Want(EPOCH, 0, vals[0].root), vals[0].root
    for sender in range(q.data_shards - 1):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert not recorder.to, "nobody has voted by hash yet"
    for sender in range(q.data_shards, nodes - 1):
        instance.handle_echo_hash(sender, EchoHash(EPOCH, 0, root))
    assert not recorder.to, "the shards may be on their way"
    hashers = list(range(q.data_shards, nodes - 1))
    for spare in (0, 0, q.faults, q.faults):
        instance.ask(spare)
        asked = [node for node, _ in recorder.to]
        assert recorder.to == [(node, want) for node in asked]
        assert asked == hashers[: 1 + spare]
    if asked:
        assert not values
        instance.handle_echo(asked[-1], echo_of(vals[asked[-1]]))
        assert values == [VALUE]
    assert len(recorder.to) == len(asked), "nobody twice"


@pytest.mark.parametrize("nodes", [7, 8, 10])
def test_those_who_answer_nothing_are_made_up_for(nodes):
    """Each answer leaves as many asked as before in proportion to what is missing; new voters are asked if needed."""
    instance, recorder, values, q, vals = ready_without_shards(nodes)
    root = vals[0].root
    hashers = list(range(q.data_shards, nodes - 1))
    for sender in hashers:
        instance.handle_echo_hash(sender, EchoHash(EPOCH, 0, root))
    instance.ask(q.faults)
    assert [node for node, _ in recorder.to] == hashers, "k + f is more than there are"
    for sender in hashers[: q.data_shards - 1]:
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert not values
    instance.handle_echo_hash(1, EchoHash(EPOCH, 0, root))
    instance.ask(q.faults)
    assert recorder.to[len(hashers) :] == [(1, Want(EPOCH, 0, root))], "a holder that owes its shard is asked, too"
    assert recorder.faults == [(1, HoneyBadgerFault.WITHHELD_SHARD)]
    instance.handle_echo(1, echo_of(vals[1]))
    assert values == [VALUE]


def test_an_echo_and_a_hash_are_one_vote():
    """Scenario 5."""
    instance, recorder, _, _, code = alone(4, me=3)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    for sender in (0, 2):
        instance.handle_echo(sender, echo_of(vals[sender]))
        instance.handle_echo_hash(sender, EchoHash(EPOCH, 0, vals[0].root))
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert not recorder.sent and not recorder.faults
    instance.handle_echo_hash(1, EchoHash(EPOCH, 0, vals[0].root))
    assert recorder.sent == [Ready(EPOCH, 0, vals[0].root)]


def test_wrong_answers_are_refused_and_do_not_stand_in_the_way():
    instance, recorder, values, _, vals = ready_without_shards(4)
    for sender in (1, 2):
        instance.handle_echo_hash(sender, EchoHash(EPOCH, 0, vals[0].root))
    wrong = Echo(EPOCH, 0, vals[0].root, vals[2].branch, bytes(len(vals[2].shard)))
    instance.handle_echo(2, wrong)
    instance.handle_echo(1, echo_of(vals[1]))
    assert not values
    instance.handle_echo(2, echo_of(vals[2]))
    assert values == [VALUE]
    assert recorder.faults == [(1, HoneyBadgerFault.WITHHELD_SHARD), (2, HoneyBadgerFault.BAD_BRANCH)]


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_what_is_no_codeword_is_not_delivered_after_want_either(nodes):
    """READY went out unchecked; the shards that were asked for show the truth, and the proposer is named."""
    instance, recorder, values, q, code = alone(nodes, me=nodes - 1)
    shards = code.encode(VALUE)
    shards[nodes - 2] = bytes(len(shards[0]))
    vals = dispersal(shards, EPOCH, 0)
    root = vals[0].root
    for sender in range(q.quorum):
        instance.handle_echo_hash(sender, EchoHash(EPOCH, 0, root))
    for sender in range(q.ready):
        instance.handle_ready(sender, Ready(EPOCH, 0, root))
    instance.ask(q.faults)
    assert Ready(EPOCH, 0, root) in recorder.sent and recorder.to
    for sender in range(q.data_shards):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert not values and instance.aborted
    assert (0, HoneyBadgerFault.BAD_CODEWORD) in recorder.faults


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("lie", ["silent", "hash", "wrong", "half"])
@pytest.mark.parametrize("seed", range(2))
def test_f_holders_withhold_their_shards(nodes, lie, seed):
    """Scenario 52: they vote and send READY, as it were, but the data shards are missing."""
    q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    faulty = list(range(1, 1 + q.faults))
    net = BroadcastNet(nodes, seed, silent=faulty)
    net.nodes[0].broadcast(VALUE)
    vals = dispersal(net.code.encode(VALUE), EPOCH, 0)
    others = list(net.nodes)
    for k in faulty:
        root = vals[k].root
        bad = Echo(EPOCH, 0, root, vals[k].branch, bytes(len(vals[k].shard)))
        hashed = EchoHash(EPOCH, 0, root)
        if lie != "silent":
            net.send(k, others, Ready(EPOCH, 0, root))
            net.send(k, others[::2], {"hash": hashed, "wrong": bad, "half": echo_of(vals[k])}[lie])
            net.send(k, others[1::2], bad if lie == "wrong" else hashed)
    net.network.run()
    assert net.delivered == dict.fromkeys(net.nodes, VALUE)
    kinds = {"silent": set(), "wrong": {HoneyBadgerFault.BAD_BRANCH}}.get(lie, {HoneyBadgerFault.WITHHELD_SHARD})
    found = {(fault.node, fault.kind) for fault in net.network.faults}
    # The proposer looks at no shard, and a node that has delivered at none either.
    assert found <= {(k, kind) for k in faulty for kind in kinds}


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_totality_where_few_have_shards(nodes, seed):
    """Scenario 6: VALs to exactly k … N-f nodes, liars vote by hash and send READY to some: all deliver, or none."""
    faulty, rng = faulty_nodes(nodes), random.Random(seed)
    q = Quorums(nodes, len(faulty))
    delivered = []
    for count in range(q.data_shards, q.quorum + 1):
        net = BroadcastNet(nodes, seed, silent=faulty, proposer=nodes - 1)
        vals = dispersal(net.code.encode(VALUE), EPOCH, nodes - 1)
        for k in rng.sample(sorted(net.nodes), count):
            net.send(nodes - 1, [k], vals[k])
        for k in faulty:
            friends = rng.choice([list(net.nodes), [0], rng.sample(sorted(net.nodes), 2)])
            net.send(k, friends, EchoHash(EPOCH, nodes - 1, vals[k].root))
            net.send(k, friends, Ready(EPOCH, nodes - 1, vals[0].root))
            net.send(k, friends, Want(EPOCH, nodes - 1, vals[0].root))
        net.network.run()
        assert net.delivered in ({}, dict.fromkeys(net.nodes, VALUE))
        delivered.append(bool(net.delivered))
    assert delivered[-1], "N-f votes of correct nodes are enough"


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("early", [True, False])
def test_a_wrong_parity_shard_that_is_here_shows_that_it_is_no_codeword(nodes, early):
    """All data shards are right; who has not seen the wrong shard must come to the same verdict."""
    for seen in (True, False):
        instance, recorder, values, q, code = alone(nodes, me=nodes - 1)
        shards = code.encode(VALUE)
        shards[nodes - 2] = bytes(len(shards[0]))
        vals = dispersal(shards, EPOCH, 0)
        root = vals[0].root
        if not early:
            for sender in range(q.weak):
                instance.handle_ready(sender, Ready(EPOCH, 0, root))
        if seen:
            instance.handle_echo(nodes - 2, echo_of(vals[nodes - 2]))
        for sender in range(nodes - 2):
            instance.handle_echo(sender, echo_of(vals[sender]))
        for sender in range(q.ready):
            instance.handle_ready(sender, Ready(EPOCH, 0, root))
        assert not values and instance.aborted
        assert recorder.faults == [(0, HoneyBadgerFault.BAD_CODEWORD)]


def test_the_proposer_keeps_no_shards_of_what_it_knows():
    instance, recorder, values, _, code = alone(4)
    instance.broadcast(VALUE)
    vals = dispersal(code.encode(VALUE), EPOCH, 0)
    held = instance.held_bytes
    instance.handle_val(0, vals[0])
    for sender in (1, 2):
        instance.handle_echo(sender, echo_of(vals[sender]))
    assert instance.held_bytes == held == len(VALUE)
    assert len(recorder.of(Ready)) == 1
    for sender in range(3):
        instance.handle_ready(sender, recorder.of(Ready)[0])
    assert values == [VALUE]


# -- answers


class Answers:
    """Node `me` of 4, which has voted in the broadcast of node 0, or will."""

    def __init__(self, me=3):
        self.recorder, self.journal = Recorder(), JournalModel()
        self.q = Quorums(4, 1)
        self.me = me
        instance, _, _, _, code = alone(4, me=me)
        instance._journal = self.journal
        self.vals = dispersal(code.encode(VALUE), EPOCH, 0)
        self.vote = lambda: instance.handle_val(0, self.vals[me])
        self.want = Want(EPOCH, 0, self.vals[0].root)
        self.restart()

    def restart(self):
        self.answers = ShardAnswers(self.me, self.q, self.journal, self.recorder)

    def ask(self, *requesters, want=None):
        """What is sent for it."""
        self.recorder.to.clear()
        for requester in requesters:
            self.answers.handle_want(requester, want or self.want)
        return list(self.recorder.to)


def test_a_want_is_answered_once_to_each_requester():
    """Scenario 53."""
    bench = Answers()
    bench.vote()
    shard = echo_of(bench.vals[3])
    assert bench.ask(1, 1, 2, 1) == [(1, shard), (2, shard)]
    assert bench.ask(1, 2) == []


def test_a_want_before_the_vote_is_void_and_uses_nothing_up():
    """Scenario 53."""
    bench = Answers()
    assert bench.ask(1) == []
    bench.vote()
    assert bench.ask(1, want=Want(EPOCH, 0, bytes(32))) == bench.ask(1, want=Want(EPOCH + 1, 0, bench.want.root)) == []
    assert bench.ask(1, want=Want(EPOCH, 60_000, bench.want.root)) == []
    assert bench.ask(1) == [(1, echo_of(bench.vals[3]))]


def test_a_holder_has_sent_its_shard_to_all_already():
    bench = Answers(me=1)
    bench.vote()
    assert bench.ask(2, 3) == []


def test_the_answer_survives_a_restart():
    """Scenario 54."""
    bench = Answers()
    bench.vote()
    bench.restart()
    assert bench.ask(1) == [(1, echo_of(bench.vals[3]))]


def test_what_is_settled_is_forgotten():
    bench = Answers()
    bench.vote()
    bench.ask(1)
    bench.answers.forget(EPOCH - 1)
    assert bench.answers._answered
    bench.answers.forget(EPOCH)
    bench.journal.prune(EPOCH)
    assert bench.ask(1) == [] and not bench.answers._answered


def test_the_shard_is_written_down_before_the_hash_is_sent():
    bench = Answers()
    bench.vote()
    assert {vote for vote, *_ in bench.journal.votes(EPOCH)} == {Vote.ECHO, Vote.SHARD}
    assert isinstance(vote_of(bench.vals[3], 3, bench.q), EchoHash) and isinstance(bench.vals[3], Val)
