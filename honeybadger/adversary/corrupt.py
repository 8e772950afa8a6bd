"""A faulty node's protocol object: an honest one in the hands of an adversary."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.outbox import FilteredOutbox
from honeybadger.protocols.base import ConsensusProtocol, Context, HeldBytes
from honeybadger.protocols.messages import Message


class CorruptProtocol:
    """Implements `ConsensusProtocol` with an honest object (from `build`) that speaks through an adversary.

    `make(context)` builds the adversary, which sends through `context.outbox` what it likes. Everything else that
    the node says, about blocks for instance, should go through `outbox`, so that the adversary can change it too.
    `clock()`: seconds, never going back.
    """

    def __init__(
        self,
        context: Context,
        build: Callable[[Context], ConsensusProtocol],
        make: Callable[[Context], Adversary],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.adversary = make(context)
        self.outbox = FilteredOutbox(context.outbox, context.quorums.nodes, self.adversary.change)
        self._honest = self.adversary.honest = build(replace(context, outbox=self.outbox))

    @property
    def epoch(self) -> int:
        """See `ConsensusProtocol`."""
        return self._honest.epoch

    @property
    def horizon(self) -> int:
        """See `ConsensusProtocol`."""
        return self._honest.horizon

    @property
    def leader(self) -> int | None:
        """See `ConsensusProtocol`."""
        return self._honest.leader

    def handle(self, sender: int, message: Message) -> None:
        """See `ConsensusProtocol`."""
        self.adversary.witness(sender, message)
        self._honest.handle(sender, message)

    def poke(self) -> None:
        """See `ConsensusProtocol`; a turn for the adversary as well."""
        self.adversary.tick(self._clock())
        self._honest.poke()

    def skip_to(self, epoch: int) -> None:
        """See `ConsensusProtocol`."""
        self._honest.skip_to(epoch)

    def timeout(self, name: str) -> None:
        """See `ConsensusProtocol`."""
        self._honest.timeout(name)

    @property
    def settled(self) -> int:
        """See `ConsensusProtocol`."""
        return self._honest.settled

    def held_bytes(self) -> HeldBytes:
        """See `ConsensusProtocol`."""
        return self._honest.held_bytes()

    def status(self) -> dict[str, Any]:
        """See `ConsensusProtocol`; names the adversary."""
        return {**self._honest.status(), "adversary": type(self.adversary).__name__}
