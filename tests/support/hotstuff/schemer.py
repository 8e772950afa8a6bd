"""A liar that knows HotStuff: it votes for everything, hides certificates, and lets branches compete."""

import random

from honeybadger.protocols.batching.batch import encode_batch
from honeybadger.protocols.hotstuff.certificates import Members, block_digest, timeout_statement, vote_statement
from honeybadger.protocols.hotstuff.messages import (
    BEGINNING,
    NO_TIMEOUT,
    Ancestor,
    Block,
    Certificates,
    Fetch,
    Proposal,
    Quorum,
    SignedVote,
    TimedOut,
    Timeout,
    Vote,
)
from honeybadger.simulation.cluster import Strategy


class Schemer(Strategy):
    """Of every quorum certificate it holds, it shows each node what it likes."""

    def __init__(self, seed):
        self._rng = random.Random(f"schemer {seed}")
        #: how often it answers a time-out with one of its own, and shows a certificate
        self._eager = self._rng.choice([0.3, 0.7, 1.0])
        self.own_transactions = [b"scheme %d of %d" % (k, seed) for k in range(400)]
        self._left = list(self.own_transactions)

    def start(self, node):
        self._members = Members(node.context)
        self._nodes = node.context.quorums.nodes
        self._quorums = {0: BEGINNING}
        self._timed_out = {}
        self._votes, self._timeouts, self._blocks, self._led = {}, {}, {}, set()

    def receive(self, node, sender, message):
        match message:
            case Proposal():
                self._saw(message.justify, message.timed_out)
                self._blocks[block_digest(message.block)] = message.block
                self._vote(node, message.block)
            case Vote():
                self._count(sender, message.vote)
            case Timeout():
                self._saw(message.high, message.timed_out)
                self._count(sender, message.vote)
                self._timeout(node, sender, message)
            case Certificates():
                self._saw(message.high, message.timed_out)
            case Fetch() if message.block in self._blocks:
                node.outbox.send(sender, Ancestor(0, self._blocks[message.block]))
        self._lead(node)

    def _saw(self, quorum, timed_out):
        self._quorums.setdefault(quorum.view, quorum)
        self._timed_out.setdefault(timed_out.view, timed_out)

    def _signed(self, view, height, digest):
        return SignedVote(view, height, digest, self._members.sign(vote_statement(view, height, digest)))

    def _vote(self, node, block):
        vote = self._signed(block.view, block.height, block_digest(block))
        self._count(node.me, vote)
        node.outbox.send(self._members.leader(block.view + 1), Vote(0, vote))

    def _count(self, sender, vote):
        if not vote.view:
            return
        votes = self._votes.setdefault((vote.view, vote.height, vote.block), {})
        votes[sender] = vote.signature
        if len(votes) >= self._members.quorum:
            chosen = sorted(votes.items())[: self._members.quorum]
            self._quorums.setdefault(vote.view, Quorum(vote.view, vote.height, vote.block, chosen))

    def _timeout(self, node, sender, message):
        """With a time-out of its own, of the lowest certificate, a view is over sooner."""
        view = message.view
        timeouts = self._timeouts.setdefault(view, {})
        timeouts[sender] = (message.high.view, message.signature)
        if node.me not in timeouts:
            low = self._quorums[self._rng.choice([min(self._quorums), *sorted(self._quorums)[-2:]])]
            timeouts[node.me] = (low.view, self._members.sign(timeout_statement(view, low.view)))
            for to in range(self._nodes):
                if to != node.me and self._rng.random() < self._eager:
                    vote = self._signed(0, 0, bytes(32))
                    node.outbox.send(to, Timeout(0, view, low, NO_TIMEOUT, vote, timeouts[node.me][1]))
        if len(timeouts) >= self._members.quorum and view not in self._timed_out:
            chosen = sorted(timeouts.items(), key=lambda item: (item[1][0], item[0]))[: self._members.quorum]
            self._timed_out[view] = TimedOut(view, [(n, *signed) for n, signed in sorted(chosen)])

    def _lead(self, node):
        """Blocks of its views: one or two, on certificates of its choice."""
        for view in range(max(max(self._quorums), max(self._timed_out, default=0)) + 1, 0, -1):
            if view < max(self._quorums) - 2 * self._nodes:
                return
            if self._members.leader(view) != node.me or view in self._led:
                continue
            parents = [self._quorums[view - 1]] if view - 1 in self._quorums else []
            timed_out = self._timed_out.get(view - 1)
            if timed_out is not None:
                parents += [quorum for quorum in self._quorums.values() if quorum.view < view][-4:]
            if not parents:
                continue
            self._led.add(view)
            blocks = []
            for _ in range(self._rng.choice([1, 1, 2])):
                parent = self._rng.choice(parents)
                batch = encode_batch(node.me, [self._left.pop()]) if self._left else b""
                block = Block(view, parent.height + 1, parent.view, parent.block, batch)
                self._blocks[block_digest(block)] = block
                blocks.append(Proposal(block.height, block, parent, timed_out or NO_TIMEOUT))
                self._vote(node, block)
            shown = self._rng.choice([0.4, 0.7, 1.0])
            for to in range(self._nodes):
                if to != node.me and self._rng.random() < shown:
                    node.outbox.send(to, self._rng.choice(blocks))
