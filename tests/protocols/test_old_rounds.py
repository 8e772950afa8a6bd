"""Scenario 40: a slow node's bin_values depends on the BVAL relay of nodes that have decided or moved on.

N = 7, f = 2; nodes 5 and 6 are faulty. With x the value of the first part: 0 and 1 finish round 0 with {x} only and
never hear of not-x. Node 3 sends AUX(not-x); 2 and 4 need not-x in bin_values to accept it, and for that BVALs of 0
and 1. The fixed coin of round 0 is 1: with x = 1 nodes 0 and 1 decide, with x = 0 they move on to round 1.
"""

import pytest
from support.byzantine.scripted import EPOCH, PROPOSER, AgreementNet
from support.byzantine.weakened import DeafAfterTerm, ForgetsOldRounds

from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement
from honeybadger.protocols.honey_badger.messages import Aux, BVal


def play(kind: type[BinaryAgreement], x: int, seed: int) -> AgreementNet:
    net = AgreementNet(7, seed, schedule="fixed-fixed-coin", kind=kind)
    faulty = [5, 6]
    net.propose([x, x, x, 1 - x, 1 - x])
    same = {"round": 0, "value": bool(x)}
    other = {"round": 0, "value": bool(1 - x)}
    bval_same, bval_other = (BVal(EPOCH, PROPOSER, 0, bool(bit)) for bit in (x, 1 - x))
    # 0, 1 and 2 accept x from each other and the faulty nodes, and vote for it.
    net.inject(faulty, [0, 1, 2], bval_same)
    net.let(BVal, [0, 1, 2], [0, 1, 2], **same)
    # Node 2 relays not-x: it hears it from 3 and the faulty nodes. Node 3 accepts it from 2, 3, 4, 5, 6.
    net.inject(faulty, [2, 3], bval_other)
    net.let(BVal, [3], [2], **other)
    net.let(BVal, [2, 3, 4], [3], **other)
    # 0 and 1 finish the round with AUX(x) from 0, 1, 2, 5, 6.
    net.inject(faulty, [0, 1], Aux(EPOCH, PROPOSER, 0, bool(x)))
    net.let(Aux, [0, 1, 2], [0, 1], **same)
    # Node 4 gets x first, too, from 0, 1, 2 and its own and 3's relays.
    net.let(BVal, [0, 1, 2], [3, 4], **same)
    net.let(BVal, [3, 4], [4], **same)
    assert [net.nodes[k]._rounds[0].first_value for k in range(5)] == [x, x, x, 1 - x, x]
    assert all(net.nodes[k]._rounds[0].bin_values == 1 << x for k in (0, 1, 2, 4))
    assert (net.decided == {0: 1, 1: 1}) if x else (net.nodes[0].round == net.nodes[1].round == 1)
    # From here on everything between correct nodes is delivered; the faulty ones are silent.
    net.settle()
    assert not net.network.pending()
    assert not net.network.faults
    return net


@pytest.mark.parametrize("x", [0, 1])
@pytest.mark.parametrize("seed", range(6))
def test_all_decide(x, seed):
    """Scenario 40 (c): the relay goes on in every round, decided or not."""
    assert play(Mmr14Conf, x, seed).agreed


@pytest.mark.parametrize("seed", range(3))
def test_deaf_deciders_block_three_nodes(seed):
    """Scenario 40 (a), the oracle: 0 and 1 have decided and listen to nothing; 2, 3 and 4 wait forever."""
    net = play(DeafAfterTerm, 1, seed)
    assert net.decided == {0: 1, 1: 1}


@pytest.mark.parametrize("seed", range(3))
def test_forgetting_old_rounds_blocks_all(seed):
    """Scenario 40 (b), the oracle: nobody decides."""
    assert not play(ForgetsOldRounds, 0, seed).decided
