"""The agreements besides the default, one instance at a time and in small nets: what differs from the default."""

from functools import partial

import pytest
from support.byzantine import weakened
from support.byzantine.harness import ALL_SIZES
from support.byzantine.scripted import EPOCH, PROPOSER, AgreementNet, IdealCoins, Recorder, deliver

from honeybadger.protocols.context import NoJournal
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.agreement_crain20 import Crain20
from honeybadger.protocols.honey_badger.agreement_mmr14 import Mmr14
from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import COIN_WINDOW
from honeybadger.protocols.honey_badger.messages import (
    Aux,
    Aux2,
    BVal,
    BVal2,
    CoinShare,
    Conf,
    HoneyBadgerFault,
    Term,
    Vote,
)
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.schedulers import Late, Starve, Together, fifo, lifo, shuffled


class Alone:
    """One agreement, and what it did. `give(senders, message)` lets them say it, in round `number`."""

    def __init__(self, kind, nodes=4, journal=None, schedule="every-round"):
        self.quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        self.recorder, self.decided, self.coins = Recorder(), [], IdealCoins(1, self.quorums)
        self.agreement = kind(
            EPOCH,
            PROPOSER,
            self.quorums,
            schedule,
            self.coins.maker(0),
            self.recorder,
            self.decided.append,
            journal=journal or NoJournal(),
        )

    def give(self, senders, kind, value, number=0):
        value = bool(value) if kind in (BVal, Aux) else value
        for sender in senders:
            deliver(self.agreement, sender, kind(EPOCH, PROPOSER, number, value))

    def term(self, senders, value):
        for sender in senders:
            deliver(self.agreement, sender, Term(EPOCH, PROPOSER, bool(value)))

    def said(self, kind):
        return [getattr(m, "values", getattr(m, "value", None)) for m in self.recorder.of(kind)]


def in_stage_2(candidate, journal=None, schedule="every-round"):
    """N = 4, Crain, both values in bin_values; N-f CONFs have left `candidate`."""
    one = Alone(Crain20, journal=journal, schedule=schedule)
    one.agreement.propose(0)
    for value in (0, 1):
        one.give([0, 1, 2], BVal, value)
    one.give([0, 1, 2], Aux, candidate == 2)
    one.give([0, 1], Conf, 2 if candidate == 2 else 1)
    one.give([2], Conf, candidate)
    assert one.said(BVal2) == [candidate]
    return one


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_mmr14_reveals_its_share_after_aux(nodes):
    """The paper's rule, exactly at N-f AUXs, and no CONF."""
    one = Alone(Mmr14, nodes)
    one.agreement.propose(1)
    one.give(range(one.quorums.ready), BVal, 1)
    one.give(range(one.quorums.quorum - 1), Aux, 1)
    assert not one.recorder.of(CoinShare)
    one.give([one.quorums.quorum - 1], Aux, 1)
    assert len(one.recorder.of(CoinShare)) == 1
    assert not one.recorder.of(Conf)


@pytest.mark.parametrize("coin", [0, 1])
@pytest.mark.parametrize("mixed", [False, True])
def test_mmr14_decides_what_the_coin_confirms(coin, mixed):
    one = Alone(Mmr14)
    one.coins._values[0] = coin
    one.agreement.propose(1)
    for value in (0, 1):
        one.give([0, 1, 2], BVal, value)
    one.give([0, 1], Aux, 1)
    one.give([2], Aux, not mixed)
    one.give([1], CoinShare, bytes(48))
    if coin and not mixed:
        assert one.decided == [1]
    else:
        assert not one.decided
        assert one.recorder.sent[-1] == BVal(EPOCH, PROPOSER, 1, bool(coin if mixed else 1))


@pytest.mark.parametrize(
    ("kind", "foreign"), [(Mmr14, {Conf: 3, BVal2: 1, Aux2: 1}), (Mmr14Conf, {BVal2: 1, Aux2: 1}), (Crain20, {})]
)
def test_votes_of_another_agreement_are_a_fault(kind, foreign):
    one = Alone(kind)
    for message in (Conf, BVal2, Aux2):
        one.give([3], message, 1)
    assert one.recorder.faults == [(3, HoneyBadgerFault.FOREIGN_VOTE)] * len(foreign)


