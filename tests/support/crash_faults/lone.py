"""One node of a protocol on a bench: what it sends is collected, and what others say is up to the test."""

import random

from honeybadger.protocols.batching.batch import encode_batch
from honeybadger.protocols.context import Context
from honeybadger.simulation.cluster import SimulatedApplication, dealt_keys
from honeybadger.simulation.journals import JournalModel
from support.driven import Driven


def batch(*transactions, proposer=0):
    return encode_batch(proposer, list(transactions))


class Lone(Driven):
    """Node `me` of N. A tick ends with a sync; `restart` loses what was not synced, as a crash does."""

    def __init__(self, specification, me=1, nodes=3, silent_through=0, seed=0, **changes):
        self.specification, self.me, self.nodes, self.seed = specification, me, nodes, seed
        self.silent_through = silent_through
        self.parameters = specification.parameters(
            **{"batch_size": 4, "epoch_window": 4, "max_proposal_bytes": 1 << 17, **changes}
        )
        self.quorums = specification.fault_model.quorums(nodes, specification.fault_model.largest_faults(nodes))
        self.journal = JournalModel()
        self.application = SimulatedApplication(4, random.Random(me))
        self.restart()

    def restart(self, first_epoch=1):
        """A new life, from the journal and the application's blocks before `first_epoch`."""
        self.begin()
        self.journal.crash()
        del self.application.blocks[first_epoch - 1 :]
        public, secret = dealt_keys(self.nodes, self.quorums.faults)
        self.protocol = self.specification.build(
            Context(
                me=self.me,
                parameters=self.parameters,
                quorums=self.quorums,
                chain_id=b"simulated chain".ljust(32, b"."),
                public_keys=public,
                secret_keys=secret[self.me],
                outbox=self,
                application=self.application,
                randbytes=random.Random(self.seed).randbytes,
                first_epoch=first_epoch,
                silent_through=self.silent_through,
                journal=self.journal,
                timers=self,
            )
        )
        self.poke()

    def end_of_tick(self):
        self.journal.sync()

    # -- what came of it

    def said(self, kind):
        """All (recipient, message) of a kind since the last look."""
        found = [item for item in self.sent if isinstance(item[1], kind)]
        self.sent = [item for item in self.sent if not isinstance(item[1], kind)]
        return found

    @property
    def committed(self):
        return [transactions for _, _, transactions in self.application.blocks]
