"""Requests on their way to the primary: a backup forwards those of its own clients, and, if the primary does not order
them, relays the oldest to all nodes, who forward and watch them too."""

from __future__ import annotations

from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.pbft.messages import Forward, Relay
from honeybadger.protocols.pbft.requests import CHUNK, CHUNK_BYTES, RELAY_BYTES, RELAYED, Forwarder, Pool, Relayed
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.split import split

#: whose part of the pool relayed transactions take, at the primary: no node's
FROM_RELAYS = -1


class RequestFlow:
    """See the module. `pool`: where the primary keeps what comes."""

    def __init__(self, state: State, pool: Pool) -> None:
        self._state = state
        self._pool = pool
        self._forwarder = Forwarder(state.parameters, state.application)
        self.relayed = Relayed()

    @property
    def oldest(self) -> bytes | None:
        """What has waited longest, of the own clients or relayed; None if nothing waits."""
        return next(iter(self._forwarder.oldest() or self.relayed), None)

    def waits(self, transaction: bytes) -> bool:
        """Whether it is watched and not executed."""
        return transaction in self.relayed or bool(self._state.application.still_pending([transaction]))

    def forward(self) -> None:
        """Send what came from clients to the primary; one that may not propose only watches it."""
        if self._state.leads:
            return
        while chunk := self._forwarder.next_chunk():
            self._to_primary(chunk)

    def relay(self) -> None:
        """The primary has not ordered the oldest for a while: let everybody know."""
        if relayed := next(split(self._forwarder.oldest(RELAYED), RELAYED, RELAY_BYTES), None):
            self._state.outbox.broadcast(Relay(0, relayed))

    def forward_again(self) -> None:
        """The primary has forgotten what was forwarded to it."""
        self._forwarder.start_over()
        self.forward()

    def start_over(self) -> None:
        """Another view begins, with another primary."""
        self.forward_again()
        # Of all nodes together these may be more than a message holds.
        for part in split(self.relayed, CHUNK, CHUNK_BYTES):
            self._pass_on(part)

    def executed(self, transactions: list[bytes]) -> None:
        """These need no watching any more."""
        self.relayed.remove(transactions)

    def skipped(self) -> None:
        """Blocks were taken over from other nodes."""
        if len(self.relayed):
            self.relayed.remove(self._state.application.committed(list(self.relayed)))

    def handle_forward(self, sender: int, message: Forward) -> None:
        """As the primary: keep what a backup wants ordered."""
        state = self._state
        if sender == state.me or self._malformed(sender, message.transactions):
            return
        if message.view < state.normal or state.group.primary(message.view) != state.me:
            # The sender forwards everything again as soon as it follows the present view.
            return
        self._pool.add(sender, message.view, message.transactions)

    def handle_relay(self, sender: int, message: Relay) -> None:
        """Watch what another node's clients wait for, and let the primary know of it."""
        if sender == self._state.me or self._malformed(sender, message.transactions):
            return
        done = self._state.application.committed(message.transactions)
        new = self.relayed.add(sender, [tx for tx in message.transactions if tx not in done])
        if new:
            self._pass_on(new)

    def _pass_on(self, transactions: list[bytes]) -> None:
        if self._state.is_primary:
            self._pool.add(FROM_RELAYS, self._state.normal, transactions)
        else:
            self._to_primary(transactions)

    def _to_primary(self, transactions: list[bytes]) -> None:
        self._state.outbox.send(self._state.primary, Forward(0, self._state.normal, transactions))

    def _malformed(self, sender: int, transactions: list[bytes]) -> bool:
        lengths = set(map(len, transactions))
        if min(lengths) >= 1 and max(lengths) <= self._state.parameters.max_tx_bytes:
            return False
        self._state.outbox.fault(sender, FaultKind.BAD_REQUEST, "length of a transaction")
        return True
