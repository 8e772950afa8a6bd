"""Binary agreement of Crain (2020), the algorithm for a weak coin, "crain20".

Guarantee. Agreement and validity, whatever the coin does: nodes decide from votes alone. Termination with probability 1
under any scheduler, with a coin that nobody knows before a correct node reveals its share. Unanimous nodes decide
either bit in round 0, without a coin.

Thresholds. BVAL and AUX as in `binary_agreement`. After `vals` of AUX, in every round:
  3. CONF(vals), which the paper calls AUXSET. Wait for CONF from N-f senders with sets inside bin_values; the
     candidate is the UNION of those sets. A union of {0, 1} is the paper's ⊥.
  4. BVAL2(candidate), one of {0}, {1} and ⊥. Relay at f+1 senders; at 2f+1 senders it enters bin_values2.
  5. AUX2(w) for the first w in bin_values2. Wait for AUX2 from N-f senders with values in bin_values2: the view.
  6. View {b}: decide b. Otherwise release the coin share, and with coin s: view {b, ⊥} gives est = b, {⊥} gives
     est = s.

Why it is safe. Correct candidates other than ⊥ are all the same b, as in the default. If one node's view is {b}, N-f
nodes have sent AUX2(b), so b is in every view, and all others take it as their estimate. Why it ends: b is fixed before
the first correct node reveals the coin, so all are of one mind after a round with probability 1/2, and decide in the
next one.

The relay of step 4 goes on for every round, as that of BVAL does, and for the same reason.

Termination gadget. TERM(b) stands for no vote here. In other agreements it does, but {b} need not enter bin_values2 in
the rounds before the decision: perhaps all views were {⊥} there, and the coin was b. A TERM in place of the AUX2(⊥)
that a correct node sent there, or owes, would be one vote less for a slow node, which then waits forever.
  - Who decides in step 6 of round r sends TERM(b). It enters round r+1 as well, once any other node has, takes part in
    it to its end, and in none after it.
  - f+1 TERM(b) decide b, and TERM(b) is sent; but the node goes on to vote until it decides in step 6, with input b if
    it had none. 2f+1 TERM(b) are the end, as in the other agreements.
Why all decide. Let r be the first round in which a correct node decides b in step 6. Up to r all correct nodes vote as
in Crain's algorithm, so each of them gets through r. It may lack the coin of r, if no more than f correct nodes toss
it; but then f+1 have decided, and their TERMs are enough. All others have the estimate b in r+1, and the first BVAL of
r+1 brings those along who decided in r. So all correct nodes are in r+1, of one mind, and decide there.
Why it stays safe. A node's votes are its own: whoever decides in step 6 decides in Crain's algorithm, and f+1 TERMs
contain the TERM of one who did.

Source: Crain, "Two More Algorithms for Randomized Signature-Free Asynchronous Binary Byzantine Consensus with t < n/3
and O(n²) Messages and O(1) Round Expected Termination", arXiv:2002.08765, figure 3. Departures: TERM; who
decides tosses no coin; in rounds 0 and 1 mod 3 of the default schedule a fixed value stands for the coin. The paper's
second algorithm, for a perfect coin, is not here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from honeybadger.protocols.context import Outbox, VoteJournal
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import BOTH, Round
from honeybadger.protocols.honey_badger.common_coin import CommonCoin
from honeybadger.protocols.honey_badger.messages import Aux2, BVal, BVal2, Vote
from honeybadger.protocols.honey_badger.parameters import CoinSchedule
from honeybadger.protocols.honey_badger.rounds_ahead import AUX2, RoundsAhead
from honeybadger.protocols.quorums import Quorums

#: what is voted for in steps 4 and 5: {0}, {1}, and ⊥, which is {0, 1}
CHOICES = (1, 2, BOTH)
#: sets of choices have the bit 1 << choice for each; these are the views with a single bit in them
_BIT_OF_VIEW = {1 << 1: 0, 1 << 1 | 1 << BOTH: 0, 1 << 2: 1, 1 << 2 | 1 << BOTH: 1}
#: each BVAL2 may be sent, so each has a slot of its own in the journal
_BVAL2_VOTES = {1: Vote.BVAL2_FALSE, 2: Vote.BVAL2_TRUE, BOTH: Vote.BVAL2_NEITHER}


@dataclass(slots=True)
class SecondRound(Round):
    """With the votes of steps 4 and 5."""

    #: by choice: who sent BVAL2 of it
    bval2: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    #: sets of choices: this node's BVAL2s, and those with 2f+1 BVAL2s
    bval2_sent: int = 0
    bin_values2: int = 0
    #: which of them entered bin_values2 first
    first_choice: int = 0
    #: by choice: who sent AUX2 of it
    aux2: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    aux2_sent: bool = False
    #: the choices of N-f AUX2s, once they are in
    view: int = 0


class Crain20(Mmr14Conf):
    """CONF binds the candidates, then a second BVAL and AUX decides."""

    _round_type: ClassVar[type[Round]] = SecondRound
    _rounds: dict[int, SecondRound]  # type: ignore[assignment]

    def __init__(
        self,
        epoch: int,
        proposer: int,
        quorums: Quorums,
        schedule: CoinSchedule,
        make_coin: Callable[[int, Callable[[int], None]], CommonCoin],
        outbox: Outbox,
        on_decide: Callable[[int], None],
        on_settled: Callable[[], None] = lambda: None,
        journal: VoteJournal | None = None,
    ) -> None:
        super().__init__(epoch, proposer, quorums, schedule, make_coin, outbox, on_decide, on_settled, journal)
        self._standing = [0, 0]
        #: BVAL2s of rounds ahead
        self._second_ahead = RoundsAhead(quorums.nodes)
        #: the round after the one in which this node decided by its view, and whether that is over
        self._last_round: int | None = None
        self._finished = False

    def resume(self, vote: Vote, number: int, value: bytes) -> None:
        if vote is Vote.AUX2:
            self._send_aux2(number, value[0])
        elif vote in _BVAL2_VOTES.values():
            self._send_bval2(number, next(choice for choice in CHOICES if _BVAL2_VOTES[choice] is vote))
        else:
            super().resume(vote, number, value)

    def handle_bval(self, sender: int, message: BVal) -> None:
        """As ever; who has decided may follow the sender into its round."""
        super().handle_bval(sender, message)
        if message.round == self.round + 1:
            self._advance()

    def handle_bval2(self, sender: int, message: BVal2) -> None:
        """Count, relay at f+1, accept at 2f+1: for every round, decided or not."""
        number, choice = message.round, message.values
        if self._is_too_far(sender, number):
            return
        votes = self._rounds.get(number)
        if votes is None:
            if self._second_ahead.add_bval(sender, number, choice) < self._quorums.weak:
                return
            votes = self._record(number)
        elif votes.bval2[choice] >> sender & 1:
            return
        votes.bval2[choice] |= 1 << sender
        self._count_bval2(number, votes, choice)
        if number == self.round:
            self._advance()

    def handle_aux2(self, sender: int, message: Aux2) -> None:
        """One slot per sender and round."""
        number, choice = message.round, message.values
        if self._is_too_far(sender, number) or self._is_past(number):
            return
        votes = self._rounds.get(number)
        if votes is None:
            accepted = self._ahead.add_once(sender, number, AUX2, choice)
        else:
            fresh = not (votes.aux2[1] | votes.aux2[2] | votes.aux2[BOTH]) >> sender & 1
            if fresh:
                votes.aux2[choice] |= 1 << sender
            accepted = fresh or bool(votes.aux2[choice] >> sender & 1)
        if not accepted:
            self._fault(sender, FaultKind.EQUIVOCATION, f"AUX2 round {number}")
        elif number == self.round:
            self._advance()

    def status(self) -> dict[str, Any]:
        votes = self._rounds[self.round]
        return super().status() | {
            "bin_values2": votes.bin_values2,
            "bval2": [mask.bit_count() for mask in votes.bval2[1:]],
            "aux2": [mask.bit_count() for mask in votes.aux2[1:]],
        }

    # -- votes ---------------------------------------------------------------------------------------------

    def _record(self, number: int) -> SecondRound:
        votes = self._rounds.get(number)
        if votes is None:
            super()._record(number)
            votes = self._rounds[number]
            votes.bval2 = [0, *(self._second_ahead.bval_senders(number, choice) for choice in CHOICES)]
            votes.aux2 = [0, *self._ahead.senders(number, AUX2)[1:]]
        return votes

    def _count_bval2(self, number: int, votes: SecondRound, choice: int) -> None:
        """Relay and bin_values2 rules for one choice of one round."""
        count = votes.bval2[choice].bit_count()
        if count >= self._quorums.weak and not votes.bval2_sent >> choice & 1:
            self._send_bval2(number, choice)
        if count >= self._quorums.ready and not votes.bin_values2 >> choice & 1:
            if not votes.bin_values2:
                votes.first_choice = choice
            votes.bin_values2 |= 1 << choice

    def _send_bval2(self, number: int, choice: int) -> None:
        votes = self._record(number)
        if votes.bval2_sent >> choice & 1:
            return
        votes.bval2_sent |= 1 << choice
        self._journal.remember(self._epoch, _BVAL2_VOTES[choice], self._proposer, number, b"")
        self._outbox.broadcast(BVal2(self._epoch, self._proposer, number, choice))

    def _send_aux2(self, number: int, choice: int) -> None:
        self._record(number).aux2_sent = True
        choice = self._once(Vote.AUX2, number, choice)
        self._outbox.broadcast(Aux2(self._epoch, self._proposer, number, choice))

    # -- rounds --------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        number = self.round
        if not self._vote(number).vals:
            return False
        votes = self._rounds[number]
        if not votes.conf_sent:
            self._send_conf(number, votes.vals)
        if not votes.candidate:
            votes.candidate = self._accepted_conf(votes)
            if not votes.candidate:
                return False
            self._send_bval2(number, votes.candidate)
        if not votes.view and not self._see(number, votes):
            return False
        if votes.view in (1 << 1, 1 << 2):
            return self._decide_in(number, _BIT_OF_VIEW[votes.view])
        if self._has_coin(number):
            self._toss(number)
        else:
            self._finish_round(votes, self._fixed_coin(number))
            return True
        return False

    def _see(self, number: int, votes: SecondRound) -> bool:
        """Steps 4 and 5 as far as they go; True once the view is there."""
        if not votes.bin_values2:
            return False
        if not votes.aux2_sent:
            self._send_aux2(number, votes.first_choice)
        votes.view = self._accepted_aux2(votes)
        return votes.view != 0

    def _accepted_aux2(self, votes: SecondRound) -> int:
        """The set of choices of AUX2 from N-f senders with choices in bin_values2, or 0 if there are too few."""
        senders, view = 0, 0
        for choice in CHOICES:
            if votes.bin_values2 >> choice & 1 and votes.aux2[choice]:
                senders |= votes.aux2[choice]
                view |= 1 << choice
        return view if senders.bit_count() >= self._quorums.quorum else 0

    @property
    def _is_done(self) -> bool:
        return self._finished or self.erasable

    def _decide(self, value: int) -> None:
        super()._decide(value)
        self.propose(value)

    def _decide_in(self, number: int, bit: int) -> bool:
        """Decide by the view of this round; True if the next one was entered, where another node is."""
        self._decide(bit)
        if self._last_round is None:
            self._last_round = number + 1
        elif number == self._last_round:
            self._finished = True
        if self._finished or not any(self._record(number + 1).bval):
            return False
        self._enter_next_round(bit)
        return True

    def _finish_round(self, votes: Round, coin: int) -> None:
        self._enter_next_round(_BIT_OF_VIEW.get(self._rounds[self.round].view, coin))
