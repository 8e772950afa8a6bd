"""The primary's side: which transactions go into which batch, and when."""

from __future__ import annotations

from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.protocols.pbft.requests import Pool
from honeybadger.protocols.pbft.state import State

#: bytes of a batch beside its transactions, and of each transaction (see `Mempool`)
BATCH_FRAMING = 4
FRAMING = 5
#: how many forwarded transactions are looked up to find out whether a chunk is stale
SAMPLE = 32


class Proposals:
    """See the module. `pool`: what other nodes forwarded."""

    def __init__(self, state: State, pool: Pool, normal_case: NormalCase) -> None:
        self._state = state
        self._pool = pool
        self._normal_case = normal_case
        # Proposed in an earlier life.
        self._last = max((n for n, slot in state.slots.items() if slot.digest is not None), default=0)
        #: what was proposed and is not executed; own transactions are reserved for these numbers
        self._proposed: dict[int, set[bytes]] = {}

    def propose(self) -> bool:
        """Full batches while others are in progress, and whatever there is when none is; True if there was any."""
        state, parameters = self._state, self._state.parameters
        proposed = False
        while state.leads and not state.application.busy:
            number = max(self._last, state.executed, state.low, state.prescribed) + 1
            if number > min(state.horizon, state.executed + parameters.pipeline_depth):
                break
            available = self._pool.count + state.application.transactions_waiting
            if not available or (number > state.executed + 1 and available < parameters.batch_size):
                break
            transactions = self._select(number)
            if not transactions:
                break
            self._last = number
            self._normal_case.propose(number, transactions)
            proposed = True
        return proposed

    def start_over(self) -> None:
        """Another view begins: what was proposed in this one's predecessors and is not prescribed waits again."""
        self._last = 0
        for number in self._proposed:
            self._state.application.release(number)
        self._proposed.clear()
        self._pool.keep_only(self._state.normal)

    def _select(self, number: int) -> list[bytes]:
        """A batch: each node's transactions get an equal share, and what is left goes to whoever has more. Another node
        comes first each time, since large transactions fill a batch before all have had their share."""
        state, parameters = self._state, self._state.parameters
        self._proposed = {old: known for old, known in self._proposed.items() if old > state.executed}
        count, room = parameters.batch_size, parameters.max_proposal_bytes - BATCH_FRAMING
        sources = [state.me, *self._pool.senders]
        first = number % len(sources)
        sources = sources[first:] + sources[:first]
        # A set, and yet in order.
        chosen: dict[bytes, None] = {}
        for quota in (-(-count // len(sources)), count):
            for source in sources:
                wanted = min(quota, count - len(chosen))
                if source == state.me:
                    taken = state.application.reserve(number, wanted, room) if wanted else []
                else:
                    taken = self._fresh(self._pool.take(source, wanted, room - FRAMING, FRAMING))
                room -= sum(map(len, taken)) + FRAMING * len(taken)
                chosen.update(dict.fromkeys(taken))
        self._proposed[number] = set(chosen)
        return list(chosen)

    def _fresh(self, transactions: list[bytes]) -> list[bytes]:
        """Those that are neither proposed nor executed: several nodes may forward the same ones, and after a change of
        views every node forwards again what was on its way.

        Usually none is executed, and to find that of each would be a tenth of a primary's work; so only a sample is
        looked up first. What slips through costs room in a batch: the ledger takes nothing twice.
        """
        committed = self._state.application.committed
        for known in self._proposed.values():
            if not known.isdisjoint(transactions):
                transactions = [transaction for transaction in transactions if transaction not in known]
        if committed(transactions[:: 1 + len(transactions) // SAMPLE]):
            known = committed(transactions)
            transactions = [transaction for transaction in transactions if transaction not in known]
        return transactions
