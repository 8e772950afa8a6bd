"""Binary agreement of Mostefaoui, Moumen and Raynal as the Honey Badger paper has it, "mmr14". FLAWED: it can be
stalled.

Guarantee. Agreement and validity, as the default. NOT termination: a scheduler with one faulty node learns the coin
from the first correct shares while another node has no `vals` yet, and makes those the opposite of the coin, round
after round (`honeybadger.simulation.coin_attack`). For study only: real nodes refuse it without --allow-flawed.

Thresholds. BVAL, AUX and TERM as in `binary_agreement`. `vals` of AUX is the candidate, and the coin's share is
released at once. With coin s: candidate {b} gives est = b, and a decision if b = s; candidate {0, 1} gives est = s.

Source: Mostefaoui, Moumen, Raynal (PODC 2014); Miller et al. (CCS 2016), section 4.4 and appendix C. The flaw:
MacBrough, in amiller/HoneyBadgerBFT issue 59; Tholoniat and Gramoli, arXiv:1909.07453. Departures: TERM in place of
waiting for a second coin, and the coin schedule.
"""

from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement


class Mmr14(BinaryAgreement):
    """The coin is released as soon as N-f AUXs are in."""

    def _step(self) -> bool:
        number = self.round
        votes = self._vote(number)
        if not votes.vals:
            return False
        votes.candidate = votes.vals
        if not self._has_coin(number):
            self._finish_round(votes, self._fixed_coin(number))
            return True
        self._toss(number)
        return False
