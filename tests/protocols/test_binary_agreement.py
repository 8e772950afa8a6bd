"""Binary agreement, one instance at a time and in small nets."""

import pytest
from support.byzantine.harness import ALL_SIZES
from support.byzantine.scripted import EPOCH, PROPOSER, AgreementNet, IdealCoins, Recorder, deliver

from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import COIN_WINDOW
from honeybadger.protocols.honey_badger.messages import Aux, BVal, CoinShare, Conf, HoneyBadgerFault, Term
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.simulation.schedulers import Late, Starve, Together, fifo, lifo, shuffled


def alone(nodes=4, schedule="every-round"):
    q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    recorder, decided, coins = Recorder(), [], IdealCoins(1, q)
    make = coins.maker(0)
    return Mmr14Conf(EPOCH, PROPOSER, q, schedule, make, recorder, decided.append), recorder, decided, coins


def bval(value, number=0):
    return BVal(EPOCH, PROPOSER, number, bool(value))


def aux(value, number=0):
    return Aux(EPOCH, PROPOSER, number, bool(value))


def conf(values, number=0):
    return Conf(EPOCH, PROPOSER, number, values)


def term(value):
    return Term(EPOCH, PROPOSER, bool(value))


def give(agreement, senders, message):
    for sender in senders:
        deliver(agreement, sender, message)


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_exact_thresholds(nodes):
    """Scenario 37: relay at f+1, bin_values at 2f+1, AUX and CONF at N-f."""
    agreement, recorder, _, _ = alone(nodes)
    q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    agreement.propose(0)
    give(agreement, range(q.weak - 1), bval(1))
    assert recorder.sent == [bval(0)]
    give(agreement, [q.weak - 1], bval(1))
    assert recorder.sent == [bval(0), bval(1)]
    give(agreement, range(q.weak, q.ready - 1), bval(1))
    assert not recorder.of(Aux)
    give(agreement, [q.ready - 1], bval(1))
    assert recorder.of(Aux) == [aux(1)]
    give(agreement, range(q.quorum - 1), aux(1))
    assert not recorder.of(Conf)
    give(agreement, [q.quorum - 1], aux(1))
    assert recorder.of(Conf) == [conf(2)]
    give(agreement, range(q.quorum - 1), conf(2))
    assert not recorder.of(CoinShare)
    give(agreement, [q.quorum - 1], conf(2))
    assert len(recorder.of(CoinShare)) == 1


def with_both_values():
    """N = 4, both values in bin_values, AUX(0) sent."""
    agreement, recorder, decided, coins = alone()
    agreement.propose(0)
    for value in (0, 1):
        give(agreement, [0, 1, 2], bval(value))
    assert recorder.of(Aux) == [aux(0)]
    return agreement, recorder, decided, coins


def test_one_aux_slot_per_sender():
    """Scenario 10: AUX(0) and AUX(1) of one node count once, duplicates too."""
    agreement, recorder, _, _ = with_both_values()
    for value in (0, 1, 0):
        give(agreement, [0, 3], aux(value))
    assert not recorder.of(Conf)
    assert set(recorder.faults) == {(0, FaultKind.EQUIVOCATION), (3, FaultKind.EQUIVOCATION)}
    give(agreement, [1], aux(0))
    assert recorder.of(Conf) == [conf(1)], "the first AUX of each counts"


def test_conf_carries_the_aux_set_not_bin_values():
    """Scenario 43: bin_values has both values, the accepted AUX messages one."""
    agreement, recorder, _, _ = with_both_values()
    give(agreement, [0, 1, 2], aux(1))
    assert recorder.of(Conf) == [conf(2)]


def test_one_conf_slot_per_sender():
    """Scenario 13: CONF({0,1}), CONF({0}), CONF({1}) of one node use one slot; no early coin."""
    agreement, recorder, _, _ = with_both_values()
    give(agreement, [0, 1, 2], aux(1))
    for values in (3, 1, 2, 3):
        give(agreement, [3], conf(values))
    give(agreement, [0, 0], conf(2))
    assert not recorder.of(CoinShare)
    assert recorder.faults == [(3, FaultKind.EQUIVOCATION)] * 2
    give(agreement, [1], conf(2))
    assert len(recorder.of(CoinShare)) == 1
    assert agreement._rounds[0].candidate == 3, "the union of the accepted sets"


