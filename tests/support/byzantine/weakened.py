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


class TermsAreNoVotesInStage2(Crain20):
    def _see(self, number, votes):
        term, self._term = self._term, [0, 0]
        seen = super()._see(number, votes)
        self._term = term
        return seen


class TermsRelayBVal2Ahead(Crain20):
    def _count_bval2(self, number, votes, choice):
        round_, self.round = self.round, number
        super()._count_bval2(number, votes, choice)
        self.round = round_

    def handle_bval2(self, sender, message):
        if self._term[message.values >> 1 & 1]:
            self._record(message.round)
        super().handle_bval2(sender, message)


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
