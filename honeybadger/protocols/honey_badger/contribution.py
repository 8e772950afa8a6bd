"""Proposals as bytes: a node's transactions in the encoding of `honeybadger.transactions`, parsed strictly.

Parsing is a deterministic function of the bytes and the consensus parameters, so every correct node maps a
malformed proposal to the same outcome: the empty contribution.
"""

from collections.abc import Sequence

from honeybadger.protocols.parameters import Parameters
from honeybadger.transactions import Transactions


def encode_contribution(transactions: Sequence[bytes]) -> bytes:
    """The proposal of these transactions."""
    return Transactions.of(transactions).encode()


def decode_contribution(data: bytes, parameters: Parameters, nodes: int) -> Transactions | None:
    """The transactions, which share the memory of `data`, or None if anything is wrong with them.

    Wrong are: too long a proposal, bytes that do not parse, trailing bytes, more than ⌊B/N⌋ transactions, an empty or
    oversized transaction.
    """
    if len(data) > parameters.max_proposal_bytes:
        return None
    try:
        transactions = Transactions.decode(data)
    except ValueError:
        return None
    if len(transactions) > parameters.transactions_per_node(nodes):
        return None
    return transactions if transactions.within(1, parameters.max_tx_bytes) else None
