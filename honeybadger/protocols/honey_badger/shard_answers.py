"""Answers to WANT: this node's shard of a broadcast, from the vote journal.

A node that voted by hash owes its shard to those who ask. The journal has it until the epoch is settled, so an answer
needs neither the broadcast nor the epoch: it comes as well when the broadcast has delivered or was aborted, when the
epoch is committed here, and after a restart.

Each requester gets an answer once per broadcast, and only for the root that this node voted for; so a flood of WANTs
costs at most what a full ECHO to everybody costs. Holders have sent their shard to all already, and nobody
correct asks them. What was answered before a restart may be answered again: the link that carried it is new, too.
"""

from collections import defaultdict

from crypto.merkle import DIGEST_LENGTH
from honeybadger.protocols.context import Outbox, VoteJournal
from honeybadger.protocols.honey_badger.messages import Echo, Vote, Want
from honeybadger.protocols.honey_badger.places import is_holder
from honeybadger.protocols.quorums import Quorums


class ShardAnswers:
    """All answers of node `me`. Holds nothing but who was answered in the epochs that the journal has."""

    def __init__(self, me: int, quorums: Quorums, journal: VoteJournal, outbox: Outbox) -> None:
        self._me = me
        self._quorums = quorums
        self._journal = journal
        self._outbox = outbox
        #: epoch → (requester, proposer) of the answers given
        self._answered: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)

    def handle_want(self, requester: int, want: Want) -> None:
        """Send the shard if it is owed; a WANT that comes before the vote, or for another root, is void."""
        if is_holder(self._me, want.proposer, self._quorums):
            return
        sent = self._journal.recall(want.epoch, Vote.ECHO, want.proposer, 0)
        shard = self._journal.recall(want.epoch, Vote.SHARD, want.proposer, 0)
        if sent is None or shard is None or sent[:DIGEST_LENGTH] != want.root:
            return
        # Only what the journal has gets here, so this cannot grow beyond its epochs.
        answered = self._answered[want.epoch]
        if (requester, want.proposer) not in answered:
            answered.add((requester, want.proposer))
            self._outbox.send(requester, Echo(want.epoch, want.proposer, want.root, sent[DIGEST_LENGTH:], shard))

    def forget(self, epoch: int) -> None:
        """Epochs up to this one are settled."""
        for number in [number for number in self._answered if number <= epoch]:
            del self._answered[number]