@pytest.mark.parametrize("nodes", ALL_SIZES)
def test_crain_thresholds(nodes):
    """BVAL2 at N-f CONFs; relayed at f+1, accepted at 2f+1; N-f AUX2s of one bit decide, without a coin."""
    one = Alone(Crain20, nodes)
    q = one.quorums
    one.agreement.propose(1)
    one.give(range(q.ready), BVal, 1)
    one.give(range(q.quorum), Aux, 1)
    one.give(range(q.quorum - 1), Conf, 2)
    assert not one.said(BVal2)
    one.give([q.quorum - 1], Conf, 2)
    assert one.said(BVal2) == [2]
    one.give(range(q.weak - 1), BVal2, 3)
    assert one.said(BVal2) == [2]
    one.give([q.weak - 1], BVal2, 3)
    assert one.said(BVal2) == [2, 3]
    one.give(range(q.ready - 1), BVal2, 2)
    assert not one.said(Aux2)
    one.give([q.ready - 1], BVal2, 2)
    assert one.said(Aux2) == [2]
    one.give(range(q.quorum - 1), Aux2, 2)
    assert not one.decided
    one.give([q.quorum - 1], Aux2, 2)
    assert one.decided == [1]
    assert not one.recorder.of(CoinShare)
    assert not one.recorder.faults


def test_crain_stage_2_has_the_union_of_the_confs():
    """The node's own AUX set is {0}, one CONF says {0, 1}: ⊥."""
    one = in_stage_2(3)
    assert one.said(Conf) == [1]
    assert one.agreement._rounds[0].vals == 1


@pytest.mark.parametrize("coin", [0, 1])
@pytest.mark.parametrize("bit", [0, 1])
def test_crain_a_bit_with_doubt_is_kept_and_not_decided(coin, bit):
    """View {b, ⊥}: the next estimate is b whatever the coin says, which is revealed all the same."""
    one = in_stage_2(1 << bit)
    one.coins._values[0] = coin
    for choice in (1 << bit, 3):
        one.give([0, 1, 2], BVal2, choice)
    one.give([0, 1], Aux2, 1 << bit)
    assert not one.recorder.of(CoinShare)
    one.give([2], Aux2, 3)
    assert len(one.recorder.of(CoinShare)) == 1
    one.give([1], CoinShare, bytes(48))
    assert not one.decided
    assert one.recorder.sent[-1] == BVal(EPOCH, PROPOSER, 1, bool(bit))


@pytest.mark.parametrize("coin", [0, 1])
def test_crain_no_bit_at_all_adopts_the_coin(coin):
    one = in_stage_2(3)
    one.coins._values[0] = coin
    one.give([0, 1, 2], BVal2, 3)
    one.give([0, 1, 2], Aux2, 3)
    one.give([1], CoinShare, bytes(48))
    assert not one.decided
    assert one.recorder.sent[-1] == BVal(EPOCH, PROPOSER, 1, bool(coin))


def test_crain_a_fixed_round_needs_no_share():
    one = in_stage_2(3, schedule="fixed-fixed-coin")
    one.give([0, 1, 2], BVal2, 3)
    one.give([0, 1, 2], Aux2, 3)
    assert not one.recorder.of(CoinShare)
    assert one.recorder.sent[-1] == BVal(EPOCH, PROPOSER, 1, True)


def test_crain_one_aux2_slot_per_sender():
    """The first counts, here and in rounds ahead; others are faults, repetitions are not."""
    for number in (0, 1):
        one = in_stage_2(1)
        for choice in (1, 2, 3, 1):
            one.give([3], Aux2, choice, number)
        assert one.recorder.faults == [(3, FaultKind.EQUIVOCATION)] * 2
        one.give([0, 1, 2], BVal2, 1)
        one.give([0], Aux2, 1)
        assert not one.decided, "nodes 0 and 3 at the most"


def test_crain_aux2_outside_bin_values2_waits():
    one = in_stage_2(1)
    one.give([0, 1, 2], BVal2, 1)
    one.give([0, 1], Aux2, 1)
    one.give([2], Aux2, 3)
    assert not one.recorder.of(CoinShare)
    one.give([0, 1, 2], BVal2, 3)
    assert len(one.recorder.of(CoinShare)) == 1


def test_crain_several_bval2_of_a_sender_are_legal_and_each_counts_once():
    one = in_stage_2(3)
    for choice in (1, 2, 3):
        one.give([3, 3, 3], BVal2, choice)
    assert one.said(BVal2) == [3]
    assert not one.recorder.faults
    one.give([2], BVal2, 1)
    assert one.said(BVal2) == [3, 1]


