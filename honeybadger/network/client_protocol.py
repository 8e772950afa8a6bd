"""What clients and nodes say to each other, over ZeroMQ: DEALER at the client, ROUTER at the node.

A client submits many transactions in one message and hears, in as many messages as it takes, what became of each:
committed (and durable on the answering node) at a height, or refused with a reason. Transactions are named by their
position in the request. Both travel in columns, because a node handles tens of thousands at a time. Any client may
connect; with CURVE the client knows that it talks to the node it means. The ledger is public: anybody may ask where a
transaction is, and for blocks, a part at a time.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from honeybadger.transactions import Index, Transactions

RequestNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: most bytes of one request
LONGEST_REQUEST = 16 * 1024 * 1024
#: most transactions in one request: more would make consensus pause
MOST_TRANSACTIONS = 10_000
#: transactions and bytes that clients put into one request, so that answers come soon; a longer transaction is alone
REQUEST_TRANSACTIONS = 1000
REQUEST_BYTES = 4 * 1024 * 1024
#: most bytes of a block's body in one reply
BLOCK_PART_BYTES = 512 * 1024
#: most bytes of a reply to a block query, with room to spare
LONGEST_BLOCK_REPLY = 2 * 1024 * 1024
#: bytes of a reply about transactions, of which a request has `REQUEST_TRANSACTIONS`; and of a status
LONGEST_ANSWER = 64 * 1024
#: that of `honeybadger.ledger.certificates`, which knows nothing of networks
LONGEST_CERTIFICATE = 8192
LONGEST_STATUS = 1024 * 1024
#: positions in a request, 2 bytes each, little-endian: see `packed` and `unpacked`
Positions = Annotated[bytes, Meta(max_length=2 * MOST_TRANSACTIONS)]
NO_SUCH_BLOCK = "no such block"
BUSY = "busy"


class Submit(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Client → node: put these transactions into the ledger. `transactions`: encoded as `honeybadger.transactions`
    says, at most `MOST_TRANSACTIONS`; see `transactions_of`."""

    request: RequestNumber
    transactions: bytes


class StatusRequest(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Client → node: how are you?"""

    request: RequestNumber


class Committed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Node → client: the transactions at `positions` are durable here, in the block at `height`.

    `durable_ns`: when they became durable, on the node's monotonic clock; 0 for a transaction that already was in
    the ledger.
    """

    request: int
    height: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    durable_ns: int
    positions: Positions


class Refused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """Node → client: the transactions at `positions` were not taken: "full", "too long", "empty", or "silent" if
    the node lost its votes and may propose nothing for now."""

    request: int
    reason: Annotated[str, Meta(max_length=200)]
    positions: Positions


class Status(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Node → client: plain data for people."""

    request: int
    status: dict[str, Any]


class BlockQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """Client → node: the block at `height`, and of its body what follows `offset`.

    `ticket`: that of the last `BlockPart` on this connection, 0 before the first. It shows that the client reads what
    it asks for; one that does not would make the node hold replies without end.
    """

    request: RequestNumber
    height: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    offset: Annotated[int, Meta(ge=0, le=2**40)]
    ticket: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class BlockPart(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """Node → client: a durable block's header, certificate (empty if there is none yet), length of the body, and at
    most `BLOCK_PART_BYTES` of the body from `offset` on. What the node says proves nothing: check it."""

    request: int
    height: int
    offset: int
    ticket: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    header: Annotated[bytes, Meta(max_length=512 * 1024)]
    certificate: Annotated[bytes, Meta(max_length=LONGEST_CERTIFICATE)]
    body_bytes: Annotated[int, Meta(ge=0, le=2**40)]
    part: Annotated[bytes, Meta(max_length=BLOCK_PART_BYTES)]


class NoBlock(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """Node → client: why a query is not answered, `NO_SUCH_BLOCK` or `BUSY` (ask again a little later)."""

    request: int
    reason: Annotated[str, Meta(max_length=64)]


class Locate(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=9):
    """Client → node: which block holds this transaction?"""

    request: RequestNumber
    transaction: bytes


class Located(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=10):
    """Node → client: the height of the durable block that holds it, 0 if none here does."""

    request: int
    height: Annotated[int, Meta(ge=0, le=2**32 - 1)]


Request = Submit | StatusRequest | BlockQuery | Locate
Reply = Committed | Refused | Status | BlockPart | NoBlock | Located

encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)


def transactions_of(request: Submit) -> Transactions:
    """What a client wants to submit; ValueError if it is malformed or too much."""
    transactions = Transactions.decode(request.transactions)
    if len(transactions) > MOST_TRANSACTIONS:
        raise ValueError(f"{len(transactions)} transactions in one request")
    return transactions


def packed(positions: Sequence[int] | NDArray[Any]) -> bytes:
    """Positions as they go over the wire."""
    return np.asarray(positions, np.intp).astype("<u2").tobytes()


def unpacked(positions: bytes) -> Index:
    """The positions in a reply, shape (n,); they may be anything from 0 to 65,535. ValueError for half a position."""
    return np.frombuffer(positions, "<u2").astype(np.intp)


def most_in_request(tx_bytes: int) -> int:
    """How many transactions of `tx_bytes` a client puts into one request."""
    return max(1, min(REQUEST_TRANSACTIONS, REQUEST_BYTES // tx_bytes))
