"""Moves the log along: signs checkpoints, and forgets numbers below a stable one.

A node signs the checkpoint of n once block n is on its DISK: 2f+1 of those mean that f+1 correct nodes can serve the
block, so nobody needs the messages up to n any more, even if all nodes die. What a replica misses below the others' low
water mark it takes over as certified blocks (`ConsensusProtocol.skip_to`).
"""

from __future__ import annotations

from honeybadger.protocols.pbft.messages import Checkpoint
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.statements import checkpoint_statement


class WaterMarks:
    """See the module."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._signed = 0

    def sign(self) -> None:
        """Sign the newest checkpoint whose block is on disk."""
        state = self._state
        number = state.application.durable_epoch
        number -= number % state.group.checkpoint_interval
        if number <= max(self._signed, state.low, state.context.silent_through):
            return
        message = self._checkpoint(number)
        if message is not None:
            self._signed = number
            state.outbox.broadcast(message)

    def newest_above(self, number: int) -> Checkpoint | None:
        """This node's newest checkpoint, if it is of a higher number."""
        return self._checkpoint(self._signed) if number < self._signed else None

    def advance(self) -> bool:
        """Move the low water mark if a stable checkpoint allows it; True if it moved."""
        state = self._state
        if not state.checkpoints.advance(state.executed):
            return False
        for number in [number for number in state.slots if number <= state.low]:
            del state.slots[number]
        state.records.forget(state.low)
        state.pin()
        return True

    def _checkpoint(self, number: int) -> Checkpoint | None:
        state = self._state
        digest = state.application.state_digest(number)
        if digest is None:
            return None
        statement = checkpoint_statement(state.group.chain_id, number, digest)
        return Checkpoint(0, number, digest, state.group.sign(statement))