def test_votes_outside_bin_values_wait():
    """AUX and CONF of a value that is not in bin_values count only once it is."""
    agreement, recorder, _, _ = alone()
    agreement.propose(1)
    give(agreement, [0, 1, 2], bval(1))
    give(agreement, [0, 1], aux(1))
    give(agreement, [2, 3], aux(0))
    assert not recorder.of(Conf)
    give(agreement, [0, 1, 2], bval(0))
    assert recorder.of(Conf) == [conf(3)]
    agreement, recorder, _, _ = alone()
    agreement.propose(1)
    give(agreement, [0, 1, 2], bval(1))
    give(agreement, [0, 1, 2], aux(1))
    give(agreement, [0, 1], conf(2))
    give(agreement, [2, 3], conf(3))
    assert not recorder.of(CoinShare)
    give(agreement, [0, 1, 2], bval(0))
    assert len(recorder.of(CoinShare)) == 1


def test_no_vote_without_input():
    """Relays BVALs, but sends no AUX before it has an input."""
    agreement, recorder, _, _ = alone()
    give(agreement, [1, 2, 3], bval(1))
    give(agreement, [1, 2, 3], aux(1))
    assert recorder.sent == [bval(1)]
    agreement.propose(0)
    assert recorder.sent == [bval(1), bval(0), aux(1), conf(2)]


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("value", [0, 1])
def test_terms_decide_at_weak_and_erase_at_ready(nodes, value):
    """Scenario 14: f TERMs decide nothing, f+1 do, even before any input; 2f+1 erase."""
    agreement, recorder, decided, _ = alone(nodes)
    q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    give(agreement, range(q.faults), term(value))
    give(agreement, range(q.faults), term(value))
    assert not decided
    assert not recorder.sent
    give(agreement, [q.faults], term(value))
    assert decided == [value]
    assert recorder.of(Term) == [term(value)]
    assert not agreement.erasable
    give(agreement, range(q.weak, q.ready - 1), term(value))
    assert not agreement.erasable
    give(agreement, [q.ready - 1], term(value))
    assert agreement.erasable
    assert decided == [value]
    agreement.propose(1 - value)
    assert recorder.sent == [term(value)]


def test_contradictory_terms():
    """Scenario 14: TERM(0) and TERM(1) of one node; the first counts."""
    agreement, recorder, decided, _ = alone(7)
    give(agreement, [5, 6], term(0))
    give(agreement, [5, 6], term(1))
    give(agreement, [4], term(1))
    assert not decided
    assert recorder.faults == [(5, FaultKind.EQUIVOCATION), (6, FaultKind.EQUIVOCATION)]
    give(agreement, [3], term(0))
    assert decided == [0]


def test_term_stands_for_the_senders_votes_at_once_and_replaces_them():
    """TERM(1) of node 3 is its BVAL, AUX and CONF in this round and the next; its AUX(0) is void."""
    agreement, recorder, decided, coins = alone()
    agreement.propose(1)
    give(agreement, [3], aux(0))
    give(agreement, [3], term(1))
    give(agreement, [0], bval(1))
    give(agreement, [1], bval(1))
    assert recorder.of(Aux) == [aux(1)], "2f+1 BVALs: 0, 1 and the TERM"
    give(agreement, [0, 1], aux(1))
    assert recorder.of(Conf) == [conf(2)], "N-f AUX: 0, 1 and the TERM; not also node 3's AUX(0)"
    give(agreement, [0, 1], conf(2))
    assert len(recorder.of(CoinShare)) == 1
    give(agreement, [1], CoinShare(EPOCH, PROPOSER, 0, bytes(48)))
    if coins.value(0) == 1:
        assert decided == [1]
    else:
        give(agreement, [0, 1], bval(1, 1))
        assert recorder.of(Aux)[-1] == aux(1, 1)


@pytest.mark.parametrize("other", [False, True])
def test_a_term_does_not_add_a_second_vote(other):
    """A sender with AUX and TERM is one sender."""
    agreement, recorder, _, _ = with_both_values()
    give(agreement, [3], aux(int(other)))
    give(agreement, [3], term(1))
    give(agreement, [0], aux(1))
    assert not recorder.of(Conf)
    give(agreement, [1], aux(1))
    assert recorder.of(Conf) == [conf(2)]


