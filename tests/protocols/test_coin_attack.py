"""Scenarios 11 and 12: the scheduler that learns the coin early (amiller/HoneyBadgerBFT #59), in both directions.

N = 3f+1. A0 and A1, together f+1 nodes, have estimate v; B, f nodes, has the opposite; F, f nodes, is faulty and sends
CONF({0, 1}). (Any two of A0, A1, B have at least f+1 nodes: with F a quorum.) The script lets A see both values and so
reveal the coin s before B has an AUX set; then it makes B's set the opposite of s. B takes not-s, A takes s, and the
next round begins as this one did.
"""

import pytest
from support.byzantine.scripted import EPOCH, PROPOSER, AgreementNet
from support.byzantine.weakened import OwnSetAfterConf

from honeybadger.protocols.honey_badger.agreement_mmr14 import Mmr14
from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.messages import Aux, BVal, CoinShare, Conf, Term

CONFLICTING = (0, 1)


class Script:
    """Plays one round after the other; every message of a round is delivered before the next one starts."""

    def __init__(self, net: AgreementNet, schedule: str) -> None:
        self.net, self.schedule = net, schedule
        f = net.quorums.faults
        half = (f + 2) // 2
        self.a0, self.a1 = range(half), range(half, f + 1)
        self.b, self.f = range(f + 1, 2 * f + 1), range(2 * f + 1, net.quorums.nodes)
        self.a = [*self.a0, *self.a1]
        self.everyone = [*self.a, *self.b]

    def start(self) -> None:
        for me in self.everyone:
            self.net.nodes[me].propose(0 if me in self.b else 1)

    def play(self, number: int) -> None:
        net = self.net
        v = net.nodes[self.a[0]]._estimate
        assert v is not None
        self._bval(number, 1 - v, [*self.b, *self.f, *self.a0], self.a0)
        self._bval(number, v, [*self.a, *self.f], self.a1)
        for value in CONFLICTING:
            self._bval(number, value, range(net.quorums.nodes), self.a)
        net.inject(self.f, self.a, Aux(EPOCH, PROPOSER, number, bool(v)))
        net.let(Aux, self.a, self.a, round=number)
        self._conf(number, self.a)
        net.let(Conf, self.a, self.a, round=number)
        s = self._coin(number)
        if s is None:
            return  # nobody in A has revealed anything: the attack has failed already
        # B must see not-s alone until it has fixed its AUX set.
        self._bval(number, 1 - s, range(net.quorums.nodes), self.b)
        net.inject(self.f, self.b, Aux(EPOCH, PROPOSER, number, bool(1 - s)))
        net.let(Aux, range(net.quorums.nodes), self.b, round=number, value=bool(1 - s))
        self._conf(number, self.b)
        self._bval(number, s, range(net.quorums.nodes), self.b)
        net.let(Conf, self.everyone, self.everyone, round=number)
        net.let(CoinShare, self.everyone, self.everyone, round=number)

    def finish(self, number: int) -> None:
        """Fairness: whatever is left of the round arrives before the next one."""
        self.net.network.deliver_where(lambda s, r, m: isinstance(m, Term) or m.round <= number)

    def _bval(self, number: int, value: int, senders, recipients) -> None:
        faulty = [k for k in self.f if k in senders]
        self.net.inject(faulty, recipients, BVal(EPOCH, PROPOSER, number, bool(value)))
        self.net.let(BVal, senders, recipients, round=number, value=bool(value))

    def _conf(self, number: int, recipients) -> None:
        if isinstance(self.net.nodes[0], Mmr14Conf):
            self.net.inject(self.f, recipients, Conf(EPOCH, PROPOSER, number, 3))

    def _coin(self, number: int) -> int | None:
        if self.schedule != "every-round" and number % 3 != 2:
            return 1 - number % 3
        try:
            return self.net.coins.value(number)
        except AssertionError:
            return None


def attack(kind, nodes, schedule, rounds, seed):
    net = AgreementNet(nodes, seed, schedule=schedule, kind=kind)
    script = Script(net, schedule)
    script.start()
    played = 0
    for number in range(rounds):
        if net.decided or any(net.nodes[me].round != number for me in script.everyone):
            break
        script.play(number)
        script.finish(number)
        played = number + 1
    return net, played


@pytest.mark.parametrize("kind", [Mmr14, OwnSetAfterConf])
@pytest.mark.parametrize("nodes", [4, 7, pytest.param(10, marks=pytest.mark.soak)])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_variants_without_binding_never_decide(kind, nodes, seed):
    """Scenario 11, the oracle: 30 coin rounds without a decision, although every message was delivered."""
    net, played = attack(kind, nodes, "every-round", 30, seed)
    assert played == 30
    assert not net.decided
    assert not net.network.faults


@pytest.mark.parametrize("kind", [Mmr14, OwnSetAfterConf])
def test_variants_never_decide_with_fixed_coins_either(kind):
    """Scenario 12, the oracle: 30 coin rounds among 90."""
    net, played = attack(kind, 4, "fixed-fixed-coin", 90, 3)
    assert played == 90
    assert not net.decided


@pytest.mark.parametrize("nodes", [4, 7, 10])
@pytest.mark.parametrize("seed", range(6))
def test_the_same_script_fails_against_the_shipped_rule(nodes, seed):
    """Scenario 11: the candidate is bound before the coin is known, so the first scripted round breaks the attack."""
    net, played = attack(Mmr14Conf, nodes, "every-round", 1, seed)
    assert played == 1
    assert len({node._estimate for node in net.nodes.values()}) == 1, "all must have adopted the coin"
    net.settle()
    assert net.agreed
    assert max(node.round for node in net.nodes.values()) <= 12


@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("seed", range(4))
def test_with_fixed_coins_the_first_coin_round_ends_it(nodes, seed):
    """Scenario 12: rounds 0 and 1 keep the nodes apart (their coins are known), round 2 does not."""
    net, _ = attack(Mmr14Conf, nodes, "fixed-fixed-coin", 2, seed)
    assert len({node._estimate for node in net.nodes.values()}) == 2, "known coins do not stop the attack"
    net, played = attack(Mmr14Conf, nodes, "fixed-fixed-coin", 3, seed)
    assert played == 3
    assert len({node._estimate for node in net.nodes.values()}) == 1
    net.settle()
    assert net.agreed
    assert max(node.round for node in net.nodes.values()) <= 8
