"""Requests of clients and answers to them, written with lists."""

from collections.abc import Iterable, Sequence
from typing import Any

from honeybadger.network.client_protocol import Committed, Refused, Submit, packed, transactions_of, unpacked
from honeybadger.transactions import Transactions


def submit(number: int, transactions: Iterable[bytes]) -> Submit:
    """A request for these transactions."""
    return Submit(number, Transactions.of(transactions).encode())


def submitted(request: Any) -> list[bytes]:
    """The transactions of a request."""
    return list(transactions_of(request))


def committed(number: int, height: int, durable_ns: int, positions: Sequence[int]) -> Committed:
    """An answer about these positions."""
    return Committed(number, height, durable_ns, packed(positions))


def refused(number: int, reason: str, positions: Sequence[int]) -> Refused:
    """An answer about these positions."""
    return Refused(number, reason, packed(positions))


def positions_of(reply: Any) -> list[int]:
    """The positions in an answer."""
    return unpacked(reply.positions).tolist()
