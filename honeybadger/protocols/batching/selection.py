"""Fills the leader's batches, from its own clients' transactions and from those that other nodes forwarded."""

import numpy as np

from honeybadger.fingerprinted import Fingerprinted
from honeybadger.protocols.batching.batch import PROPOSER_BYTES
from honeybadger.protocols.batching.pool import Pool
from honeybadger.protocols.context import Context
from honeybadger.transactions import COUNT_BYTES, EMPTY, FingerprintKey, Transactions

#: how many forwarded transactions are looked up to find out whether a chunk is stale
SAMPLE = 32


class Selection:
    """Batches of one leader. `pool`: what other nodes forwarded.

    Own transactions stay reserved, in the application, for the number of the batch they are in.
    """

    def __init__(self, context: Context, pool: Pool) -> None:
        self._me = context.me
        self._parameters = context.parameters
        self._application = context.application
        self._pool = pool
        #: by number: what was selected and is not executed
        self._selected: dict[int, Fingerprinted] = {}
        self._key = FingerprintKey(context.randbytes(16))

    @property
    def available(self) -> int:
        """How many transactions wait to be selected."""
        return self._pool.count + self._application.transactions_waiting

    def select(self, number: int, executed: int) -> Transactions:
        """Batch `number`, where those up to `executed` are in blocks: each node's transactions get an equal share, and
        those who have more get what is left. Another node comes first each time, since large transactions fill a batch
        before all have had their share."""
        parameters = self._parameters
        self._selected = {old: known for old, known in self._selected.items() if old > executed}
        count, room = parameters.batch_size, parameters.max_proposal_bytes - PROPOSER_BYTES
        sources = [self._me, *self._pool.senders]
        first = number % len(sources)
        sources = sources[first:] + sources[:first]
        chosen: list[Transactions] = []
        for quota in (-(-count // len(sources)), count):
            for source in sources:
                wanted = min(quota, count - sum(map(len, chosen)))
                if not wanted:
                    taken = EMPTY
                elif source == self._me:
                    taken = self._application.reserve(number, wanted, room)
                else:
                    taken = self._fresh(self._pool.take(source, wanted, room))
                room -= taken.encoded_bytes - COUNT_BYTES
                chosen.append(taken)
        batch = Fingerprinted.of(Transactions.concat(chosen), self._key)
        if (once := batch.first_equal()) is not None:
            batch = batch.take(np.flatnonzero(once == np.arange(len(once))))
        self._selected[number] = batch
        return batch.transactions

    def start_over(self) -> None:
        """Nothing that was selected counts any more: own transactions that are in no block wait again."""
        for number in self._selected:
            self._application.release(number)
        self._selected.clear()

    def _fresh(self, transactions: Transactions) -> Transactions:
        """Those that are neither selected nor executed: several nodes may forward the same ones, and to a new leader
        every node forwards again what was on its way.

        Usually none is executed, and to find that of each would be a tenth of a leader's work; so only a sample is
        looked up first. What slips through costs room in a batch: the ledger takes nothing twice.
        """
        if not len(transactions):
            return EMPTY
        asked = Fingerprinted.of(transactions, self._key)
        known = np.zeros(len(asked), bool)
        for selected in self._selected.values():
            known |= asked.among(selected)
        committed = self._application.committed
        if committed(transactions[:: 1 + len(transactions) // SAMPLE]).any():
            known |= committed(transactions)
        return transactions.take(np.flatnonzero(~known)) if known.any() else transactions
