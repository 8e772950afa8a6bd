"""What nodes sign, and the bytes of a batch.

Every statement begins with its kind and the chain id, so no signature can be used for anything else: a primary's
PRE-PREPARE is no PREPARE. A batch names who put it together: a view change may propose it again in another view, and
the block, which names the proposer, must come out the same at nodes that commit it in either view.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256

import msgspec
from blake3 import blake3

from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.messages import NewView, ViewChange

#: the digest of a null request, which is executed as an empty block; no batch has it
NULL = bytes(32)

_numbers = struct.Struct(">QQ")
_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(tuple[int, list[bytes]]).decode


def pre_prepare_statement(chain_id: bytes, view: int, number: int, digest: bytes) -> bytes:
    """The primary of `view` proposes `digest` at `number`."""
    return b"PBFT PRE-PREPARE" + chain_id + _numbers.pack(view, number) + digest


def prepare_statement(chain_id: bytes, view: int, number: int, digest: bytes) -> bytes:
    """A backup accepts that."""
    return b"PBFT PREPARE" + chain_id + _numbers.pack(view, number) + digest


def checkpoint_statement(chain_id: bytes, number: int, digest: bytes) -> bytes:
    """State after `number`."""
    return b"PBFT CHECKPOINT" + chain_id + _numbers.pack(0, number) + digest


def view_change_statement(chain_id: bytes, change: ViewChange) -> bytes:
    """All fields but the signature."""
    body = _encode((change.view, change.stable, change.prepared))
    return b"PBFT VIEW-CHANGE" + chain_id + sha256(body).digest()


def new_view_statement(chain_id: bytes, new_view: NewView) -> bytes:
    """All fields but the signature."""
    body = _encode((new_view.view, new_view.changes, new_view.proposals))
    return b"PBFT NEW-VIEW" + chain_id + sha256(body).digest()


def encode_batch(proposer: int, transactions: Sequence[bytes]) -> bytes:
    """The proposer and the transactions, as msgpack."""
    return _encode((proposer, transactions))


def batch_digest(batch: bytes) -> bytes:
    """BLAKE3, 32 bytes."""
    return blake3(batch).digest()


def decode_batch(batch: bytes, parameters: Parameters, nodes: int) -> tuple[int, list[bytes]] | None:
    """Proposer and transactions; None for what no correct primary sends, the same at every node.

    The encoding need not be canonical: the digest is of the bytes, so all nodes parse the same ones.
    """
    if len(batch) > parameters.max_proposal_bytes:
        return None
    try:
        proposer, transactions = _decode_batch(batch)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not 0 <= proposer < nodes or not 1 <= len(transactions) <= parameters.batch_size:
        return None
    lengths = set(map(len, transactions))
    return (proposer, transactions) if min(lengths) >= 1 and max(lengths) <= parameters.max_tx_bytes else None
