"""What clients and nodes say to each other, over ZeroMQ: DEALER at the client, ROUTER at the node.

A client submits many transactions in one message and hears, in as many messages as it takes, what became of each:
committed (and durable on the answering node) at a height, or refused with a reason. Transactions are named by their
position in the request. Any client may connect; with CURVE the client knows that it talks to the node it means.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

RequestNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: bytes of one request, at the most
LONGEST_REQUEST = 16 * 1024 * 1024
#: transactions in one request, at the most: what a node can take in without a pause in consensus
MOST_TRANSACTIONS = 10_000


class Submit(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Client → node: put these transactions into the ledger."""

    request: RequestNumber
    transactions: Annotated[list[bytes], Meta(max_length=MOST_TRANSACTIONS)]


class StatusRequest(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Client → node: how are you?"""

    request: RequestNumber


class Committed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Node → client: the transactions at `positions` are durable here, in the block at `height`.

    `durable_ns`: when they became durable, on the node's monotonic clock; 0 for a transaction that already was in
    the ledger.
    """

    request: int
    height: int
    durable_ns: int
    positions: list[int]


class Refused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """Node → client: the transactions at `positions` were not taken: "full", "too long" or "empty"."""

    request: int
    reason: str
    positions: list[int]


class Status(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Node → client: plain data for people."""

    request: int
    status: dict[str, Any]


Request = Submit | StatusRequest
Reply = Committed | Refused | Status

encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)
