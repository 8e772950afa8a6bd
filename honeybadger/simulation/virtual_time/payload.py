"""Payload that is charged, not carried: one transaction that nodes really handle stands for a bundle of others.

Carried transactions are short. Whatever is counted or priced by transaction counts `bundle` times, and what goes by
byte of payload (prices, links, ledger) goes by the bytes that all transactions of the bundle would have. What is not
payload (headers, hashes, shares of keys, votes) is what it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from crypto.erasure import ReedSolomon
from crypto.suite import Suite
from honeybadger.protocols.parameters import P
from honeybadger.protocols.wire import Message
from honeybadger.transactions import COUNT_BYTES, END_BYTES

#: shortest carried transaction: unique in any run
SHORTEST = 32
#: a full proposal carries at least so many bytes, so that a ciphertext's header and the padding of shards, which are
#: charged as payload, weigh little
LEAST_PROPOSAL = 8192


class BarelyPadded(ReedSolomon):
    """The same code with shorter padding, for shards that are charged many times."""

    unit = 8


@dataclass(frozen=True)
class Payload:
    """One carried transaction of `carried` bytes stands for `bundle` transactions of `tx_bytes` bytes on average.

    By default it stands for itself, and everything is charged as it is.
    """

    bundle: int = 1
    tx_bytes: int = 1
    carried: int = 1

    @staticmethod
    def of(bundle: int, tx_bytes: int, proposal: int) -> "Payload":
        """For proposals of at most `proposal` carried transactions."""
        if bundle == 1:
            return CARRIED_AS_IT_IS
        carried = max(SHORTEST, LEAST_PROPOSAL // proposal)
        return Payload(bundle, tx_bytes, min(carried, bundle * tx_bytes))

    def transactions(self, count: int) -> int:
        """How many transactions `count` carried ones stand for."""
        return count * self.bundle

    def transaction_bytes(self, size: int) -> int:
        """How many bytes of transactions `size` carried ones stand for."""
        return size * self.bundle * self.tx_bytes // self.carried

    def encoded(self, size: int) -> float:
        """The same of transactions in the encoding of `honeybadger.transactions`, or of shards of them."""
        return size * self.bundle * (self.tx_bytes + END_BYTES) / (self.carried + END_BYTES)

    def size(self, size: int, messages: Iterable[Message]) -> int:
        """Bytes that an entry of `size` bytes with these messages is charged with."""
        if self.bundle == 1:
            return size
        payload = sum(message.payload for message in messages)
        return size + round(self.encoded(payload)) - payload

    def suite(self, suite: Suite) -> Suite:
        """What nodes use in place of `suite`."""
        return suite if self.bundle == 1 else replace(suite, code=BarelyPadded)

    def parameters(self, parameters: P) -> P:
        """Those of nodes that carry what is charged as `parameters` say."""
        if self.bundle == 1:
            return parameters
        longest = parameters.max_proposal_bytes - COUNT_BYTES
        proposal = longest * (self.carried + END_BYTES) // (self.bundle * (self.tx_bytes + END_BYTES))
        return msgspec.structs.replace(
            parameters,
            batch_size=parameters.batch_size // self.bundle,
            max_tx_bytes=self.carried,
            max_proposal_bytes=max(proposal + COUNT_BYTES, self.carried + 16),
        )

    def mempool(self, transactions: int, size: int) -> tuple[int, int]:
        """Limits of a mempool: carried transactions, carried bytes."""
        return transactions // self.bundle, size * self.carried // (self.bundle * self.tx_bytes)


CARRIED_AS_IT_IS = Payload()
