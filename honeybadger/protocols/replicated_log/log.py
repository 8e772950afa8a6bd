"""A node's log: entries that are not forgotten yet, in memory and in the vote journal.

An entry of a number and a term is always the same one. Under a new leader another entry may take its place, and all
after it are gone. The journal only adds, so each record says under which leader its entry was accepted: going up the
log these terms never sink, and where they do, a later leader had cut the log off.
"""

from enum import IntEnum
from typing import NamedTuple

from honeybadger.protocols.context import VoteJournal

_TERM_BYTES = 8


class Record(IntEnum):
    """Kinds of journal records. The round is the term of the leader."""

    ENTRY = 31
    TERM = 32
    VOTE = 33
    ADOPTED = 34
    CUT = 35
    FOLLOWED = 36
    RECOVERED = 37


class Entry(NamedTuple):
    """`term`: in which it was first proposed; `batch`: b"" for none."""

    term: int
    batch: bytes


class Log:
    """Entries up to `base` are in blocks; those after it are here, without a gap, up to `last`."""

    def __init__(self, journal: VoteJournal, base: int) -> None:
        """Take up what the journal has after `base`."""
        self._journal = journal
        self.base = self.last = base
        #: terms and batches by number; of entries up to the base only as many as are kept for others
        self._entries: dict[int, Entry] = {0: Entry(0, b"")}
        #: the term of the last entry that this node knew when blocks took its place
        self._replaced_term = 0
        accepted_in = 0
        for number in range(base, max(journal.epochs(), default=base) + 1):
            votes = list(journal.votes(number))
            records = [(term, value) for vote, _, term, value in votes if vote == Record.ENTRY]
            term, value = max(records, default=(-1, b""))
            accepted_in = max([accepted_in, *(term for vote, _, term, _ in votes if vote == Record.CUT)])
            if number > base and term < accepted_in:
                break
            adopted = [int.from_bytes(value, "big") for vote, _, _, value in votes if vote == Record.ADOPTED]
            if number == base and adopted:
                self._replaced_term = adopted[0]
            if records and not adopted:
                accepted_in = term
                self._entries[number] = Entry(int.from_bytes(value[:_TERM_BYTES], "big"), value[_TERM_BYTES:])
                self.last = number

    def entry(self, number: int) -> Entry | None:
        return self._entries.get(number)

    def term_at(self, number: int) -> int | None:
        """The term of an entry; None if it is not here, or its block came from another node's ledger."""
        entry = self._entries.get(number)
        return None if entry is None else entry.term

    @property
    def last_term(self) -> int:
        """Of the last entry; 0 if that is a block whose term this node never knew."""
        return self.term_at(self.last) or 0

    @property
    def promised_term(self) -> int:
        """Who wants to lead must have a last entry of this term or a later one, or it lacks what this node has promised
        to keep. For a block from another node's ledger it is the term of what was here before: this node may have
        helped to commit that very block."""
        term = self.term_at(self.last)
        return self._replaced_term if term is None else term

    def put(self, number: int, entry: Entry, leader_term: int) -> None:
        """`entry` of the leader of `leader_term` comes at `number`, and nothing after it; written before the tick ends.

        ValueError for a number that is not between the base and the one after the last.
        """
        if not self.base < number <= self.last + 1:
            raise ValueError(f"entry {number} does not fit a log from {self.base} to {self.last}")
        value = entry.term.to_bytes(_TERM_BYTES, "big") + entry.batch
        self._journal.remember(number, Record.ENTRY, 0, leader_term, value)
        for later in range(number, self.last + 1):
            del self._entries[later]
        self._entries[number] = entry
        self.last = number

    def cut(self, number: int, leader_term: int) -> None:
        """The log of the leader of `leader_term` began without what was accepted after `number` under others."""
        self._journal.remember(number + 1, Record.CUT, 0, leader_term, b"")
        for later in range(number + 1, self.last + 1):
            del self._entries[later]
        self.last = number

    def first_of_term(self, number: int) -> int:
        """The lowest entry after the base from which on all up to `number` have the same term."""
        term = self.term_at(number)
        while number - 1 > self.base and self.term_at(number - 1) == term:
            number -= 1
        return number

    def move_base(self, base: int, keep: int) -> None:
        """Entries up to `base` are committed; the newest `keep` of them stay for nodes that lack them."""
        self.base = base
        self.last = max(self.last, base)
        for number in [number for number in self._entries if number <= base - keep]:
            del self._entries[number]

    def skip(self, base: int, leader_term: int) -> None:
        """Blocks up to `base` came from another node's ledger. What is here at those numbers may be something else, so
        it must not be shown to anybody; what comes after them this node has promised to keep. If that is nothing, then
        nothing that was cut off before the present `leader_term` comes back with a restart."""
        self._replaced_term = self.promised_term
        self._journal.remember(base, Record.ADOPTED, 0, 0, self._replaced_term.to_bytes(_TERM_BYTES, "big"))
        for number in [number for number in self._entries if number <= base]:
            del self._entries[number]
        self.base = base
        if self.last <= base:
            self.last = base
            self.cut(base, leader_term)

    def held_bytes(self) -> dict[int, int]:
        return {number: len(entry.batch) for number, entry in self._entries.items()}
