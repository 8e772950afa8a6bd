"""A vote journal in memory that loses, at a crash, exactly what was not synced."""

from collections.abc import Iterable

#: vote, proposer, round
Slot = tuple[int, int, int]


class JournalModel:
    """A `VoteJournal`, and what a restartable node asks of it in addition.

    The node must send nothing in epochs up to `silent_through`: above 0 only after `lose`.
    """

    def __init__(self) -> None:
        #: by epoch
        self._slots: dict[int, dict[Slot, bytes]] = {}
        #: what was not synced
        self._fresh: set[tuple[int, Slot]] = set()
        self._reserved = 0
        self.silent_through = 0

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        slots, slot = self._slots.setdefault(epoch, {}), (vote, proposer, round_number)
        if slot not in slots:
            slots[slot] = value
            self._fresh.add((epoch, slot))
        return slots[slot]

    def recall(self, epoch: int, vote: int, proposer: int, round_number: int) -> bytes | None:
        return self._slots.get(epoch, {}).get((vote, proposer, round_number))

    def epochs(self) -> Iterable[int]:
        return sorted(self._slots)

    def votes(self, epoch: int) -> Iterable[tuple[int, int, int, bytes]]:
        return sorted((*slot, value) for slot, value in self._slots.get(epoch, {}).items())

    def reserve(self, epoch: int) -> None:
        """Something of `epoch` is about to be sent."""
        self._reserved = max(self._reserved, epoch)

    @property
    def unsynced(self) -> bool:
        """Whether anything was remembered since the last `sync`."""
        return bool(self._fresh)

    def sync(self) -> None:
        """What was remembered survives a crash from now on."""
        self._fresh.clear()

    def prune(self, epoch: int) -> None:
        """Forget epochs up to this one. As in a real journal, what replaces them is durable before they go."""
        kept = {number: slots for number, slots in self._slots.items() if number > epoch}
        if len(kept) < len(self._slots):
            self.sync()
        self._slots = kept

    def crash(self) -> None:
        """What was not synced is gone."""
        for epoch, slot in self._fresh:
            slots = self._slots.get(epoch, {})
            slots.pop(slot, None)
            if not slots:
                self._slots.pop(epoch, None)
        self._fresh.clear()

    def lose(self, margin: int = 0) -> None:
        """All votes are gone, though not the bound: silence through it, and `margin` epochs beyond."""
        self._slots.clear()
        self._fresh.clear()
        self.silent_through = self._reserved + margin

    def reopen(self, first_epoch: int) -> None:
        """The node starts again with `first_epoch`."""
        self.prune(first_epoch - 1)
