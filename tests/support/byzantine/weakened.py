"""Protocol variants with one rule taken away. The attacks in these tests must succeed against them."""

from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import Round
from honeybadger.protocols.honey_badger.messages import BVal


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
