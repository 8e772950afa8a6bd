"""A vote journal in memory that loses, at a crash, exactly what was not synced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from honeybadger.protocols.base import NoJournal, VoteJournal

#: epoch, vote, proposer, round
Slot = tuple[int, int, int, int]


class RestartableJournal(VoteJournal, Protocol):
    """What a restartable node asks of its journal, beyond `VoteJournal`."""

    @property
    def silent_through(self) -> int:
        """The highest epoch in which the node must send nothing."""

    def reserve(self, epoch: int) -> None:
        """Something of `epoch` is about to be sent."""

    def sync(self) -> None:
        """Make what was remembered durable."""

    def prune(self, epoch: int) -> None:
        """Epochs up to this one are not needed any more."""

    def crash(self) -> None:
        """The node dies: what was not synced is gone."""

    def reopen(self, first_epoch: int) -> None:
        """The node starts again with `first_epoch`."""


class JournalModel:
    """See the module. `lose` and `silent_through` model a journal that was lost."""

    def __init__(self) -> None:
        self._slots: dict[Slot, bytes] = {}
        self._fresh: dict[Slot, bytes] = {}
        self._reserved = 0
        self.silent_through = 0

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        """See `VoteJournal`."""
        slot = (epoch, vote, proposer, round_number)
        known = self._slots.get(slot)
        if known is None:
            known = self._slots[slot] = self._fresh[slot] = value
        return known

    def recall(self, epoch: int, vote: int, proposer: int, round_number: int) -> bytes | None:
        """See `VoteJournal`."""
        return self._slots.get((epoch, vote, proposer, round_number))

    def epochs(self) -> Iterable[int]:
        """See `VoteJournal`."""
        return sorted({slot[0] for slot in self._slots})

    def votes(self, epoch: int) -> Iterable[tuple[int, int, int, bytes]]:
        """See `VoteJournal`."""
        return sorted((*slot[1:], value) for slot, value in self._slots.items() if slot[0] == epoch)

    def reserve(self, epoch: int) -> None:
        """Moves the bound of epochs in which something may have been sent."""
        self._reserved = max(self._reserved, epoch)

    def sync(self) -> None:
        """What was remembered survives a crash from now on."""
        self._fresh.clear()

    def prune(self, epoch: int) -> None:
        """Forget epochs up to this one."""
        for slots in (self._slots, self._fresh):
            for slot in [slot for slot in slots if slot[0] <= epoch]:
                del slots[slot]

    def crash(self) -> None:
        """What was not synced is gone."""
        for slot in self._fresh:
            self._slots.pop(slot, None)
        self._fresh.clear()

    def lose(self, margin: int = 0) -> None:
        """All votes are gone, though not the bound: silence through it, and `margin` epochs beyond."""
        self._slots.clear()
        self._fresh.clear()
        self.silent_through = self._reserved + margin

    def reopen(self, first_epoch: int) -> None:
        """Epochs before `first_epoch` are not needed any more."""
        self.prune(first_epoch - 1)


class PinsOnly(JournalModel):
    """Keeps a node from contradicting itself, but does not let it send its votes again: for tests of why it must."""

    def epochs(self) -> Iterable[int]:
        """See `VoteJournal`."""
        return ()

    def votes(self, epoch: int) -> Iterable[tuple[int, int, int, bytes]]:
        """See `VoteJournal`."""
        return ()


class Forgetful(NoJournal):
    """Remembers nothing: for tests that show what goes wrong then."""

    silent_through = 0

    def reserve(self, epoch: int) -> None:
        """See `RestartableJournal`."""

    def sync(self) -> None:
        """See `RestartableJournal`."""

    def prune(self, epoch: int) -> None:
        """See `RestartableJournal`."""

    def crash(self) -> None:
        """See `RestartableJournal`."""

    def reopen(self, first_epoch: int) -> None:
        """See `RestartableJournal`."""
