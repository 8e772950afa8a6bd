"""Protocol variants with one rule taken away. The attacks in these tests must succeed against them."""

from honeybadger.protocols.honey_badger.agreement_crain20 import _BIT_OF_VIEW, Crain20
from honeybadger.protocols.honey_badger.agreement_mmr14 import Mmr14
from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import BOTH, Round
from honeybadger.protocols.honey_badger.messages import Aux2, BVal


class OwnSetAfterConf(Mmr14Conf):
    """Waits for N-f CONF, then decides from its own AUX set."""

    def _accepted_conf(self, votes: Round) -> int:
        return votes.vals if super()._accepted_conf(votes) else 0


class DeafAfterTerm(Mmr14Conf):
    """Ignores everything once it has decided."""

    def handle_bval(self, sender: int, message: BVal) -> None:
        if self.decision is None:
            super().handle_bval(sender, message)


class ForgetsOldRounds(Mmr14Conf):
    """Drops BVALs of rounds it has left."""

    def handle_bval(self, sender: int, message: BVal) -> None:
        if message.round >= self.round:
            super().handle_bval(sender, message)


class EachAux2Counts(Crain20):
    """AUX2s of different values of one sender are several."""

    def handle_aux2(self, sender, message):
        if message.round in self._rounds:
            self._rounds[message.round].aux2[message.values] |= 1 << sender
        super().handle_aux2(sender, message)

    def _accepted_aux2(self, votes):
        seen = [c for c in (1, 2, BOTH) if votes.bin_values2 >> c & 1 and votes.aux2[c]]
        count = sum(votes.aux2[c].bit_count() for c in seen)
        return sum(1 << c for c in seen) if count >= self._quorums.quorum else 0


class AnyAux2(Crain20):
    """AUX2 of values outside bin_values2 count."""

    def _accepted_aux2(self, votes):
        known, votes.bin_values2 = votes.bin_values2, 0b1110
        accepted = super()._accepted_aux2(votes)
        votes.bin_values2 = known
        return accepted


class OwnSetInStage2(Crain20):
    """BVAL2 of the node's own AUX set, not of the union of CONFs."""

    def _send_bval2(self, number, choice):
        votes = self._rounds[number]
        super()._send_bval2(number, votes.vals if choice == votes.candidate and votes.vals else choice)


class DecidesWithDoubt(Crain20):
    """A view of {b, ⊥} decides b."""

    def _finish_round(self, votes, coin):
        if (bit := _BIT_OF_VIEW.get(self._rounds[self.round].view)) is not None:
            self._decide(bit)
        else:
            super()._finish_round(votes, coin)


class CoinOverBit(Crain20):
    """A view of {b, ⊥} takes the coin."""

    def _finish_round(self, votes, coin):
        self._enter_next_round(coin)


class RelaysNoBVal2(Crain20):
    def _count_bval2(self, number, votes, choice):
        sent, votes.bval2_sent = votes.bval2_sent, 0b1110
        super()._count_bval2(number, votes, choice)
        votes.bval2_sent = sent


class DecidesAtOnce(Crain20):
    """A bit that N-f CONFs have left is decided, without the second stage."""

    def _send_bval2(self, number, choice):
        super()._send_bval2(number, choice)
        if choice != BOTH and self._rounds[number].candidate == choice:
            self._decide(choice >> 1)


class TermsStandForVotes(Crain20):
    """As in the other agreements: who has decided votes no more, and its TERM replaces all its votes."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self._standing = self._term

    @property
    def _is_done(self):
        return self.decision is not None

    def _accepted_aux2(self, votes):
        own = votes.aux2
        silent = ~(self._term[0] | self._term[1])
        votes.aux2 = [0, own[1] & silent | self._term[0], own[2] & silent | self._term[1], own[3] & silent]
        view = super()._accepted_aux2(votes)
        votes.aux2 = own
        return view


class VotesNoMoreAfterTerms(Crain20):
    """f+1 TERMs end it; only who decides by a view goes on."""

    @property
    def _is_done(self):
        return super()._is_done or (self.decision is not None and self._last_round is None)


class FollowsNobody(Crain20):
    """Whoever decides takes part in no further round."""

    def _decide_in(self, number, bit):
        self._finished = True
        return super()._decide_in(number, bit)


class FollowsForever(Crain20):
    def _decide_in(self, number, bit):
        self._last_round = None
        return super()._decide_in(number, bit)


class GoesAhead(Crain20):
    """Enters the next round though nobody is there."""

    def _decide_in(self, number, bit):
        self._record(number + 1).bval[0] |= 1 << 63
        return super()._decide_in(number, bit)


class ForgetsBVal2Ahead(Crain20):
    def handle_bval2(self, sender, message):
        if message.round in self._rounds:
            super().handle_bval2(sender, message)


class JournalsNoAux2(Crain20):
    def _send_aux2(self, number, choice):
        self._record(number).aux2_sent = True
        self._outbox.broadcast(Aux2(self._epoch, self._proposer, number, choice))


class WaitsForConf(Mmr14):
    """The share is revealed one vote later."""

    def _accepted_aux(self, votes):
        return super()._accepted_aux(votes) if sum(mask.bit_count() for mask in votes.aux) > self._quorums.quorum else 0
