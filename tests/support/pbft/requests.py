"""Requests on their way to a primary, written with lists."""

from collections.abc import Iterable

from honeybadger.protocols.pbft.messages import Forward, Relay
from honeybadger.transactions import Transactions


def forward(view: int, transactions: Iterable[bytes]) -> Forward:
    return Forward(0, view, Transactions.of(transactions).encode())


def relay(transactions: Iterable[bytes]) -> Relay:
    return Relay(0, Transactions.of(transactions).encode())
