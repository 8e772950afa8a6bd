"""One replica on a bench: what it sends is collected, what others would say is made with their real keys."""

import random

import msgspec

from honeybadger.protocols.batching.batch import batch_digest, encode_batch
from honeybadger.protocols.context import Context, NoJournal
from honeybadger.protocols.pbft import SPECIFICATION
from honeybadger.protocols.pbft.certificates import (
    GENESIS,
    Group,
    checkpoint_statement,
    choose,
    new_view_statement,
    pre_prepare_statement,
    prepare_statement,
    view_change_statement,
)
from honeybadger.protocols.pbft.messages import (
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PreparedProof,
    PrePrepare,
    Proposal,
    StableProof,
    ViewChange,
)
from honeybadger.protocols.pbft.parameters import PBFTParameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import SimulatedApplication, SimulatedCluster, dealt_keys, dealt_signing_keys
from support.driven import Driven

CHAIN = b"simulated chain".ljust(32, b".")


def settings(**changes):
    """Checkpoints every 4 numbers, so L = 8."""
    base = {"batch_size": 8, "pipeline_depth": 2, "epoch_window": 4, "max_proposal_bytes": 1 << 17, "view_timeout_s": 1}
    return PBFTParameters(**{**base, **changes})


class Replica(Driven):
    """Replica `me` of N."""

    def __init__(self, me=1, nodes=4, journal=None, application=None, first_epoch=1, silent_through=0, **changes):
        self.me, self.nodes = me, nodes
        self.begin()
        self.application = application or SimulatedApplication(8, random.Random(me))
        quorums = Quorums(nodes, (nodes - 1) // 3)
        self.keys, self.secrets = dealt_signing_keys(nodes)
        public, secret = dealt_keys(nodes, quorums.faults)
        self.context = Context(
            me=me,
            parameters=settings(**changes),
            quorums=quorums,
            chain_id=CHAIN,
            public_keys=public,
            secret_keys=secret[me],
            outbox=self,
            application=self.application,
            randbytes=random.Random(0).randbytes,
            first_epoch=first_epoch,
            silent_through=silent_through,
            journal=journal or NoJournal(),
            timers=self,
            signing_keys=self.keys,
            signing_key=self.secrets[me],
        )
        self.group = Group(self.context)
        self.protocol = SPECIFICATION.build(self.context)

    def lose_patience(self):
        for _ in range(2):
            self.expire("request")

    def skip_to(self, epoch):
        self.protocol.skip_to(epoch)
        self._loop()

    def said(self, kind, **fields):
        """What it has sent of a kind, with these fields."""
        found = [message for _, message in self.sent if isinstance(message, kind)]
        return [m for m in found if all(getattr(m, name) == value for name, value in fields.items())]

    @property
    def executed(self):
        return self.application.blocks

    # -- what others say

    def sign(self, node, statement):
        return self.secrets[node].sign(CHAIN + statement)

    def batch(self, proposer, *transactions):
        return encode_batch(proposer, list(transactions) or [b"tx"])

    def pre_prepare(self, number, view=0, batch=None, signer=None):
        primary = view % self.nodes
        batch = batch or self.batch(primary, b"tx %d" % number)
        digest = batch_digest(batch)
        signature = self.sign(primary if signer is None else signer, pre_prepare_statement(view, number, digest))
        return PrePrepare(number, view, digest, signature, batch)

    def prepare(self, node, proposal, view=None, digest=None):
        view = proposal.view if view is None else view
        digest = digest or proposal.digest
        return Prepare(proposal.epoch, view, digest, self.sign(node, prepare_statement(view, proposal.epoch, digest)))

    def commit(self, proposal):
        return Commit(proposal.epoch, proposal.view, proposal.digest)

    def proof(self, proposal, nodes=None):
        primary = proposal.view % self.nodes
        backups = [n for n in range(self.nodes) if n != primary][: self.group.quorum - 1] if nodes is None else nodes
        votes = [(node, self.prepare(node, proposal).signature) for node in backups]
        return PreparedProof(proposal.epoch, proposal.view, proposal.digest, proposal.signature, votes)

    def checkpoint(self, node, number, digest=b"d" * 32):
        return Checkpoint(0, number, digest, self.sign(node, checkpoint_statement(number, digest)))

    def stable(self, number, nodes=(0, 1, 2), digest=b"d" * 32):
        return StableProof(number, digest, [(n, self.checkpoint(n, number, digest).signature) for n in nodes])

    def view_change(self, node, view, proofs=(), stable=GENESIS):
        unsigned = ViewChange(0, view, stable, list(proofs), bytes(64))
        return msgspec.structs.replace(unsigned, signature=self.sign(node, view_change_statement(unsigned)))

    def new_view(self, view, changes, prescribed=None, signer=None):
        """From (node → VIEW-CHANGE); `prescribed`: (number, digest) instead of what follows from them."""
        primary = view % self.nodes
        if prescribed is None:
            _, prescribed = choose(changes.values())
        proposals = [Proposal(n, d, self.sign(primary, pre_prepare_statement(view, n, d))) for n, d in prescribed]
        unsigned = NewView(0, view, sorted(changes.items()), proposals, bytes(64))
        signature = self.sign(primary if signer is None else signer, new_view_statement(unsigned))
        return msgspec.structs.replace(unsigned, signature=signature)

    def order(self, number, view=0, batch=None):
        """The whole normal case of one number, as this backup hears it."""
        primary = view % self.nodes
        proposal = self.pre_prepare(number, view, batch)
        self.hear(primary, proposal)
        for node in range(self.nodes):
            if node not in (primary, self.me):
                self.hear(node, self.prepare(node, proposal))
        for node in range(self.nodes):
            if node != self.me:
                self.hear(node, self.commit(proposal))
        return proposal


def cluster(nodes, seed=1, **how):
    """A simulated PBFT cluster."""
    how.setdefault("parameters", settings())
    return SimulatedCluster(nodes, seed, specification=SPECIFICATION, **how)


def give(made, each, prefix=b"tx"):
    """Give every correct node `each` transactions of its own; returns them all."""
    given = []
    for me in made.correct:
        mine = [b"%s %d of %d" % (prefix, k, me) for k in range(each)]
        made.submit(me, mine)
        given += mine
    return given
