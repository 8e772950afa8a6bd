"""The normal case. The leader sends each entry once to everybody; who has it on disk says so; what a majority has is
committed, and the leader tells that with its next entry, or at once.

Links deliver in order and lose nothing between two incarnations of two nodes, so the leader sends an entry again only
to a node that says it lacks it. Entries that it no longer has come from the ledgers (`honeybadger.node.catch_up`).

A node's own copy counts like any other: nothing leaves a tick before its journal is on disk.
"""

from collections.abc import Callable

from honeybadger.protocols.batching.batch import decode_batch
from honeybadger.protocols.context import Context
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.replicated_log.log import Entry, Log
from honeybadger.protocols.replicated_log.messages import Accepted, Append, Commit, Heartbeat, LogFault, Rejected
from honeybadger.transactions import Transactions


class Replication:
    """One node's part in it, under one leader at a time.

    `counts(number, entry)`: whether the leader may commit an entry, and all before it, because a majority has it.
    `silent_through`: no leader may count on this node for entries up to this one.
    """

    def __init__(
        self,
        context: Context,
        log: Log,
        counts: Callable[[int, Entry], bool] = lambda number, entry: True,
        silent_through: int = 0,
    ) -> None:
        self._context = context
        self._outbox = context.outbox
        self._counts = counts
        self._silent_through = silent_through
        self.log = log
        #: under whom entries are accepted, and its number; None: under nobody
        self.leader: int | None = None
        self.term = 0
        #: entries up to this one were handed over as blocks; and what the leader says may be
        self.committed = log.base
        self._may_commit = log.base
        #: at a follower: the highest entry that is known to be the leader's, as all before it
        self.matched = log.base
        #: whether the leader may count on it
        self._answers = True
        #: at the leader: the same of every node
        self._matches: dict[int, int] = {}
        #: to whom what was sent again since the last heartbeat: node → the entry it asked for
        self._sent_again: dict[int, int] = {}

    @property
    def leads(self) -> bool:
        return self.leader == self._context.me

    @property
    def horizon(self) -> int:
        """A leader may have to add an entry before what is in progress can be committed, however much that is."""
        return max(self.committed + self._context.parameters.epoch_window, self.log.last + 1)

    # -- the leader ----------------------------------------------------------------------------------------

    def lead(self, term: int) -> None:
        """From now on this node is the leader of `term`."""
        self.leader, self.term = self._context.me, term
        self._matches = {self._context.me: self.log.last}
        self._sent_again.clear()

    def propose(self, batch: bytes) -> None:
        """The next entry."""
        number = self.log.last + 1
        self._context.observe(number, "proposed")
        self.log.put(number, Entry(self.term, batch), self.term)
        self._matches[self._context.me] = number
        self._outbox.broadcast(self._append(number, Entry(self.term, batch), self.term))
        self._count()

    def beat(self) -> None:
        """Tell everybody that the leader is there, and what it has."""
        self._sent_again.clear()
        self._outbox.broadcast(Heartbeat(0, self.term, self.log.last, self.log.last_term, self.committed))

    def accepted(self, sender: int, message: Accepted) -> None:
        if message.number <= self.log.last:
            self._matches[sender] = max(message.number, self._matches.get(sender, 0))
            self._count()

    def rejected(self, sender: int, message: Rejected) -> None:
        """Send what a node lacks, as far as it is here; as a leader not again and again what is on its way."""
        first = message.number + 1
        if self.leads and self._sent_again.get(sender) == first:
            return
        self._sent_again[sender] = first
        for number in range(first, self.log.last + 1):
            if (entry := self.log.entry(number)) is None:
                # Older ones are in the ledgers, and later ones are of no use without them.
                return
            self._outbox.send(sender, self._append(number, entry, message.term))

    def _append(self, number: int, entry: Entry, term: int) -> Append:
        # A block that came from another ledger has no term here: 0, which is no entry's.
        previous = self.log.term_at(number - 1) or 0
        return Append(number, term, previous, entry.term, self.committed, entry.batch)

    def _count(self) -> None:
        """Commit what a majority has."""
        have = sorted(self._matches.values(), reverse=True)
        quorum = self._context.quorums.quorum
        number = have[quorum - 1] if len(have) >= quorum else 0
        entry = self.log.entry(number)
        if number > self.committed and entry is not None and self._counts(number, entry):
            self._commit(number)
            self._outbox.broadcast(Commit(0, self.term, self.committed))

    # -- a follower ----------------------------------------------------------------------------------------

    def follow(self, leader: int | None, term: int, *, answers: bool = True) -> None:
        """From now on this node copies the log of `leader`; None: of nobody. Without `answers` it only asks for what it
        lacks, until `answer`."""
        if (leader, term) != (self.leader, self.term):
            self.leader, self.term = leader, term
            self.matched = self.committed
            self._may_commit = self.committed
        self._answers = answers

    def answer(self) -> None:
        """From now on the leader may count on what is the same here."""
        self._answers = True
        self._match(self.matched)

    def append(self, sender: int, message: Append) -> None:
        """An entry of the leader that this node follows."""
        number = message.epoch
        if number > self.horizon:
            self._outbox.fault(sender, FaultKind.FUTURE_EPOCH, str(number))
            return
        if number > self.committed:
            if not self._fits(number - 1, message.previous_term):
                self._reject(number - 1)
                return
            # Only on a conflict is anything cut off: this may be a late copy, and what comes after it may be newer.
            if self.log.term_at(number) != message.entry_term:
                if message.batch and self._decode(message.batch) is None:
                    self._outbox.fault(sender, LogFault.BAD_BATCH, str(number))
                    return
                self._context.observe(number, "proposed")
                # A leader that keeps to the protocol never contradicts what it said itself.
                self.matched = min(self.matched, number - 1)
                self.log.put(number, Entry(message.entry_term, message.batch), message.term)
            self._match(number)
        self._hear_of(message.committed)

    def heartbeat(self, message: Heartbeat) -> None:
        """The leader says what its last entry is."""
        if self._fits(message.last, message.last_term):
            self._match(message.last)
        else:
            self._reject(message.last)
        self._hear_of(message.committed)

    def commit(self, message: Commit) -> None:
        self._hear_of(message.number)

    def skip_to(self, number: int) -> None:
        """Blocks before `number` came from other ledgers."""
        self.log.skip(number - 1, self.term)
        self.committed = number - 1
        if self.leads:
            self._matches[self._context.me] = self.log.last
        elif self.leader is not None:
            self._match(self.committed)

    def _fits(self, number: int, term: int) -> bool:
        """Whether the leader's log and this one are the same up to `number`: so they are if the terms are, or if that
        much is committed."""
        return number <= self.committed or (number <= self.log.last and self.log.term_at(number) == term)

    def _match(self, number: int) -> None:
        """Tell the leader how far the logs are the same; not what this node may have said and lost with its journal."""
        self.matched = max(self.matched, number, self.committed)
        if self.leader is not None and self._answers and not 0 < self.matched <= self._silent_through:
            self._outbox.send(self.leader, Accepted(0, self.term, self.matched))

    def _reject(self, number: int) -> None:
        """Ask for entries from where the logs may part: those of one term are refused together."""
        number = min(number, self.log.last)
        if self.leader is not None:
            before = self.log.first_of_term(number) - 1 if number > self.committed else number
            self._outbox.send(self.leader, Rejected(0, self.term, max(before, self.committed)))

    def _hear_of(self, committed: int) -> None:
        self._may_commit = max(self._may_commit, committed)
        self._commit(min(self._may_commit, self.matched))

    # -- both ----------------------------------------------------------------------------------------------

    def _commit(self, through: int) -> None:
        """Hand entries over as blocks, in order."""
        context = self._context
        while self.committed < through:
            number = self.committed + 1
            entry = self.log.entry(number)
            if entry is None:
                raise RuntimeError(f"entry {number} is committed and not here")
            decoded = self._decode(entry.batch) if entry.batch else None
            context.observe(number, "replicated")
            self.committed = number
            context.application.commit(number, [decoded] if decoded is not None else [])
            context.observe(number, "committed")
        self.log.move_base(self.committed, 2 * context.parameters.epoch_window)

    def _decode(self, batch: bytes) -> tuple[int, Transactions] | None:
        return decode_batch(batch, self._context.parameters, self._context.quorums.nodes)
