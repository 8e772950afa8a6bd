"""Crain: TERM(b) stands for no vote, since {b} need not be in bin_values2 where a slow node is.

The last f nodes are faulty, and f correct ones are slow. With the faulty ones, the others see {⊥} only in round 0,
adopt the coin b, and node 0 decides b in round 1. Then the faulty ones are silent. {b} never enters bin_values2 of
round 0, where the slow nodes wait for the AUX2(⊥) of N-f, that is of all correct nodes, node 0 among them.
"""

import pytest
from support.byzantine.scripted import EPOCH, PROPOSER, AgreementNet
from support.byzantine.weakened import TermsStandForVotes, VotesNoMoreAfterTerms

from honeybadger.protocols.honey_badger.agreement_crain20 import Crain20
from honeybadger.protocols.honey_badger.messages import Aux, Aux2, BVal, BVal2, CoinShare, Conf, Term


def play(kind, nodes, seed, *, told=False):
    """`told`: one slow node, which has not come to AUX2, decides by the TERMs of node 0 and of the faulty ones."""
    net = AgreementNet(nodes, seed, kind=kind)
    correct, faults = list(net.correct), net.quorums.faults
    faulty, fast, slow = range(nodes - faults, nodes), correct[:-faults], correct[-faults:]

    def vote(message, number, value, to):
        """All correct nodes but the slow ones have sent this; the faulty ones now say it, too."""
        bit = bool(value) if message in (BVal, Aux) else value
        net.inject(faulty, to, message(EPOCH, PROPOSER, number, bit))
        net.let(message, fast, to, round=number)

    net.propose([me % 2 for me in correct])
    net.inject(faulty, correct, BVal(EPOCH, PROPOSER, 0, False))
    net.inject(faulty, correct, BVal(EPOCH, PROPOSER, 0, True))
    for _ in range(3):
        net.let(BVal, correct, correct, round=0)
    assert all(net.nodes[me]._rounds[0].bin_values == 3 for me in correct)
    net.let(Aux, correct, correct, round=0)
    net.inject(faulty, correct, Aux(EPOCH, PROPOSER, 0, True))
    net.inject(faulty, correct, Conf(EPOCH, PROPOSER, 0, 3))
    net.let(Conf, correct, correct, round=0)
    # Some may have seen one bit only; ⊥ reaches them by the relay.
    net.inject(faulty, fast, BVal2(EPOCH, PROPOSER, 0, 3))
    for _ in range(2):
        net.let(BVal2, correct, fast, round=0)
    vote(Aux2, 0, 3, fast)
    net.let(CoinShare, fast, fast, round=0)
    assert {net.nodes[me].round for me in fast} == {1} and {net.nodes[me].round for me in slow} == {0}
    b = net.coins.toss(0)
    for message, value in ((BVal, b), (Aux, b), (Conf, 1 << b), (BVal2, 1 << b)):
        vote(message, 1, value, fast)
    vote(Aux2, 1, 1 << b, [0])
    assert net.decided == {0: b}
    if told:
        net.let(Term, [0], slow[-1:])
        net.inject(faulty, slow[-1:], Term(EPOCH, PROPOSER, bool(b)))
        assert net.decided == {0: b, slow[-1]: b}
    net.settle()
    assert not net.network.pending()
    assert not net.network.faults
    return net


@pytest.mark.parametrize("nodes", [4, 7, 10])
@pytest.mark.parametrize("seed", range(4))
def test_all_decide(nodes, seed):
    assert play(Crain20, nodes, seed).agreed


@pytest.mark.parametrize("nodes", [7, 10])
@pytest.mark.parametrize("seed", range(4))
def test_all_decide_though_one_was_told(nodes, seed):
    assert play(Crain20, nodes, seed, told=True).agreed


@pytest.mark.parametrize("nodes", [4, 7])
def test_otherwise_the_slow_wait_forever(nodes):
    """The oracle: node 0's AUX2(⊥) is void, and its TERM is no vote in bin_values2."""
    assert list(play(TermsStandForVotes, nodes, 1).decided) == [0]


def test_otherwise_who_was_told_owes_a_vote():
    assert list(play(VotesNoMoreAfterTerms, 7, 1, told=True).decided) == [0, 4]
