"""The Merkle tree against an independent definition, and proofs that cannot be bent."""

import json
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledger import CHAIN_ID, numbered

from honeybadger.ledger import Block, LedgerError, Proof, build_block, build_proof, tx_root, verify_proof
from honeybadger.ledger.merkle import GROUP, leaves, node_hash


def reference_root(transactions: list[bytes]) -> bytes:
    """The root by RFC 6962's recursion (split at the largest power of two), written without the package."""

    def top(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        split = 1 << ((len(leaves) - 1).bit_length() - 1)
        return sha256(b"\x01" + top(leaves[:split]) + top(leaves[split:])).digest()

    groups = [transactions[i : i + 32] for i in range(0, len(transactions), 32)]
    leaves = []
    for i, group in enumerate(groups):
        lengths = [*map(len, group), *[0] * (32 - len(group))]
        head = i.to_bytes(4, "big") + b"".join(length.to_bytes(4, "little") for length in lengths)
        leaves.append(sha256(b"\x00" + head + b"".join(group)).digest())
    count = len(transactions).to_bytes(8, "big")
    return sha256(b"\x02" + count + (top(leaves) if leaves else b"")).digest()


def block_of(count: int) -> Block:
    return build_block(CHAIN_ID, CHAIN_ID, 1, 3, (0, 1), numbered(count))


def test_root_is_the_rfc_6962_shape() -> None:
    for count in (0, 1, 31, 32, 33, 64, 65, 96, 97, 200, 32 * 7 + 1, 32 * 8, 1000):
        assert tx_root(numbered(count)) == reference_root(numbered(count)), count


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=4), max_size=70), st.lists(st.binary(max_size=4), max_size=70))
def test_different_lists_have_different_roots(a: list[bytes], b: list[bytes]) -> None:
    assert (tx_root(a) == tx_root(b)) == (a == b)


@pytest.mark.parametrize("count", [1, 2, 32, 33, 65, 161, 32 * 7 + 5])
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


@pytest.mark.parametrize("position", [0, 37, 99])
def test_every_tampering_is_refused(position: int) -> None:
    block = block_of(100)
    proof, transaction = build_proof(block, position), block.transactions()[position]
    group, path = proof.group, proof.path
    for changes in (
        {"height": proof.height + 1},
        *({"position": p} for p in (position - 1000, position + 32, 100, 1000)),
        *({"group": g} for g in ((*group[:-1], group[-1] + b"x"), group[:-1], (*group, b""), ())),
        {"path": tuple(bytes([h[0] ^ 1]) + h[1:] for h in path)},
        *({"path": p} for p in (path[:-1], (*path, bytes(32)), path[::-1], (path[0] + b"\0", *path[1:]))),
        {"header": proof.header + b"\0"},
    ):
        bent = msgspec.structs.replace(proof, **changes)
        if bent != proof:
            assert not verify_proof(bent, transaction, block.header.hash), changes
            assert not bent.check(transaction, block.header), changes


def test_the_other_transactions_of_the_leaf_are_bound_too() -> None:
    """With the same bytes in a row: borders moved, one added or left out, two exchanged."""
    block = build_block(CHAIN_ID, CHAIN_ID, 1, 3, (0,), [b"%04d" % i for i in range(100)])
    for position in (40, 98):
        proof, transaction = build_proof(block, position), block.transactions()[position]
        within = position % GROUP
        before, (a, b) = proof.group[: within - 2], proof.group[within - 2 : within]
        behind = proof.group[within:]
        assert verify_proof(proof, transaction, block.header.hash)
        for other in (
            (*before, a[:-1], a[-1:] + b, *behind),
            (*before, a + b, b"", *behind),
            (*before, b, a, *behind),
            (*before, a, b"9999", *behind),
        ):
            bent = msgspec.structs.replace(proof, group=other)
            assert not verify_proof(bent, transaction, block.header.hash), other
        for shifted in ((*before, a + b, *behind), (*before, a[:2], a[2:], b, *behind)):
            moved = position - len(proof.group) + len(shifted)
            bent = msgspec.structs.replace(proof, group=shifted, position=moved)
            assert not verify_proof(bent, transaction, block.header.hash), shifted
        cut = (*proof.group[:within], transaction[:2])
        bent = msgspec.structs.replace(proof, group=(*cut, transaction[2:] + b"".join(proof.group[within + 1 :])))
        assert not verify_proof(bent, transaction[:2], block.header.hash)


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    block = block_of(3 * GROUP + 1)
    last = leaves(block.transactions())
    node = last[2] + last[3]
    assert node_hash(*last[:2]) == build_proof(block, 3 * GROUP).path[1]
    left = build_proof(block, 3 * GROUP).path[1]
    for position in (GROUP, 3 * GROUP):
        for group in ((node,), (node, *[b""] * (GROUP - 1))):
            for path in ((left,), (b"", left), (left, left)):
                proof = Proof(1, position, group, path, block.header.encode())
                assert not verify_proof(proof, node, block.header.hash)
    top = Proof(1, 3 * GROUP, (left + node_hash(*last[2:]),), (), block.header.encode())
    assert not verify_proof(top, top.group[0], block.header.hash)


def test_a_header_with_an_absurd_count_proves_nothing() -> None:
    header = msgspec.structs.replace(block_of(40).header, tx_count=2**63 - 1)
    proof = Proof(1, 2**62, tuple(numbered(GROUP)), (bytes(32),) * 58, header.encode())
    assert not verify_proof(proof, proof.group[0], header.hash)


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
        {"group": ["00"] * 33},
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
