"""Proposals as bytes: a node's transactions, serialised canonically and parsed strictly.

Parsing is a deterministic function of the bytes and the consensus parameters, so every correct node maps a
malformed proposal to the same outcome: the empty contribution.
"""

from collections.abc import Sequence

import msgspec

from honeybadger.protocols.parameters import Parameters

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])


def encode_contribution(transactions: Sequence[bytes]) -> bytes:
    """One msgpack array of byte strings, in minimal encoding."""
    return _encoder.encode(transactions)


def decode_contribution(data: bytes, parameters: Parameters, nodes: int) -> list[bytes] | None:
    """The transactions, or None if anything is wrong with them.

    Wrong are: too long a proposal, bytes that do not parse, trailing bytes, any encoding but the canonical one,
    more than ⌊B/N⌋ transactions, an empty or oversized transaction.
    """
    if len(data) > parameters.max_proposal_bytes:
        return None
    try:
        transactions = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    if len(transactions) > parameters.transactions_per_node(nodes):
        return None
    if transactions:
        lengths = set(map(len, transactions))
        if min(lengths) < 1 or max(lengths) > parameters.max_tx_bytes:
            return None
    return transactions if _encoder.encode(transactions) == data else None
