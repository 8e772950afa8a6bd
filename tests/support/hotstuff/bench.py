"""One node of HotStuff on a bench: what others would say is made with their real keys."""

import random

from honeybadger.protocols.batching.batch import encode_batch
from honeybadger.protocols.context import Context
from honeybadger.protocols.hotstuff import SPECIFICATION
from honeybadger.protocols.hotstuff.certificates import block_digest, timeout_statement, vote_statement
from honeybadger.protocols.hotstuff.messages import (
    BEGINNING,
    NO_TIMEOUT,
    NO_VOTE,
    Block,
    Proposal,
    Quorum,
    SignedVote,
    TimedOut,
    Timeout,
)
from honeybadger.protocols.quorums import BYZANTINE
from honeybadger.simulation.cluster import SimulatedApplication, dealt_keys, dealt_signing_keys
from honeybadger.simulation.journals import JournalModel
from support.crash_faults.lone import Lone

CHAIN = b"simulated chain".ljust(32, b".")


class Bench(Lone):
    """Node `me` of N, which leads views me, me + N, …; see `Lone`."""

    def __init__(self, me=3, nodes=4, silent_through=0, **changes):
        self.me, self.nodes, self.silent_through = me, nodes, silent_through
        self.keys, self.secrets = dealt_signing_keys(nodes)
        base = {"batch_size": 4, "epoch_window": 4, "max_proposal_bytes": 1 << 17}
        self.parameters = SPECIFICATION.parameters(**{**base, **changes})
        self.quorums = BYZANTINE.quorums(nodes, (nodes - 1) // 3)
        self.journal = JournalModel()
        self.application = SimulatedApplication(4, random.Random(me))
        self.restart()

    def restart(self, first_epoch=1):
        self.sent, self.faults, self.timers, self._queue = [], [], {}, []
        self.journal.crash()
        del self.application.blocks[first_epoch - 1 :]
        public, secret = dealt_keys(self.nodes, self.quorums.faults)
        self.protocol = SPECIFICATION.build(
            Context(
                me=self.me,
                parameters=self.parameters,
                quorums=self.quorums,
                chain_id=CHAIN,
                public_keys=public,
                secret_keys=secret[self.me],
                outbox=self,
                application=self.application,
                randbytes=random.Random(0).randbytes,
                first_epoch=first_epoch,
                silent_through=self.silent_through,
                journal=self.journal,
                timers=self,
                signing_keys=self.keys,
                signing_key=self.secrets[self.me],
            )
        )
        self.poke()

    def send(self, node, message):
        self.sent.append((node, message))
        if node == self.me:
            self._queue.append(message)

    # -- what others say

    def sign(self, node, statement):
        return self.secrets[node].sign(CHAIN + statement)

    def vote(self, node, block):
        digest = block_digest(block)
        signature = self.sign(node, vote_statement(block.view, block.height, digest))
        return SignedVote(block.view, block.height, digest, signature)

    def quorum(self, block, nodes=None):
        nodes = range(self.quorums.quorum) if nodes is None else nodes
        votes = [(node, self.vote(node, block).signature) for node in nodes]
        return Quorum(block.view, block.height, block_digest(block), votes)

    def timed_out(self, view, high=0, nodes=None):
        nodes = range(self.quorums.quorum) if nodes is None else nodes
        return TimedOut(view, [(node, high, self.sign(node, timeout_statement(view, high))) for node in nodes])

    def timeout(self, node, view, high=BEGINNING, timed_out=NO_TIMEOUT, vote=NO_VOTE):
        return Timeout(0, view, high, timed_out, vote, self.sign(node, timeout_statement(view, high.view)))

    def proposal(self, view, parent=None, transactions=(), timed_out=None):
        """Of the leader of `view`, on top of `parent`, a `Proposal`, or of the beginning. A TC comes with it if it
        needs one."""
        justify = self.quorum(parent.block) if parent is not None else BEGINNING
        batch = encode_batch(view % self.nodes, list(transactions)) if transactions else b""
        block = Block(view, justify.height + 1, justify.view, justify.block, batch)
        if timed_out is None:
            timed_out = NO_TIMEOUT if justify.view == view - 1 else self.timed_out(view - 1, justify.view)
        return Proposal(block.height, block, justify, timed_out)

    def chain(self, *views, parent=None):
        """Proposals of these views, each on top of the one before; the first one has a transaction."""
        made = []
        for view in views:
            parent = self.proposal(view, parent, [] if made else [b"tx %d" % view])
            made.append(parent)
        return made

    def propose(self, *proposals):
        for proposal in proposals:
            self.hear(proposal.block.view % self.nodes, proposal)
