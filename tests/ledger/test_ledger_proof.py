"""The Merkle tree against an independent definition, and proofs that cannot be bent."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_helpers import CHAIN_ID, numbered

from honeybadger.ledger import Block, LedgerError, Proof, build_block, build_proof, tx_root, verify_proof


def reference_root(transactions: list[bytes]) -> bytes:
    """The root by RFC 6962's recursion (split at the largest power of two), written without the package."""

    def top(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        split = 1 << ((len(leaves) - 1).bit_length() - 1)
        return sha256(b"\x01" + top(leaves[:split]) + top(leaves[split:])).digest()

    groups = [transactions[i : i + 16] for i in range(0, len(transactions), 16)]
    leaves = [sha256(b"\x00" + i.to_bytes(4, "big") + msgspec.msgpack.encode(g)).digest() for i, g in enumerate(groups)]
    count = len(transactions).to_bytes(8, "big")
    return sha256(b"\x02" + count + (top(leaves) if leaves else b"")).digest()


def block_of(count: int, tag: str = "tx") -> Block:
    return build_block(CHAIN_ID, CHAIN_ID, 1, 3, (0, 1), numbered(count, tag))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 32, 33, 48, 49, 100, 16 * 7 + 1, 16 * 8, 1000])
def test_root_is_the_rfc_6962_shape(count: int) -> None:
    assert tx_root(numbered(count)) == reference_root(numbered(count))


def test_root_of_the_empty_block_is_fixed() -> None:
    assert tx_root([]) == sha256(b"\x02" + bytes(8)).digest()


@given(st.lists(st.binary(max_size=4), max_size=70), st.lists(st.binary(max_size=4), max_size=70))
def test_different_lists_have_different_roots(a: list[bytes], b: list[bytes]) -> None:
    assert (tx_root(a) == tx_root(b)) == (a == b)


@pytest.mark.parametrize("count", [1, 2, 16, 17, 31, 33, 47, 65, 81, 100, 16 * 7 + 5])
def test_every_position_can_be_proved_and_no_other(count: int) -> None:
    block = block_of(count)
    transactions = block.transactions()
    for position, transaction in enumerate(transactions):
        proof = build_proof(block, position)
        assert verify_proof(proof, transaction, block.header.hash)
        assert proof.check(transaction, block.header)
        assert not verify_proof(proof, transactions[position - 1] + b"x", block.header.hash)
        if count > 1:
            other = (position + 1) % count
            assert not verify_proof(proof, transactions[other], block.header.hash)
            moved = msgspec.structs.replace(proof, position=other)
            assert not verify_proof(moved, transaction, block.header.hash)
    for position in (-1, count):
        with pytest.raises(IndexError):
            build_proof(block, position)


def test_wrong_header_is_refused() -> None:
    block, other = block_of(40), block_of(41)
    proof = build_proof(block, 5)
    transaction = block.transactions()[5]
    assert not verify_proof(proof, transaction, other.header.hash)
    assert not proof.check(transaction, other.header)
    borrowed = msgspec.structs.replace(proof, header=other.header.encode())
    assert not verify_proof(borrowed, transaction, other.header.hash)
    assert not verify_proof(borrowed, transaction, block.header.hash)
    junk = msgspec.structs.replace(proof, header=b"junk")
    assert not verify_proof(junk, transaction, sha256(b"junk").digest())


@dataclass
class Tampering:
    """One way to bend a proof."""

    name: str
    changes: dict[str, object]


def tamperings(proof: Proof) -> list[Tampering]:
    flipped_path = tuple(bytes([h[0] ^ 1]) + h[1:] for h in proof.path)
    return [
        Tampering("height", {"height": proof.height + 1}),
        Tampering("negative position", {"position": proof.position - 1000}),
        Tampering("position past the end", {"position": 1000}),
        Tampering("position just past the end", {"position": 100}),
        Tampering("position in another group", {"position": proof.position + 16}),
        Tampering("neighbour in the group", {"group": (*proof.group[:-1], proof.group[-1] + b"x")}),
        Tampering("group short", {"group": proof.group[:-1]}),
        Tampering("group long", {"group": (*proof.group, b"")}),
        Tampering("group empty", {"group": ()}),
        Tampering("path flipped", {"path": flipped_path}),
        Tampering("path short", {"path": proof.path[:-1]}),
        Tampering("path long", {"path": (*proof.path, bytes(32))}),
        Tampering("path reversed", {"path": proof.path[::-1]}),
        Tampering("path of wrong width", {"path": (proof.path[0] + b"\0", *proof.path[1:])}),
        Tampering("header", {"header": proof.header + b"\0"}),
    ]


@pytest.mark.parametrize("position", [0, 3, 37, 95, 99])
def test_every_tampering_is_refused(position: int) -> None:
    block = block_of(100)
    proof, transaction = build_proof(block, position), block.transactions()[position]
    for case in tamperings(proof):
        bent = msgspec.structs.replace(proof, **case.changes)
        if bent == proof:
            continue
        assert not verify_proof(bent, transaction, block.header.hash), case.name
        assert not bent.check(transaction, block.header), case.name


def test_json_round_trip_and_strictness() -> None:
    block = block_of(50)
    proof = build_proof(block, 20)
    data = json.loads(json.dumps(proof.to_dict()))
    assert Proof.from_dict(data) == proof
    for changes in (
        {"height": "1"},
        {"height": 0},
        {"position": -1},
        {"position": 1.5},
        {"group": ["zz"]},
        {"group": []},
        {"group": ["00"] * 17},
        {"path": ["00"]},
        {"path": ["A" * 64]},
        {"path": [("00 " * 31 + "00")[:64]]},
        {"header": None},
        {"extra": 1},
    ):
        with pytest.raises(LedgerError, match=r"^proof cannot be read"):
            Proof.from_dict(data | changes)
    for name in data:
        with pytest.raises(LedgerError):
            Proof.from_dict({key: value for key, value in data.items() if key != name})


def test_random_blocks() -> None:
    source = random.Random(5)
    for _ in range(20):
        transactions = [source.randbytes(source.randrange(300)) for _ in range(source.randrange(1, 200))]
        block = build_block(CHAIN_ID, CHAIN_ID, 1, 0, (0,), transactions)
        position = source.randrange(len(transactions))
        proof = Proof.from_dict(build_proof(block, position).to_dict())
        assert verify_proof(proof, transactions[position], block.header.hash)
