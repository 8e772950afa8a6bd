"""Hands over to the application what is committed, in order of sequence numbers and without gaps."""

from __future__ import annotations

from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.statements import NULL, decode_batch


class Execution:
    """See the module."""

    def __init__(self, state: State) -> None:
        self._state = state

    def run(self) -> list[list[bytes]] | None:
        """Execute what can be; returns the batches' transactions, or None if no number could be executed."""
        state = self._state
        batches: list[list[bytes]] | None = None
        while (slot := state.slots.get(state.executed + 1)) is not None and slot.committed:
            batches = batches or []
            contributions: list[tuple[int, list[bytes]]] = []
            if slot.decided is not None and slot.decided != NULL:
                content = slot.content or decode_batch(slot.batches[slot.decided], state.parameters, state.group.nodes)
                if content is None:
                    raise RuntimeError(f"batch {slot.number} was committed, but is malformed")
                contributions.append(content)
                batches.append(content[1])
            slot.content = None
            state.executed += 1
            state.application.commit(state.executed, contributions)
            state.observe(state.executed, "committed")
        return batches
