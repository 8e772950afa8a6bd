"""Protocol variants with one rule taken away. The attacks in these tests must succeed against them."""

from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement, _Round
from honeybadger.protocols.honey_badger.messages import BVal


class WithoutConf(BinaryAgreement):
    """MMR14, as in the Honey Badger paper: the coin is released after AUX."""

    def _step(self) -> bool:
        self._rounds.setdefault(self.round, _Round()).conf_sent = True
        return super()._step()

    def _accepted_conf(self, votes: _Round) -> int:
        return votes.vals


class OwnSetAfterConf(BinaryAgreement):
    """Waits for N-f CONF, then decides from its own AUX set."""

    def _accepted_conf(self, votes: _Round) -> int:
        return votes.vals if super()._accepted_conf(votes) else 0


class DeafAfterTerm(BinaryAgreement):
    """Ignores everything once it has decided."""

    def handle_bval(self, sender: int, message: BVal) -> None:
        if self.decision is None:
            super().handle_bval(sender, message)


class ForgetsOldRounds(BinaryAgreement):
    """Drops BVALs of rounds it has left."""

    def handle_bval(self, sender: int, message: BVal) -> None:
        if message.round >= self.round:
            super().handle_bval(sender, message)