def test_crain_term_is_no_vote():
    """TERM(0) of node 3 neither stands for its votes nor voids them."""
    one = in_stage_2(3)
    one.term([3], 0)
    one.give([3], Aux2, 3)
    one.give([0, 1], BVal2, 3)
    assert not one.said(Aux2)
    one.give([2], BVal2, 3)
    one.give([0], Aux2, 3)
    assert not one.recorder.of(CoinShare)
    one.give([1], Aux2, 3)
    assert len(one.recorder.of(CoinShare)) == 1, "0, 1 and 3: ⊥"


def decided_in_round_0():
    """N = 4, Crain: node 0 has decided 0 in round 0, and TERMs of nobody are here."""
    one = in_stage_2(1)
    one.give([0, 1, 2], BVal2, 1)
    one.give([0, 1, 2], Aux2, 1)
    assert one.decided == [0]
    one.recorder.sent.clear()
    return one


def vote_through(one, number):
    """All that makes it decide 0 in a round."""
    for kind, value in ((BVal, 0), (Aux, 0), (Conf, 1), (BVal2, 1), (Aux2, 1)):
        one.give([1, 2, 3], kind, value, number)


def test_crain_who_has_decided_follows_others_into_one_more_round():
    one = decided_in_round_0()
    one.give([1, 2], Aux, 0, 1)
    assert not one.recorder.sent, "nobody is there for sure"
    one.give([3], BVal, 1, 1)
    assert one.recorder.sent == [BVal(EPOCH, PROPOSER, 1, False)]
    vote_through(one, 1)
    assert (one.said(Aux), one.said(Conf), one.said(BVal2), one.said(Aux2)) == ([False], [1], [1], [1])
    assert one.agreement.rounds == 1
    assert not one.recorder.of(Term)
    one.recorder.sent.clear()
    vote_through(one, 2)
    assert one.said(BVal) == [False], "the relay, and nothing else"
    assert len(one.recorder.sent) == 2, "that of BVAL and that of BVAL2"
    assert one.decided == [0]


def test_crain_terms_decide_and_the_node_goes_on():
    """Without an input of its own it takes the decision; 2f+1 TERMs are the end."""
    one = Alone(Crain20)
    one.term([1, 3], 0)
    assert one.decided == [0]
    assert one.recorder.sent == [Term(EPOCH, PROPOSER, False), BVal(EPOCH, PROPOSER, 0, False)]
    one.agreement.propose(1)
    one.give([1, 2, 3], BVal, 0)
    assert one.said(Aux) == [False]
    one.term([2], 0)
    one.give([1, 2, 3], Aux, 0)
    assert not one.said(Conf)


def test_crain_relays_bval2_after_the_decision_and_in_rounds_ahead():
    one = Alone(Crain20)
    one.term([1, 2], 1)
    one.recorder.sent.clear()
    one.give([1], BVal2, 3)
    one.give([3], BVal2, 3, 4)
    assert not one.recorder.sent
    one.give([2], BVal2, 3)
    one.give([1], BVal2, 3, 4)
    assert one.recorder.sent == [BVal2(EPOCH, PROPOSER, 0, 3), BVal2(EPOCH, PROPOSER, 4, 3)]
    assert not one.recorder.faults


def test_crain_votes_ahead_count_when_the_round_is_reached():
    """BVAL2s of several choices and the first AUX2 of each sender."""
    one = Alone(Crain20, 7)
    one.give([1, 2], BVal2, 1, 1)
    one.give([2, 3], BVal2, 3, 1)
    one.give([4], Aux2, 2, 1)
    one.give([4], Aux2, 1, 1)
    assert set(one.agreement._rounds) == {0}
    assert one.recorder.faults == [(4, FaultKind.EQUIVOCATION)]
    one.give([1, 2, 3], BVal, 1, 1)
    votes = one.agreement._rounds[1]
    assert (votes.bval2, votes.aux2) == ([0, 0b110, 0, 0b1100], [0, 0, 0b10000, 0])


def test_crain_window():
    one = Alone(Crain20)
    for kind in (BVal2, Aux2):
        one.give([3], kind, 1, COIN_WINDOW)
    assert not one.recorder.faults
    for kind in (BVal2, Aux2):
        one.give([3], kind, 1, COIN_WINDOW + 1)
    assert one.recorder.faults == [(3, HoneyBadgerFault.FUTURE_ROUND)] * 2
    assert set(one.agreement._rounds) == {0}


