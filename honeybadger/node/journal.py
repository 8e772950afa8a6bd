"""The vote journal: what this node has said and must not contradict after a restart.

A protocol asks `remember` before it sends a message that may be sent only once. The first value of a slot (epoch, vote,
proposer, round) is final; `sync` makes it durable before any frame with it leaves. A node that is
started again can therefore only repeat itself, which is what keeps a crash from costing the fault budget.

Files, in one directory, under an exclusive `flock` on `votes.lock`:

- `votes-<n>.log`, the segments: a header, then one frame per `sync` with all records of that call. Since each call
  finishes before the next begins, only the very last frame can be torn, whatever order the disk writes pages in.
  A frame header carries its own checksum and its place in the file. So a frame that is not whole is a torn tail, and
  is dropped, exactly if nothing follows it; anything else is damage.
- `reserve`, replaced atomically: whose journal this is, a bound on the epochs in which this node may have sent
  anything (kept in blocks of `RESERVE_BLOCK`), how long it must be silent, which segments there are, and how much of
  the last one is known to be durable. A segment is entered here before it takes records of its own; one that is not
  entered held none.

Opening writes what is still needed to a new segment, and only then removes the old ones. What was read may never have
reached the disk (killed between write and sync, a failed sync, another durability); after the rewrite it has.

Lost or damaged votes: nobody knows what was said, so `silent_through` is the highest epoch in which it may have been
said, and the node says nothing up to there. It is the persisted bound. If that is lost too, it is `LOST_MARGIN` epochs
after the highest epoch that the ledger or any readable record names. The assumption there: the node was less than
`LOST_MARGIN` epochs ahead of its own durable ledger. What no local rule can catch: all of the directory *and* the
ledger gone (that looks like a first start), an old copy of the directory put back, and the medium damaging the last
frame, which looks like a torn one, after it was synced.

Should the ledger go back to before what was pruned, the node is silent through the pruned epochs.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from honeybadger.ledger.block import HASH_BYTES
from honeybadger.ledger.disk import sync, sync_data, write_all
from honeybadger.ledger.store import Durability
from honeybadger.node.journal_files import (
    FORMAT,
    DamageError,
    JournalError,
    encode_record,
    frame,
    read_segment,
    segment_header,
)

#: epochs by which the bound is written ahead: one small file is replaced every that many epochs
RESERVE_BLOCK = 64
#: epochs of silence beyond the last known one, if the bound is lost as well
LOST_MARGIN = 2 * RESERVE_BLOCK
#: a segment above this takes no further frame
SEGMENT_BYTES = 64 << 20
#: a last segment above this is replaced as soon as nothing in it is needed
RECYCLE_BYTES = 16 << 20

#: vote, proposer, round
Slot = tuple[int, int, int]

_STATE_HEADER = struct.Struct(">4sBI")
_STATE_MAGIC = b"HBvr"

_encode = msgspec.msgpack.Encoder().encode


class _State(msgspec.Struct, array_like=True):
    """The contents of `reserve`. The segments that count are `first` to `last`, both included."""

    chain_id: bytes
    node: int
    reserved: int = 0
    silent_through: int = 0
    #: records of epochs up to this one may have been discarded
    pruned: int = 0
    first: int = 1
    last: int = 0
    #: bytes of the last segment that were synced when this was written
    durable: int = 0


_decode_state = msgspec.msgpack.Decoder(_State).decode


class Journal:
    """For one thread. Every trouble is a `JournalError`, after which nothing works any more.

    `silent_through` is the highest epoch in which this node must send nothing, 0 if it never lost a vote.
    """

    def __init__(
        self,
        directory: Path,
        chain_id: bytes,
        node: int,
        durability: Durability,
        first_epoch: int,
        ledger_epoch: int = 0,
        keep: int = 0,
    ) -> None:
        """Open or create that of `node`; epochs below `first_epoch` - `keep` are not needed any more, and dropped.

        `ledger_epoch`: the newest epoch in the ledger. It may be later, and proves that this is no first start.
        """
        if len(chain_id) != HASH_BYTES:
            raise JournalError(f"{directory}: a chain id has {HASH_BYTES} bytes, not {len(chain_id)}")
        self._directory = directory
        self._on_disk = durability != "memory"
        self._fsync = durability == "fsync"
        self._slots: dict[int, dict[Slot, bytes]] = {}
        #: encoded records that are not written yet, and how many
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._buffer_epoch = 0
        self._failure: str | None = None
        kept_from = max(1, first_epoch - keep)
        self._pruned = kept_from - 1
        self._ledger_epoch = max(ledger_epoch, first_epoch - 1)
        self._state = _State(chain_id, node)
        #: segment number to the highest epoch in it, ascending
        self._segments: dict[int, int] = {}
        self._file = self._lock = -1
        self._size = 0
        if not self._on_disk:
            self.silent_through = self._ledger_epoch + LOST_MARGIN if self._ledger_epoch else 0
            return
        try:
            self._open(first_epoch, kept_from)
        except BaseException as error:
            self._release()
            if isinstance(error, OSError):
                raise JournalError(f"{directory}: cannot open the vote journal ({error})") from None
            raise
        self.silent_through = self._state.silent_through

    def remember(self, epoch: int, vote: int, proposer: int, round_number: int, value: bytes) -> bytes:
        """Return what to send: `value`, or what this slot already holds. Call `sync` before it leaves.

        A slot of a pruned epoch is written for the record but not kept: a protocol that still serves such an epoch
        remembers its own votes, and no restarted node takes part in it.
        """
        if self._failure is not None:
            raise JournalError(self._failure)
        if epoch > self._pruned:
            slots = self._slots.get(epoch)
            if slots is None:
                slots = self._slots[epoch] = {}
            slot = (vote, proposer, round_number)
            known = slots.get(slot)
            if known is not None:
                return known
            slots[slot] = value
        if self._on_disk:
            self._buffer += encode_record((epoch, vote, proposer, round_number, value))
            self._buffered += 1
            if epoch > self._buffer_epoch:
                self._buffer_epoch = epoch
        return value

    def recall(self, epoch: int, vote: int, proposer: int, round_number: int) -> bytes | None:
        if self._failure is not None:
            raise JournalError(self._failure)
        slots = self._slots.get(epoch)
        return None if slots is None else slots.get((vote, proposer, round_number))

    def epochs(self) -> list[int]:
        """The epochs in which anything is remembered, ascending."""
        return sorted(self._slots)

    def votes(self, epoch: int) -> list[tuple[int, int, int, bytes]]:
        """All that is remembered of an epoch, ascending: (vote, proposer, round, value)."""
        return sorted((*slot, value) for slot, value in self._slots.get(epoch, {}).items())

    @property
    def unsynced(self) -> bool:
        """Whether something is to be written before it may be said."""
        return bool(self._buffer)

    def sync(self) -> None:
        """Make everything remembered as durable as asked for, in one write."""
        if not self._buffer and self._failure is None:
            # As after most ticks.
            return
        with self._working():
            if self._buffer_epoch > self._state.reserved:
                self._reserve(self._buffer_epoch)
            if self._size > SEGMENT_BYTES:
                self._start_segment(self._state.first, ())
            self._size = write_all(self._file, frame(self._size, self._buffered, self._buffer), self._size)
            if self._fsync:
                sync_data(self._file)
        if self._buffer_epoch > self._segments[self._state.last]:
            self._segments[self._state.last] = self._buffer_epoch
        self._buffer.clear()
        self._buffered = 0
        self._buffer_epoch = 0

    def reserve(self, epoch: int) -> None:
        """Call before anything of `epoch` is sent, journalled or not: moves the persisted bound if it is too low."""
        if epoch <= self._state.reserved and self._failure is None:
            return
        with self._working():
            self._reserve(epoch)

    def prune(self, durable_epoch: int) -> None:
        """Forget epochs up to this one, which are in the ledger for good, and remove segments with nothing newer."""
        state = self._state
        with self._working():
            if durable_epoch <= self._pruned:
                return
            self._pruned = durable_epoch
            for epoch in [epoch for epoch in self._slots if epoch <= durable_epoch]:
                del self._slots[epoch]
            if not self._on_disk:
                return
            if self._size > RECYCLE_BYTES and not self._buffer and self._segments[state.last] <= durable_epoch:
                self._start_segment(state.first, ())
            old = []
            while state.first < state.last and self._segments[state.first] <= durable_epoch:
                if self._buffer:
                    # What replaces the old records must be on disk before they go.
                    self.sync()
                old.append(state.first)
                state.pruned = max(state.pruned, self._segments.pop(state.first))
                state.first += 1
            if old:
                self._save_state()
            for number in old:
                self._path(number).unlink()

    def close(self) -> None:
        """Sync, unless the journal has failed, and release everything; calling it again does nothing."""
        try:
            if self._failure is None:
                self.sync()
        finally:
            if self._failure is None:
                self._failure = f"{self._directory}: the vote journal is closed"
            self._release()

    def _open(self, first_epoch: int, kept_from: int) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(parents=True)
            self._sync_directory(self._directory.parent)
        self._lock = os.open(self._directory / "votes.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self._directory}: another process is using this vote journal") from None
        present = self._present()
        try:
            state = self._read_state()
            if state is None:
                if present or self._ledger_epoch:
                    raise DamageError
                self._save_state()
            else:
                self._state = state
                for number in range(state.first, state.last + 1):
                    self._load(number, kept_from)
                if first_epoch <= state.pruned:
                    state.silent_through = max(state.silent_through, state.pruned)
        except DamageError:
            self._start_over(present)
        self._state.pruned = max(self._state.pruned, kept_from - 1)
        self._start_segment(self._state.last + 1, self._slots.items())
        for number in present:
            if number < self._state.first:
                self._path(number).unlink()

    def _load(self, number: int, first_epoch: int) -> None:
        """Take the records of one segment; raises `DamageError`."""
        try:
            found = read_segment(self._path(number), self._state.chain_id, number)
        except FileNotFoundError:
            raise DamageError from None
        last = number == self._state.last
        if found.damaged or (found.torn and not last) or (last and found.good < self._state.durable):
            raise DamageError
        for epoch, vote, proposer, round_number, value in found.records:
            if epoch >= first_epoch:
                self._slots.setdefault(epoch, {}).setdefault((vote, proposer, round_number), value)

    def _start_over(self, present: list[int]) -> None:
        """Nothing read is of use: the node is silent in all epochs in which it may have voted."""
        self._slots.clear()
        state = self._state
        if state.last or state.reserved:
            bound = state.reserved
        else:
            highest = self._ledger_epoch
            for number in present:
                for record in read_segment(self._path(number), state.chain_id, number).records:
                    highest = max(highest, record[0])
            bound = highest + LOST_MARGIN
        state.silent_through = max(state.silent_through, bound)
        state.reserved = max(state.reserved, state.silent_through)
        state.last = max([state.last, *present])
        state.first = state.last + 1
        state.durable = 0
        self._save_state()

    def _start_segment(self, first: int, epochs: Iterable[tuple[int, dict[Slot, bytes]]]) -> None:
        """Create the next segment with the records of `epochs`; from then on `first` is the first that counts."""
        number = self._state.last + 1
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._file = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._size = write_all(self._file, [segment_header(self._state.chain_id, number)], 0)
        newest = 0
        for epoch, slots in epochs:
            records = [part for slot, value in slots.items() for part in encode_record((epoch, *slot, value))]
            self._size = write_all(self._file, frame(self._size, len(slots), records), self._size)
            newest = max(newest, epoch)
        if self._fsync:
            os.fsync(self._file)
        self._sync_directory(self._directory)
        self._segments[number] = newest
        self._state.first, self._state.last = first, number
        self._save_state()

    def _reserve(self, epoch: int) -> None:
        self._state.reserved = epoch + RESERVE_BLOCK - 1
        if self._on_disk:
            self._save_state()

    def _save_state(self) -> None:
        """Replace `reserve`. All that was written to the last segment has been synced when this is called."""
        self._state.durable = self._size
        payload = _encode(self._state)
        checksum = zlib.crc32(payload, FORMAT)
        temporary = self._directory / "reserve.new"
        with temporary.open("wb") as file:
            file.write(_STATE_HEADER.pack(_STATE_MAGIC, FORMAT, checksum) + payload)
            file.flush()
            if self._fsync:
                os.fsync(file.fileno())
        temporary.replace(self._directory / "reserve")
        self._sync_directory(self._directory)

    def _read_state(self) -> _State | None:
        """The contents of `reserve`, `None` if there is none; raises `DamageError`."""
        path = self._directory / "reserve"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if len(content) < _STATE_HEADER.size:
            raise DamageError
        magic, version, checksum = _STATE_HEADER.unpack_from(content)
        payload = content[_STATE_HEADER.size :]
        if magic != _STATE_MAGIC or checksum != zlib.crc32(payload, version):
            raise DamageError
        if version != FORMAT:
            raise JournalError(f"{path}: vote journal of format {version}, this program reads {FORMAT}")
        try:
            state = _decode_state(payload)
        except msgspec.MsgspecError:
            raise DamageError from None
        if state.chain_id != self._state.chain_id:
            raise JournalError(f"{path}: this vote journal belongs to another chain")
        if state.node != self._state.node:
            # With it this node could contradict what it said itself.
            raise JournalError(
                f"{path}: this vote journal belongs to node {state.node}, not to node {self._state.node}"
            )
        return state

    def _present(self) -> list[int]:
        names = [path.stem.removeprefix("votes-") for path in self._directory.glob("votes-*.log")]
        return sorted(int(name) for name in names if name.isdecimal())

    def _path(self, number: int) -> Path:
        return self._directory / f"votes-{number}.log"

    def _sync_directory(self, path: Path) -> None:
        if self._fsync:
            sync(path)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """After any error in here nothing works: what is on disk is unknown."""
        if self._failure is not None:
            raise JournalError(self._failure)
        try:
            yield
        except BaseException as error:
            self._failure = f"{self._directory}: the vote journal cannot be written ({error or type(error).__name__})"
            if isinstance(error, OSError):
                raise JournalError(self._failure) from None
            raise

    def _release(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1
