"""What a node must not forget and what belongs to no entry: the highest term it knows, for whom it voted in it, and
whose log it has."""

from honeybadger.protocols.context import VoteJournal
from honeybadger.protocols.replicated_log.log import Record


class Promise:
    """`term`, and `vote`: for which node, None if for none yet. `followed`: the highest term whose leader's log this
    node has had as a whole (VR's last normal view, Zab's current epoch; Raft needs none). `recovered`: the highest
    epoch for which this node had lost its journal, and has come back by what others know.

    In the journal it stands under an epoch that is ahead of all that may be forgotten, and is written again further on
    before that is reached (`keep`)."""

    def __init__(self, journal: VoteJournal, committed: int, reach: int) -> None:
        """`reach`: how many epochs ahead it is written."""
        self._journal = journal
        self._reach = reach
        self._at = committed + reach
        self.term = self.followed = self.recovered = 0
        self.vote: int | None = None
        votes: dict[int, int] = {}
        for epoch in journal.epochs():
            for record, _, term, value in journal.votes(epoch):
                if record == Record.TERM:
                    self.term = max(self.term, term)
                elif record == Record.VOTE:
                    votes[term] = int.from_bytes(value, "big")
                elif record == Record.FOLLOWED:
                    self.followed = max(self.followed, term)
                elif record == Record.RECOVERED:
                    self.recovered = max(self.recovered, term)
        self.vote = votes.get(self.term)

    def enter(self, term: int, vote: int | None = None) -> None:
        """A higher term, or a vote in the present one; on disk before anything leaves."""
        self.term, self.vote = term, vote
        self._write()

    def follow(self, term: int) -> None:
        """This node has the whole log of the leader of `term`, which is the highest."""
        self.followed = term
        self._write()

    def recover(self, through: int) -> None:
        """What was lost with the journal, up to the epoch `through`, does not matter any more."""
        self.recovered = through
        self._write()

    def keep(self, committed: int) -> None:
        """Entries up to `committed` may be forgotten soon."""
        if committed > self._at - self._reach // 2:
            self._at = committed + self._reach
            self._write()

    def _write(self) -> None:
        self._journal.remember(self._at, Record.TERM, 0, self.term, b"")
        if self.vote is not None:
            self._journal.remember(self._at, Record.VOTE, 0, self.term, self.vote.to_bytes(2, "big"))
        if self.followed:
            self._journal.remember(self._at, Record.FOLLOWED, 0, self.followed, b"")
        if self.recovered:
            self._journal.remember(self._at, Record.RECOVERED, 0, self.recovered, b"")