def test_crain_a_restarted_node_says_the_same_again():
    """It had sent AUX2({0}); now ⊥ would come first."""
    journal = JournalModel()
    before = in_stage_2(1, journal)
    before.give([0, 1, 2], BVal2, 1)
    assert before.said(Aux2) == [1]
    after = Alone(Crain20, journal=journal)
    for vote, _, number, value in journal.votes(EPOCH):
        after.agreement.resume(Vote(vote), number, value)
    assert {repr(m) for m in after.recorder.sent} == {repr(m) for m in before.recorder.sent}
    after.agreement.propose(1)
    for value in (0, 1):
        after.give([0, 1, 2], BVal, value)
    after.give([0, 1, 2], Aux, 0)
    after.give([0, 1, 2], Conf, 3)
    after.give([0, 1, 2], BVal2, 3)
    assert after.said(Aux2) == [1]
    assert after.said(Conf) == [1]


@pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])
@pytest.mark.parametrize("bit", [0, 1])
def test_crain_unanimity_needs_one_round_and_no_coin(bit, schedule):
    net = AgreementNet(4, 3, kind=Crain20, schedule=schedule)
    net.propose([bit] * 3)
    net.settle()
    assert net.decided == dict.fromkeys(range(3), bit)
    assert {node.round for node in net.nodes.values()} == {0}
    assert not net.coins.released


SCHEDULERS = {
    "fifo": fifo,
    "lifo": lifo,
    "shuffled": shuffled,
    "delayed": Late(),
    "starve": Together(shuffled, Starve([0])),
}


@pytest.mark.parametrize("kind", [Mmr14, Crain20])
@pytest.mark.parametrize("nodes", [4, 6, 7])
@pytest.mark.parametrize("schedule", ["every-round", "fixed-fixed-coin"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_mixed_inputs(kind, nodes, schedule, scheduler):
    """f silent nodes, any inputs, any of these orders: all decide the same."""
    for seed in range(4):
        net = AgreementNet(nodes, seed, kind=kind, schedule=schedule, scheduler=SCHEDULERS[scheduler])
        net.propose([(seed >> me % 3) & 1 for me in net.correct])
        net.settle()
        assert net.agreed
        assert not net.network.faults
        if seed == 0:
            assert set(net.decided.values()) == {0}, "validity"
        assert all(node.erasable for node in net.nodes.values()) or len(net.correct) < net.quorums.ready


def bit_with_doubt():
    for coin, bit in ((0, 1), (1, 0), (1, 1)):
        test_crain_a_bit_with_doubt_is_kept_and_not_decided(coin, bit)


#: a rule taken away → a test above that must fail then
MUTANTS = {
    weakened.EachAux2Counts: test_crain_one_aux2_slot_per_sender,
    weakened.AnyAux2: test_crain_aux2_outside_bin_values2_waits,
    weakened.OwnSetInStage2: test_crain_stage_2_has_the_union_of_the_confs,
    weakened.DecidesWithDoubt: bit_with_doubt,
    weakened.CoinOverBit: bit_with_doubt,
    weakened.RelaysNoBVal2: test_crain_relays_bval2_after_the_decision_and_in_rounds_ahead,
    weakened.DecidesAtOnce: bit_with_doubt,
    weakened.TermsStandForVotes: test_crain_term_is_no_vote,
    weakened.VotesNoMoreAfterTerms: test_crain_terms_decide_and_the_node_goes_on,
    weakened.FollowsNobody: test_crain_who_has_decided_follows_others_into_one_more_round,
    weakened.FollowsForever: test_crain_who_has_decided_follows_others_into_one_more_round,
    weakened.GoesAhead: test_crain_who_has_decided_follows_others_into_one_more_round,
    weakened.ForgetsBVal2Ahead: test_crain_votes_ahead_count_when_the_round_is_reached,
    weakened.JournalsNoAux2: test_crain_a_restarted_node_says_the_same_again,
    weakened.WaitsForConf: partial(test_mmr14_reveals_its_share_after_aux, 4),
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_each_rule_is_tested(mutant, monkeypatch):
    monkeypatch.setitem(globals(), "Mmr14" if issubclass(mutant, Mmr14) else "Crain20", mutant)
    with pytest.raises(AssertionError):
        MUTANTS[mutant]()