def test_a_term_replaces_the_senders_conf():
    """CONF({0, 1}) of a node that has decided 1 counts as CONF({1})."""
    agreement, recorder, _, _ = with_both_values()
    give(agreement, [0, 1, 2], aux(1))
    give(agreement, [3], conf(3))
    give(agreement, [3], term(1))
    give(agreement, [0, 1], conf(2))
    assert len(recorder.of(CoinShare)) == 1
    assert agreement._rounds[0].candidate == 2


def test_relay_goes_on_after_the_decision_and_in_old_rounds():
    """Scenario 40: BVALs of f+1 nodes are relayed whatever this node has decided; AUX and shares are not answered."""
    agreement, recorder, _, _ = alone()
    give(agreement, [1, 2], term(1))
    recorder.sent.clear()
    give(agreement, [1, 2, 3], bval(0))
    give(agreement, [1, 2, 3], bval(0, 4))
    give(agreement, [1, 2, 3], aux(0))
    give(agreement, [1, 2, 3], conf(1))
    give(agreement, [1, 2, 3], CoinShare(EPOCH, PROPOSER, 0, bytes(48)))
    assert recorder.sent == [bval(0), bval(0, 4)]
    assert not recorder.faults


def test_round_window():
    """Scenario 16: the last round of the window is accepted, the next one is a fault; nothing is stored for it."""
    agreement, recorder, _, _ = alone()
    assert agreement.window == COIN_WINDOW
    messages = (bval(1, COIN_WINDOW), aux(1, COIN_WINDOW), conf(3, COIN_WINDOW))
    for message in (*messages, CoinShare(EPOCH, PROPOSER, COIN_WINDOW, bytes(48))):
        give(agreement, [3], message)
    assert not recorder.faults
    before = len(agreement._ahead._votes)
    for number in (COIN_WINDOW + 1, 10**6, 2**31):
        for message in (bval(1, number), aux(1, number), conf(3, number)):
            give(agreement, [3], message)
        give(agreement, [3], CoinShare(EPOCH, PROPOSER, number, bytes(48)))
    assert recorder.faults == [(3, HoneyBadgerFault.FUTURE_ROUND)] * 12
    assert set(agreement._rounds) == {0}
    assert (len(agreement._ahead._votes), set(agreement._ahead._shares)) == (before, {COIN_WINDOW})


def test_votes_ahead_count_when_the_round_is_reached():
    """What came early is worth the same: BVALs of both values, the first AUX and CONF of a sender, the shares."""
    agreement, recorder, _, coins = alone()
    coins._values = {0: 0, 1: 1}
    for sender, first in ((1, 2), (2, 2), (3, 3)):
        give(agreement, [sender], conf(first, 1))
        give(agreement, [sender], CoinShare(EPOCH, PROPOSER, 1, bytes(48)))
    give(agreement, [1, 2], aux(1, 1))
    give(agreement, [3], aux(0, 1))
    give(agreement, [3], bval(0, 1))
    assert set(agreement._rounds) == {0}, "nobody but a faulty node is known to be there"
    assert not recorder.sent
    for contradiction in (aux(0, 1), conf(1, 1)):
        give(agreement, [1], contradiction)
    assert recorder.faults == [(1, FaultKind.EQUIVOCATION)] * 2
    give(agreement, [1, 2], bval(0, 1))
    assert recorder.sent == [bval(0, 1)], "f+1 nodes are there: relayed, though this node is in round 0"
    give(agreement, [1, 2, 3], bval(1, 1))
    agreement.propose(1)
    for message in (bval(1), aux(1), conf(2), CoinShare(EPOCH, PROPOSER, 0, bytes(48))):
        give(agreement, [0, 1, 2], message)
    votes = agreement._rounds[1]
    assert (votes.bval, votes.aux, votes.conf) == ([14, 14], [0, 8, 6, 0], [0, 0, 6, 8])
    assert agreement.round == 2, "nothing else is needed to finish round 1"
    assert votes.candidate == 3 and recorder.sent[-1] == bval(1, 2)


def test_coin_shares_belong_to_coin_rounds():
    agreement, recorder, _, _ = alone(schedule="fixed-fixed-coin")
    for number in range(6):
        give(agreement, [3], CoinShare(EPOCH, PROPOSER, number, bytes(48)))
    assert recorder.faults == [(3, HoneyBadgerFault.UNEXPECTED_COIN_SHARE)] * 4
    assert set(agreement._ahead._shares) == {2, 5}


