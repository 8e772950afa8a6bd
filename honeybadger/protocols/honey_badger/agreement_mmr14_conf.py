"""Binary agreement of Mostefaoui, Moumen and Raynal with CONF: the default, "mmr14-conf".

Guarantee. All correct nodes decide the same bit (agreement); it was the input of a correct one (validity); they
all decide with probability 1 if messages are eventually delivered, under any scheduler (termination).

Thresholds. BVAL, AUX and TERM as in `binary_agreement`. After `vals` of AUX, in rounds with a coin:
  3. CONF(vals). Wait for CONF from N-f senders with sets inside bin_values; the candidate
     set is the UNION of those sets. Only then release the coin share. Without a coin the candidate is `vals`.
  4. With coin s: candidate {b} gives est = b, and a decision if b = s; candidate {0, 1} gives est = s.

Why the union. Without step 3 (MMR14, and the Honey Badger paper) a scheduler that learns the coin early keeps the
nodes split forever. With step 3 but deciding from one's own AUX set the same schedule still works. The CONF
quorums fix the candidate before the first correct node reveals the coin; tests/protocols run the attack
against all three rules.

Source: MacBrough, "Cobalt" (2018), section 3, for CONF; the rest as in `binary_agreement`. Departure from the Honey
Badger paper, which has no step 3.
"""

from honeybadger.protocols.honey_badger.binary_agreement import BOTH, BinaryAgreement, Round
from honeybadger.protocols.honey_badger.messages import Conf, Vote
from honeybadger.protocols.honey_badger.rounds_ahead import CONF


class Mmr14Conf(BinaryAgreement):
    """The coin is released when N-f CONFs have fixed the candidate."""

    def resume(self, vote: Vote, number: int, value: bytes) -> None:
        if vote is Vote.CONF:
            self._send_conf(number, value[0])
        else:
            super().resume(vote, number, value)

    def handle_conf(self, sender: int, message: Conf) -> None:
        """One slot per sender and round."""
        self._handle_once(sender, message.round, CONF, message.values)

    def _send_conf(self, number: int, values: int) -> None:
        self._record(number).conf_sent = True
        values = self._once(Vote.CONF, number, values)
        self._outbox.broadcast(Conf(self._epoch, self._proposer, number, values))

    def _step(self) -> bool:
        number = self.round
        votes = self._vote(number)
        if not votes.vals:
            return False
        if not self._has_coin(number):
            votes.candidate = votes.vals
            self._finish_round(votes, self._fixed_coin(number))
            return True
        if not votes.conf_sent:
            self._send_conf(number, votes.vals)
        if not votes.candidate:
            votes.candidate = self._accepted_conf(votes)
            if not votes.candidate:
                return False
        if self._coin is None or not self._coin.released:
            self._toss(number)
        return False

    def _accepted_conf(self, votes: Round) -> int:
        """The union of CONF sets from N-f senders with sets inside bin_values, or 0 if there are too few."""
        terminated = self._standing[0] | self._standing[1]
        senders, values = 0, 0
        for subset in (1, 2, BOTH):
            if subset & ~votes.bin_values == 0:
                mine = votes.conf[subset] & ~terminated
                if subset != BOTH:
                    mine |= self._standing[subset >> 1]
                if mine:
                    senders |= mine
                    values |= subset
        return values if senders.bit_count() >= self._quorums.quorum else 0
