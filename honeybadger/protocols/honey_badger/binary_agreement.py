"""What all binary agreements share: BVAL and AUX, coins, rounds, TERM, the journal.

The variants are `agreement_mmr14_conf` (the default), `agreement_mmr14` (the paper's, flawed) and `agreement_crain20`.
Each decides in `_step` what follows AUX and when the coin's share is released.

A round r, with estimate `est`, begins alike in all of them:
  1. BVAL(est) to all. Relay BVAL(b) at f+1 senders; at 2f+1 senders b enters bin_values.
  2. AUX(w) for the first w in bin_values. Wait for AUX from N-f senders with values in bin_values: `vals`.
Any two correct nodes whose `vals` has one value have the same: their N-f senders share a correct one.

One slot per sender and round for each vote but BVAL, the first message wins; both BVALs are legal.

Termination gadget. Who decides b sends TERM(b) once and starts no further round. TERM(b) of a node counts as all its
votes, for b, in the current and every later round, and replaces those it sent there. That is as good as votes, since b
enters bin_values in every round: up to the one of the first decision, f+1 correct nodes have sent BVAL(b), and after it
all do. (`agreement_crain20` has votes of which that is not true, and another gadget.) f+1 TERM(b) decide b. The BVAL
relay of step 1 goes on for EVERY round, decided or not, until 2f+1 TERM(b) are in: a slow node's
bin_values may depend on it. Then f+1 correct TERMs are on their way to everybody and the instance may be erased.
In rounds ahead the relay counts real BVALs only, so one of them is of a correct node that has been there: no relay
goes beyond the window of a slower node because of faulty nodes.

Coin schedule. "fixed-fixed-coin": rounds 0, 1, 2 mod 3 use true, false and the common coin. A common value is safe
whatever it is; with CONF, a unanimous 1 ends in round 0 and a unanimous 0 in round 1 without any pairing. "every-round"
is the paper's.

Bounds. Votes of rounds ahead are kept as far as COIN_WINDOW coins: a byte per sender and round (`rounds_ahead`), and
one coin share. A round with a coin succeeds with probability 1/2, so a correct node is farther ahead with probability
below 2^-COIN_WINDOW. A round gets a record of its own once this node is there, or f+1 nodes say that they are.

Source: Mostefaoui, Moumen, Raynal (PODC 2014); Miller et al. (CCS 2016), section 4.4 and appendix C. TERM is our own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from honeybadger.protocols.context import NoJournal, Outbox, VoteJournal
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.common_coin import CommonCoin
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
from honeybadger.protocols.honey_badger.parameters import CoinSchedule
from honeybadger.protocols.honey_badger.rounds_ahead import AUX, BVAL, CONF, RoundsAhead
from honeybadger.protocols.quorums import Quorums

#: what an agreement takes
OfAgreement = BVal | Aux | Conf | BVal2 | Aux2 | CoinShare | Term

#: how many rounds with a coin a sender may be ahead
COIN_WINDOW = 40

#: a set of bits as a bit mask: {0} = 1, {1} = 2, {0, 1} = 3
BOTH = 3


def singleton(bit: int) -> int:
    """The set {bit} as a mask."""
    return 1 << bit


@dataclass(slots=True)
class Round:
    """Votes of one round. Sets of senders are integers with one bit per node."""

    #: by value: who sent BVAL of it
    bval: list[int] = field(default_factory=lambda: [0, 0])
    #: sets of values: this node's BVALs, and those with 2f+1 BVALs, which may be voted for
    bval_sent: int = 0
    bin_values: int = 0
    #: which of them entered bin_values first: the value of this node's AUX
    first_value: int = 0
    #: by set of values, as for CONF; an AUX has a single one
    aux: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    aux_sent: bool = False
    #: the values of N-f AUXs, once they are in: the value of this node's CONF
    vals: int = 0
    #: by set of values: who sent CONF of it
    conf: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    conf_sent: bool = False
    #: what the coin is compared with, once that is known: the values of N-f AUXs, or the union of N-f CONFs
    candidate: int = 0


class BinaryAgreement(ABC):
    """One instance: (epoch, proposer), seen by node `me`.

    `make_coin(round, on_value)` builds the common coin of a round; `on_decide(bit)` is called once, and `on_settled()`
    once when N-f TERMs for the decision are in.
    """

    #: the record of a round
    _round_type: ClassVar[type[Round]] = Round

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
        self._epoch = epoch
        self._proposer = proposer
        self._quorums = quorums
        self._every_round = schedule == "every-round"
        self._make_coin = make_coin
        self._outbox = outbox
        self._on_decide = on_decide
        self._on_settled = on_settled
        self._journal = journal or NoJournal()
        #: how many rounds ahead votes are accepted
        self.window = COIN_WINDOW if self._every_round else 3 * COIN_WINDOW
        #: all rounds up to this node's, and those ahead in which f+1 nodes are
        self._rounds = {0: self._round_type()}
        self._ahead = RoundsAhead(quorums.nodes)
        #: the coin of this node's round
        self._coin: CommonCoin | None = None
        #: by value: who sent TERM of it, one bit per node
        self._term = [0, 0]
        #: by value: whose TERM stands for votes
        self._standing = self._term
        #: what this node votes for in its round; None: it has no input yet
        self._estimate: int | None = None
        #: the round that this node is in
        self.round = 0
        self.decision: int | None = None
        #: how many it took to decide; 0 before that
        self.rounds = 0
        #: for measurement: each takes pairings
        self.coins_tossed = 0
        #: N-f nodes have sent TERM for the decision: every correct node that can be waited for is done
        self.settled = False
        #: 2f+1 TERMs are in: nobody needs this instance any more
        self.erasable = False

    def propose(self, bit: int) -> None:
        """Give this node's input, once; later calls change nothing, nor do calls when it votes no more."""
        if self._estimate is not None or self._is_done:
            return
        self._estimate = bit
        self._send_bval(0, bit)
        self._advance()

    def resume(self, vote: Vote, number: int, value: bytes) -> None:
        """After a restart: send again what the journal holds, before anything else happens here."""
        match vote:
            case Vote.BVAL_FALSE | Vote.BVAL_TRUE:
                self._send_bval(number, int(vote is Vote.BVAL_TRUE))
            case Vote.AUX:
                self._send_aux(number, value[0])
            case Vote.TERM:
                self._decide(value[0])

    def handle(self, sender: int, message: OfAgreement) -> None:
        """A message with this instance's address, to its handler."""
        match message:
            case BVal():
                self.handle_bval(sender, message)
            case Aux():
                self.handle_aux(sender, message)
            case Term():
                self.handle_term(sender, message)
            case Conf():
                self.handle_conf(sender, message)
            case CoinShare():
                self.handle_coin_share(sender, message)
            case BVal2():
                self.handle_bval2(sender, message)
            case Aux2():
                self.handle_aux2(sender, message)

    def handle_bval(self, sender: int, message: BVal) -> None:
        """Count, relay at f+1, accept at 2f+1: for every round, decided or not."""
        number, value = message.round, int(message.value)
        if self._is_too_far(sender, number):
            return
        votes = self._rounds.get(number)
        if votes is None:
            # Below f+1, perhaps only faulty nodes speak of this round.
            if self._ahead.add_bval(sender, number, value) < self._quorums.weak:
                return
            votes = self._record(number)
        elif votes.bval[value] >> sender & 1:
            return
        votes.bval[value] |= 1 << sender
        self._count_bval(number, votes, value)
        if number == self.round:
            self._advance()

    def handle_aux(self, sender: int, message: Aux) -> None:
        """One slot per sender and round."""
        self._handle_once(sender, message.round, AUX, singleton(int(message.value)))

    def handle_conf(self, sender: int, message: Conf) -> None:
        """A vote that not all agreements have, like the next two."""
        self._fault(sender, HoneyBadgerFault.FOREIGN_VOTE, f"CONF round {message.round}")

    def handle_bval2(self, sender: int, message: BVal2) -> None:
        self._fault(sender, HoneyBadgerFault.FOREIGN_VOTE, f"BVAL2 round {message.round}")

    def handle_aux2(self, sender: int, message: Aux2) -> None:
        self._fault(sender, HoneyBadgerFault.FOREIGN_VOTE, f"AUX2 round {message.round}")

    def handle_coin_share(self, sender: int, message: CoinShare) -> None:
        """Kept unverified until it is needed."""
        number = message.round
        if not self._has_coin(number):
            self._fault(sender, HoneyBadgerFault.UNEXPECTED_COIN_SHARE, f"round {number}")
        elif self._is_too_far(sender, number) or self._is_past(number):
            return
        elif number > self.round:
            self._ahead.add_share(sender, number, message.share)
        else:
            self._current_coin().handle_share(sender, message.share)

    def handle_term(self, sender: int, message: Term) -> None:
        """The sender decided. Applies to this node's current round at once, whatever round the sender was in."""
        value = int(message.value)
        if (self._term[0] | self._term[1]) >> sender & 1:
            if not self._term[value] >> sender & 1:
                self._fault(sender, FaultKind.EQUIVOCATION, "TERM")
            return
        self._term[value] |= 1 << sender
        count = self._term[value].bit_count()
        if count >= self._quorums.ready:
            # f+1 of the 2f+1 are correct: their TERMs reach everybody, and decide there.
            self.erasable = True
        if count >= self._quorums.weak:
            # f+1 contain a correct decider.
            self._decide(value)
        if count >= self._quorums.quorum and not self.settled:
            self.settled = True
            self._on_settled()
        if not self._is_done:
            for number in sorted(self._rounds):
                if number >= self.round:
                    self._count_bval(number, self._rounds[number], value)
            self._advance()

    def status(self) -> dict[str, Any]:
        votes = self._rounds[self.round]
        return {
            "round": self.round,
            "estimate": self._estimate,
            "decision": self.decision,
            "bin_values": votes.bin_values,
            "bval": [mask.bit_count() for mask in votes.bval],
            "aux": [mask.bit_count() for mask in votes.aux[1:]],
            "conf": [mask.bit_count() for mask in votes.conf[1:]],
            "term": [mask.bit_count() for mask in self._term],
        }

    # -- votes ---------------------------------------------------------------------------------------------

    def _handle_once(self, sender: int, number: int, vote: int, values: int) -> None:
        """AUX or CONF: the first of a sender in a round counts."""
        if self._is_too_far(sender, number) or self._is_past(number):
            return
        votes = self._rounds.get(number)
        if votes is None:
            accepted = self._ahead.add_once(sender, number, vote, values)
        else:
            slots = votes.aux if vote == AUX else votes.conf
            fresh = not (slots[1] | slots[2] | slots[3]) >> sender & 1
            if fresh:
                slots[values] |= 1 << sender
            accepted = fresh or bool(slots[values] >> sender & 1)
        if not accepted:
            self._fault(sender, FaultKind.EQUIVOCATION, f"{'AUX' if vote == AUX else 'CONF'} round {number}")
        elif number == self.round:
            self._advance()

    def _is_too_far(self, sender: int, number: int) -> bool:
        if number <= self.round + self.window:
            return False
        self._fault(sender, HoneyBadgerFault.FUTURE_ROUND, str(number))
        return True

    def _record(self, number: int) -> Round:
        """The record of a round that some correct node has reached, this one or another."""
        votes = self._rounds.get(number)
        if votes is None:
            votes = self._rounds[number] = self._round_type()
            bvals = self._ahead.senders(number, BVAL)
            votes.bval = [bvals[1] | bvals[BOTH], bvals[2] | bvals[BOTH]]
            votes.aux = [0, *self._ahead.senders(number, AUX)[1:]]
            votes.conf = [0, *self._ahead.senders(number, CONF)[1:]]
        return votes

    def _is_past(self, number: int) -> bool:
        """AUX, CONF and shares of rounds left behind, or at the end, are of no use; BVALs still are."""
        return number < self.round or self._is_done

    @property
    def _is_done(self) -> bool:
        """Whether this node takes part in no further step."""
        return self.decision is not None

    def _count_bval(self, number: int, votes: Round, value: int) -> None:
        """Relay and bin_values rules for one value of one round."""
        senders = supporters = votes.bval[value]
        if number >= self.round:
            # Additive, unlike AUX and CONF: a sender's earlier BVAL of the other value stays legal.
            supporters |= self._standing[value]
        if number == self.round:
            # Not ahead: a relay there on the word of faulty nodes and of TERMs, which name no round, could be
            # beyond the window of a slower node. It comes when this node gets there; if it decides, its TERM counts.
            senders = supporters
        # f+1: a correct node has estimated this value, so it may be spread. 2f+1: f+1 correct nodes have sent it, so
        # everybody relays it and it enters bin_values everywhere.
        if senders.bit_count() >= self._quorums.weak and not votes.bval_sent >> value & 1:
            self._send_bval(number, value)
        if supporters.bit_count() >= self._quorums.ready and not votes.bin_values >> value & 1:
            if not votes.bin_values:
                votes.first_value = value
            votes.bin_values |= singleton(value)

    def _send_bval(self, number: int, value: int) -> None:
        votes = self._record(number)
        if votes.bval_sent >> value & 1:
            return
        votes.bval_sent |= singleton(value)
        # Both values may be sent, so each has a slot of its own in the journal.
        vote = Vote.BVAL_TRUE if value else Vote.BVAL_FALSE
        self._journal.remember(self._epoch, vote, self._proposer, number, b"")
        self._outbox.broadcast(BVal(self._epoch, self._proposer, number, bool(value)))

    def _send_aux(self, number: int, value: int) -> None:
        self._record(number).aux_sent = True
        value = self._once(Vote.AUX, number, value)
        self._outbox.broadcast(Aux(self._epoch, self._proposer, number, bool(value)))

    # -- rounds --------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take every step of the current round that has become possible; moving on may enable more."""
        while self._estimate is not None and not self._is_done and self._step():
            pass

    @abstractmethod
    def _step(self) -> bool:
        """Finish the current round if possible; True if a new round was entered."""

    def _vote(self, number: int) -> Round:
        """Steps 1 and 2 of the current round as far as they go; `vals` of its record says whether they are done."""
        votes = self._rounds[number]
        for value in (0, 1):
            if self._standing[value]:
                self._count_bval(number, votes, value)
        if votes.bin_values:
            if not votes.aux_sent:
                self._send_aux(number, votes.first_value)
            if not votes.vals:
                votes.vals = self._accepted_aux(votes)
        return votes

    def _toss(self, number: int) -> None:
        """Release this node's share of the coin, if it is not out yet.

        A coin that becomes known in here moves the round on by itself.
        """
        coin = self._current_coin()
        if not coin.released:
            share = coin.release()
            self._outbox.broadcast(CoinShare(self._epoch, self._proposer, number, share))
            coin.try_combine()

    def _accepted_aux(self, votes: Round) -> int:
        """The set of values of AUX from N-f senders with values in bin_values, or 0 if there are too few."""
        terminated = self._standing[0] | self._standing[1]
        senders, values = 0, 0
        for value in (0, 1):
            if votes.bin_values >> value & 1:
                mine = votes.aux[singleton(value)] & ~terminated | self._standing[value]
                if mine:
                    senders |= mine
                    values |= singleton(value)
        # All correct nodes send AUX, so N-f can be waited for; two such sets share a correct node.
        return values if senders.bit_count() >= self._quorums.quorum else 0

    def _has_coin(self, number: int) -> bool:
        return self._every_round or number % 3 == 2

    def _current_coin(self) -> CommonCoin:
        if self._coin is None:
            number = self.round
            self._coin = self._make_coin(number, lambda value: self._on_coin(number, value))
            for sender, share in self._ahead.take_shares(number):
                self._coin.handle_share(sender, share)
        return self._coin

    def _on_coin(self, number: int, value: int) -> None:
        self.coins_tossed += 1
        if number == self.round and not self._is_done:
            self._finish_round(self._rounds[number], value)
            self._advance()

    def _fixed_coin(self, number: int) -> int:
        """Of a round without a coin: "true" first, then "false"."""
        return 1 - number % 3

    def _finish_round(self, votes: Round, coin: int) -> None:
        # Two nodes never hold {0} and {1}: the N-f senders behind each share a correct one. So if one of them decides
        # the coin's value, all others take it as their estimate, and decide it in a later round.
        if votes.candidate == BOTH:
            self._enter_next_round(coin)
        elif (estimate := votes.candidate >> 1) == coin:
            self._estimate = estimate
            self._decide(coin)
        else:
            self._enter_next_round(estimate)

    def _enter_next_round(self, estimate: int) -> None:
        self._estimate = estimate
        self._coin = None
        self.round += 1
        self._send_bval(self.round, estimate)

    def _decide(self, value: int) -> None:
        if self.decision is not None:
            return
        self.decision = value
        self.rounds = self.round + 1
        self._outbox.broadcast(Term(self._epoch, self._proposer, bool(self._once(Vote.TERM, 0, value))))
        if self._is_done:
            self._coin = None
            self._ahead.drop_shares()
        self._on_decide(value)

    def _once(self, vote: Vote, number: int, value: int) -> int:
        """What this node says in a slot where it may speak once: after a restart, what it said before."""
        return self._journal.remember(self._epoch, vote, self._proposer, number, bytes((value,)))[0]

    def _fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self._outbox.fault(node, kind, f"epoch {self._epoch} agreement {self._proposer} {detail}")
