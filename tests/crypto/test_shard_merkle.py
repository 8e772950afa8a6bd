"""The hash tree over shards: every branch fits exactly one place of one tree."""

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import CryptoError
from crypto.merkle import MerkleTree, depth, leaf_digest, verify_branch, verify_digest


def leaves_for(total: int) -> list[bytes]:
    return [b"shard %d" % index for index in range(total)]


def test_depth() -> None:
    for total, levels in ((1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (129, 8)):
        assert depth(total) == levels
        assert len(MerkleTree([b""] * total).branch(total - 1)) == 32 * levels


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 8, 9])
def test_each_branch_fits_its_own_leaf_only(total: int) -> None:
    leaves = leaves_for(total)
    tree = MerkleTree(leaves)
    for index in range(total):
        branch = tree.branch(index)
        for other in range(-1, total + 2):
            for position, leaf in enumerate(leaves):
                expected = other == index == position
                assert verify_branch(tree.root, total, other, leaf, branch) == expected


def test_the_layout_is_what_the_docstring_says() -> None:
    def leaf(index: int, content: bytes) -> bytes:
        sizes = (3).to_bytes(4, "big") + index.to_bytes(4, "big") + len(content).to_bytes(8, "big")
        return blake3(b"\0" + sizes + content).digest()

    a, b, c, filling = leaf(0, b"a"), leaf(1, b"bb"), leaf(2, b""), blake3(b"\2").digest()
    left, right = blake3(b"\1" + a + b).digest(), blake3(b"\1" + c + filling).digest()
    tree = MerkleTree([b"a", b"bb", b""])
    assert tree.root == blake3(b"\1" + left + right).digest()
    assert tree.branch(0) == b + right
    assert tree.branch(2) == filling + left
    assert MerkleTree([b"x"]).root == leaf_digest(1, 0, b"x")


@settings(max_examples=40)
@given(st.integers(1, 20), st.data())
def test_any_change_is_noticed(total: int, data: st.DataObject) -> None:
    leaves = leaves_for(total)
    tree = MerkleTree(leaves)
    index = data.draw(st.integers(0, total - 1))
    branch = tree.branch(index)
    if branch:
        position = data.draw(st.integers(0, len(branch) - 1))
        changed = branch[:position] + bytes([branch[position] ^ 1]) + branch[position + 1 :]
        assert not verify_branch(tree.root, total, index, leaves[index], changed)
    for wrong in (branch + bytes(32), branch + b"\0", branch[:-1] if branch else bytes(1), branch[:-32] or bytes(32)):
        assert not verify_branch(tree.root, total, index, leaves[index], wrong)
        assert not verify_digest(tree.root, total, index, leaf_digest(total, index, leaves[index]), wrong)
    for leaf in (leaves[index] + b"\0", leaves[index][:-1], b""):
        assert not verify_branch(tree.root, total, index, leaf, branch)
    for root in (bytes(32), tree.root[:-1], b"", tree.root[::-1]):
        assert not verify_branch(root, total, index, leaves[index], branch)


def test_the_number_of_leaves_is_bound() -> None:
    leaves = leaves_for(7)
    tree = MerkleTree(leaves)
    for claimed in (0, -3, 5, 6, 8, 9):
        for index in range(7):
            assert not verify_branch(tree.root, claimed, index, leaves[index], tree.branch(index))


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    leaves = leaves_for(4)
    tree = MerkleTree(leaves)
    digests = [leaf_digest(4, index, leaf) for index, leaf in enumerate(leaves)]
    node, sibling = digests[0] + digests[1], tree.branch(0)[32:]
    for total in (2, 4):
        for branch in (sibling, sibling + sibling):
            for leaf in (node, b"\1" + node):
                assert not verify_branch(tree.root, total, 0, leaf, branch)
    # Nor for a digest, under a branch that is too short.
    left = blake3(b"\1" + tree.branch(1)[:32] + tree.branch(0)[:32]).digest()
    assert blake3(b"\1" + left + tree.branch(0)[32:]).digest() == tree.root
    assert not verify_digest(tree.root, 4, 0, left, tree.branch(0)[32:])
    assert not verify_digest(tree.root, 4, 0, tree.root, b"")


def test_the_filling_does_not_pass_for_a_leaf() -> None:
    tree = MerkleTree(leaves_for(3))
    left = blake3(b"\1" + tree.branch(1)[:32] + tree.branch(0)[:32]).digest()
    assert not verify_branch(tree.root, 3, 3, b"", leaf_digest(3, 2, b"shard 2") + left)
    assert not verify_branch(tree.root, 3, 3, b"\2", leaf_digest(3, 2, b"shard 2") + left)


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=70), min_size=1, max_size=20))
def test_digests_can_stand_for_leaves(leaves: list[bytes]) -> None:
    total = len(leaves)
    digests = [leaf_digest(total, index, leaf) for index, leaf in enumerate(leaves)]
    tree, same = MerkleTree(leaves), MerkleTree.from_digests(total, digests)
    assert same.root == tree.root
    for index, digest in enumerate(digests):
        assert same.branch(index) == tree.branch(index)
        assert verify_digest(tree.root, total, index, digest, tree.branch(index))
        assert not verify_digest(tree.root, total, index, digest[::-1], tree.branch(index))
        assert not verify_digest(tree.root, total, total, digest, tree.branch(index))


def test_misuse_raises() -> None:
    digests = [leaf_digest(3, index, b"") for index in range(3)]
    for total, bad in [(4, digests), (2, digests), (3, [*digests[:2], b"short"]), (0, [])]:
        with pytest.raises(CryptoError):
            MerkleTree.from_digests(total, bad)
    for total in (0, -1):
        with pytest.raises(CryptoError):
            depth(total)
    with pytest.raises(CryptoError):
        MerkleTree([])
    for index in (-1, 3):
        with pytest.raises(CryptoError):
            MerkleTree.from_digests(3, digests).branch(index)
