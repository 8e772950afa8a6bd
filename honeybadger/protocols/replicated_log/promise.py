"""What a node must not forget and what belongs to no entry: the highest term it knows, and for whom it voted in it."""

from honeybadger.protocols.context import VoteJournal
from honeybadger.protocols.replicated_log.log import Record


class Promise:
    """`term`, and `vote`: for which node, None if for none yet. In the journal it stands under an epoch that is ahead
    of all that may be forgotten, and is written again further on before that is reached (`keep`)."""

    def __init__(self, journal: VoteJournal, committed: int, reach: int) -> None:
        """`reach`: how many epochs ahead it is written."""
        self._journal = journal
        self._reach = reach
        self._at = committed + reach
        self.term = 0
        self.vote: int | None = None
        votes: dict[int, int] = {}
        for epoch in journal.epochs():
            for record, _, term, value in journal.votes(epoch):
                if record == Record.TERM:
                    self.term = max(self.term, term)
                elif record == Record.VOTE:
                    votes[term] = int.from_bytes(value, "big")
        self.vote = votes.get(self.term)

    def enter(self, term: int, vote: int | None = None) -> None:
        """A higher term, or a vote in the present one; on disk before anything leaves."""
        self.term, self.vote = term, vote
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
