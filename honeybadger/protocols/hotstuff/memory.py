"""What a node must not forget: its last vote, its lock, the views it gave up, its highest certificates.

All of it is on disk before a vote or a time-out leaves. It belongs to no height, so it is written under an epoch ahead
of all that may be pruned, and again further on before that is reached. A block that this node votes for is written
under its height: if all nodes crash, f+1 correct ones still have each certified block.
"""

from enum import IntEnum

import msgspec

from honeybadger.protocols.context import VoteJournal
from honeybadger.protocols.hotstuff.messages import (
    BEGINNING,
    NO_TIMEOUT,
    NO_VOTE,
    Block,
    Quorum,
    Record,
    SignedVote,
    TimedOut,
)


class Vote(IntEnum):
    """Kinds of journal records. The round is a view."""

    BLOCK = 41
    VOTE = 42
    TIMEOUT = 43


class _State(Record, frozen=True):
    vote: SignedVote
    lock: int
    stopped: int
    high: Quorum
    timed_out: TimedOut


_encode = msgspec.msgpack.Encoder().encode
_state = msgspec.msgpack.Decoder(_State).decode
_block = msgspec.msgpack.Decoder(Block).decode


class Memory:
    """`vote`: the last; `lock`: a view, see `protocol`; `stopped`: no vote in views up to this one; `high`,
    `timed_out`: the highest certificates; `blocks`: what was voted for before a restart."""

    def __init__(self, journal: VoteJournal, committed: int, reach: int, *, lost: bool) -> None:
        """`reach`: how many epochs ahead the state is written. `lost`: an earlier journal was lost."""
        self._journal = journal
        self._reach = reach
        #: nothing is written yet: `keep` does it at once
        self._at = committed
        self.vote = NO_VOTE
        self.lock = self.stopped = 0
        self.high = BEGINNING
        self.timed_out = NO_TIMEOUT
        self.blocks: list[Block] = []
        for epoch in journal.epochs():
            for kind, _, _, value in journal.votes(epoch):
                if kind == Vote.BLOCK:
                    self.blocks.append(_block(value))
                else:
                    self._take(_state(value))
        #: no vote and no time-out may leave; a vote in the journal is one after the loss
        self.silent = lost and not self.vote.view

    @property
    def view(self) -> int:
        """The present one: that before it is known to be over."""
        return max(self.high.view, self.timed_out.view) + 1

    def cast(self, vote: SignedVote, block: Block, lock: int) -> bool:
        """`vote` for `block` is about to leave; False if an earlier life voted for another one."""
        encoded = _encode(block)
        if self._journal.remember(block.height, Vote.BLOCK, 0, block.view, encoded) != encoded:
            return False
        self.vote, self.lock = vote, lock
        self._write(Vote.VOTE, vote.view)
        return True

    def stop(self, view: int) -> None:
        """A time-out of `view` is about to leave."""
        self.stopped = max(self.stopped, view)
        self._write(Vote.TIMEOUT, view)

    def keep(self, committed: int) -> None:
        """Epochs up to `committed` may be forgotten soon."""
        if committed > self._at - self._reach // 2:
            self._at = committed + self._reach
            self._write(Vote.TIMEOUT, self.stopped)

    def _write(self, kind: Vote, view: int) -> None:
        state = _State(self.vote, self.lock, self.stopped, self.high, self.timed_out)
        self._journal.remember(self._at, kind, 0, view, _encode(state))

    def _take(self, state: _State) -> None:
        self.vote = max(self.vote, state.vote, key=lambda vote: vote.view)
        self.lock = max(self.lock, state.lock)
        self.stopped = max(self.stopped, state.stopped)
        self.high = max(self.high, state.high, key=lambda high: high.view)
        self.timed_out = max(self.timed_out, state.timed_out, key=lambda timed_out: timed_out.view)