@pytest.mark.parametrize("coin", [0, 1])
def test_a_mixed_candidate_adopts_the_coin(coin):
    """{0, 1}: the next estimate is the coin, whatever it is, and nothing is decided."""
    agreement, recorder, decided, coins = with_both_values()
    coins._values[0] = coin
    give(agreement, [0], aux(0))
    give(agreement, [1, 2], aux(1))
    give(agreement, [0, 1, 2], conf(3))
    give(agreement, [1], CoinShare(EPOCH, PROPOSER, 0, bytes(48)))
    assert not decided
    assert recorder.sent[-1] == bval(coin, 1)


@pytest.mark.parametrize("bit", [0, 1])
def test_unanimity_needs_no_coin(bit):
    """Fixed rounds: a unanimous 1 ends in round 0, a unanimous 0 in round 1."""
    net = AgreementNet(4, 3, schedule="fixed-fixed-coin")
    net.propose([bit] * 3)
    net.settle()
    assert net.decided == dict.fromkeys(range(3), bit)
    assert {node.round for node in net.nodes.values()} == {1 - bit}
    assert not net.coins.released


SCHEDULERS = {
    "fifo": fifo,
    "lifo": lifo,
    "shuffled": shuffled,
    "delayed": Late(),
    "starve": Together(shuffled, Starve([0])),
}


@pytest.mark.parametrize("nodes", ALL_SIZES)
@pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_mixed_inputs(nodes, schedule, scheduler):
    """Scenarios 15, 34, 37: f silent nodes, any inputs, any order: all decide the same."""
    for seed in range(4):
        net = AgreementNet(nodes, seed, schedule=schedule, scheduler=SCHEDULERS[scheduler])
        net.propose([(seed >> me % 3) & 1 for me in net.correct])
        net.settle()
        assert net.agreed
        assert not net.network.faults
        if seed == 0:
            assert set(net.decided.values()) == {0}, "validity"
        assert all(node.erasable for node in net.nodes.values()) or len(net.correct) < net.quorums.ready


@pytest.mark.parametrize("nodes", [4, 5, 7, 10])
@pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])
@pytest.mark.parametrize("seed", range(4))
def test_early_deciders(nodes, schedule, seed):
    """Scenario 15: f correct nodes hear everything at once and decide early, the rest hears late, f are silent."""
    early = range(BYZANTINE.largest_faults(nodes))

    def scheduler(step, sender, recipient, message, rng):
        return shuffled(step, sender, recipient, message, rng) + (0 if recipient in early else 2_000)

    net = AgreementNet(nodes, seed, schedule=schedule, scheduler=scheduler)
    net.propose([me % 2 for me in net.correct])
    net.settle()
    assert net.agreed


def test_terms_cause_no_relay_in_rounds_ahead():
    """A TERM names no round, so with f BVALs it is no sign that anybody is in a round ahead; f+1 BVALs are."""
    agreement, recorder, decided, _ = alone(7)
    agreement.propose(1)
    give(agreement, [1], term(1))
    give(agreement, [5, 6], bval(1, 7))
    assert recorder.sent == [bval(1)]
    give(agreement, [2], bval(1, 7))
    assert recorder.sent == [bval(1), bval(1, 7)]
    assert not decided


def test_a_correct_node_relays_nothing_beyond_a_slow_nodes_window():
    """Node 0 has decided in round 1, node 1 is there, node 2 has heard nothing yet; node 3 is far ahead alone."""
    net = AgreementNet(4, schedule="fixed-fixed-coin")
    net.propose([0, 0, 0])
    for number, deciding in ((0, [0, 1]), (1, [0])):
        net.inject([3], [0, 1], bval(0, number))
        net.let(BVal, [0, 1], [0, 1], round=number)
        net.inject([3], deciding, aux(0, number))
        net.let(Aux, [0, 1], deciding, round=number)
    assert net.decided == {0: 0}
    assert [net.nodes[k].round for k in range(3)] == [1, 1, 0]
    far = 1 + net.nodes[1].window
    net.let(Term, [0], [1])
    net.inject([3], [1], bval(0, far))
    net.let(BVal, [1], [2], round=far)
    net.settle()
    assert net.agreed
    assert not net.network.faults
