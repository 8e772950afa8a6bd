"""The coin, and the proofs that its shares carry: an independent oracle, and every refusal."""

import hashlib
import hmac
import random

import pytest
from support import charm as _installed  # noqa: F401

from crypto.charm import proof as proof_module
from crypto.charm.coin import CharmCoinKey, coin_bit
from crypto.dealer import deal
from crypto.errors import CryptoError, InvalidKey
from crypto.shamir import interpolation_at_zero

MESSAGE = b"epoch 5, proposer 1, round 3"


@pytest.fixture(scope="module")
def coin(dealt) -> CharmCoinKey:
    return dealt[0].coin


@pytest.fixture(scope="module")
def shares(dealt) -> dict[int, bytes]:
    return {keys.index: keys.coin.sign_share(MESSAGE) for keys in dealt[1]}


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def wrong_shares(group, share: bytes) -> dict[str, bytes]:
    """Every way to spoil a share."""
    value, e, f = share[:33], share[33:65], share[65:]
    order = group.order
    over = lambda part: (int.from_bytes(part, "big") + order) % 2**256  # noqa: E731
    other = group.encode(group.add(group.decode(value), group.generator))
    return {
        "empty": b"",
        "short": share[:-1],
        "long": share + b"\0",
        "no proof": value,
        "another point": other + e + f,
        "minus the point": flipped(value, 0) + e + f,
        "identity": bytes(33) + e + f,
        "off the curve": b"\x02" + b"\xff" * 32 + e + f,
        "e changed": value + flipped(e, 31) + f,
        "f changed": value + e + flipped(f, 31),
        "e and f swapped": value + f + e,
        "e over the order": value + b"\xff" * 32 + f,
        "e plus the order": value + over(e).to_bytes(32, "big") + f,
        "f plus the order": value + e + over(f).to_bytes(32, "big"),
        "zeros": value + bytes(64),
    }


def test_the_same_share_each_time(dealt, shares) -> None:
    assert {keys.index: keys.coin.sign_share(MESSAGE) for keys in dealt[1]} == shares
    assert len({*shares.values()}) == 4
    assert {len(share) for share in shares.values()} == {97}


def test_shares_verify_at_their_index_only(coin, shares) -> None:
    for index in range(4):
        for sender, share in shares.items():
            assert coin.verify_share(index, MESSAGE, share) == (index == sender)
    for index in (-1, 4):
        with pytest.raises(CryptoError):
            coin.verify_share(index, MESSAGE, shares[0])
        with pytest.raises(CryptoError):
            coin.toss(MESSAGE, {0: shares[0], index: shares[1]})


def test_from_the_docstring_alone(dealt, coin, group, shares) -> None:
    """Written from the docstrings: proofs are made and verified, and the coin is the one of the shared secret."""
    name = group.name.encode()
    tag = b"HONEYBADGER-COIN-V1-" + name + b"-CHARM-SHA-256"
    dst = bytes([len(tag)]) + tag
    base = group.hash(MESSAGE, dst)
    g, order = group.generator, group.order
    number = lambda data: int.from_bytes(data, "big")  # noqa: E731
    for index, share in shares.items():
        x = number(dealt[1][index].coin.to_bytes())
        value = group.encode(group.multiply(base, x))
        public = group.encode(group.multiply(g, x))
        context = hashlib.sha256(MESSAGE).digest()
        statement = dst + context + bytes([0, index]) + public + group.encode(base) + value
        nonce = 1 + number(hmac.digest(x.to_bytes(32, "big"), b"NONCE" + statement, "sha512")) % (order - 1)
        points = group.encode(group.multiply(g, nonce)) + group.encode(group.multiply(base, nonce))
        e = number(hashlib.sha512(statement + points).digest()) % order
        assert share == value + e.to_bytes(32, "big") + ((nonce + e * x) % order).to_bytes(32, "big")
    factors, scale = interpolation_at_zero((1, 3), order)
    secret = scale * sum(
        factor * number(dealt[1][index].coin.to_bytes()) for factor, index in zip(factors, (1, 3), strict=True)
    )
    point = group.encode(group.multiply(base, secret))
    assert coin.toss(MESSAGE, shares) == (hashlib.sha256(point).digest()[-1] & 1, frozenset())


def test_any_shares_give_the_same_coin(dealt, coin) -> None:
    seen = set()
    for number in range(12):
        message = bytes([number])
        shares = {keys.index: keys.coin.sign_share(message) for keys in dealt[1]}
        bits = {coin.toss(message, {i: shares[i], j: shares[j]})[0] for i in range(4) for j in range(4) if i != j}
        assert len(bits) == 1
        seen |= bits
    assert seen == {0, 1}
    assert {coin_bit(bytes([number])) for number in range(12)} == {0, 1}


def test_every_wrong_share_is_refused_and_its_sender_named(coin, group, shares) -> None:
    right, _ = coin.toss(MESSAGE, shares)
    for kind, wrong in wrong_shares(group, shares[2]).items():
        assert not coin.verify_share(2, MESSAGE, wrong), kind
        assert coin.toss(MESSAGE, {2: wrong, 0: shares[0], 3: shares[3]}) == (right, frozenset({2})), kind
        assert coin.toss(MESSAGE, {2: wrong, 0: shares[0]}) == (None, frozenset({2})), kind


def test_a_scalar_that_is_not_reduced_is_refused_though_its_proof_would_hold(group) -> None:
    """Small f and e, whose sum with the order has 32 bytes, come up too rarely to meet one by chance."""
    order = group.order
    with pytest.raises(CryptoError):
        proof_module.scalars(proof_module.encode_scalars(1, order), order)
    with pytest.raises(CryptoError):
        proof_module.scalars(proof_module.encode_scalars(order + 1, 1), order)
    assert proof_module.scalars(proof_module.encode_scalars(0, order - 1), order) == (0, order - 1)


def test_a_proof_is_of_one_message_key_and_purpose(charm, dealt, coin, shares, group) -> None:
    other = b"epoch 5, proposer 1, round 4"
    assert not coin.verify_share(0, other, shares[0])
    # The value of the one message with the proof of the other, and the reverse.
    theirs = dealt[1][0].coin.sign_share(other)
    assert not coin.verify_share(0, MESSAGE, shares[0][:33] + theirs[33:])
    assert not coin.verify_share(0, MESSAGE, theirs[:33] + shares[0][33:])
    _, secret = deal(4, 1, random.Random(42).randbytes, charm)
    assert not coin.verify_share(0, MESSAGE, secret[0].coin.sign_share(MESSAGE))
    # The same base and secret for another purpose or context, or at another index, give another proof.
    context, base = coin.base(MESSAGE)
    x = int.from_bytes(dealt[1][0].coin.to_bytes(), "big")
    elsewhere = proof_module.ProvenKey(2, coin.parts, 4, group, b"ELSEWHERE")
    assert coin.verified(0, context, base, coin.prove(0, context, base, x)) is not None
    assert coin.verified(0, context, base, elsewhere.prove(0, context, base, x)) is None
    assert coin.verified(0, context, base, coin.prove(0, bytes(32), base, x)) is None
    with pytest.raises(CryptoError):
        coin.prove(0, context + b"\0", base, x)


def test_the_index_is_bound(charm, group) -> None:
    """With a constant polynomial all nodes have the same h_i: only the index tells their shares apart."""
    secret = 12345
    constant = [group.encode(group.multiply(group.generator, secret))]
    key = charm.coin.public(4, 1, constant)
    context, base = key.base(MESSAGE)
    share = key.prove(1, context, base, secret)
    assert [key.verify_share(index, MESSAGE, share) for index in range(4)] == [False, True, False, False]


def test_a_proof_for_another_multiple_is_refused(coin, group, dealt) -> None:
    """The forger knows x_i: its proof for h_i is right, but the share is another multiple; and the reverse."""
    context, base = coin.base(MESSAGE)
    x = int.from_bytes(dealt[1][0].coin.to_bytes(), "big")
    wrong = coin.prove(0, context, base, x + 1)
    assert coin.verified(0, context, base, wrong) is None
    # One of the two equations holds, the other does not: e is computed as the verifier of only one would.
    value = group.encode(group.multiply(base, x + 1))
    statement = coin._statement(0, context, base, value)
    e = coin._challenge(statement, (group.multiply(group.generator, 7), group.multiply(base, 7)))
    for secret in (x, x + 1):
        forged = value + proof_module.encode_scalars(e, (7 + e * secret) % group.order)
        assert coin.verified(0, context, base, forged) is None


def test_suspects_come_last(coin, shares) -> None:
    bad = b"\0" * 97
    bit, _ = coin.toss(MESSAGE, shares)
    assert coin.toss(MESSAGE, {0: bad, 1: shares[1], 2: shares[2]}, suspects={0}) == (bit, frozenset())
    assert coin.toss(MESSAGE, {0: shares[0], 1: bad, 2: shares[2]}, suspects={0}) == (bit, frozenset({1}))
    assert coin.toss(MESSAGE, {0: bad, 1: bad, 2: shares[2]}, suspects={0}) == (None, frozenset({0, 1}))
    assert coin.toss(MESSAGE, {1: bad}) == (None, frozenset())


def test_keys_are_checked(charm, dealt, coin) -> None:
    parts = list(coin.parts)
    for wrong in (
        parts[:1],
        [*parts, parts[0]],
        [bytes(33), parts[1]],
        [b"\x02" + b"\xff" * 32, parts[1]],
        [parts[0][:-1], parts[1]],
    ):
        with pytest.raises(InvalidKey):
            charm.coin.public(4, 2, wrong)
    with pytest.raises(InvalidKey):
        charm.coin.secret(1, dealt[1][0].coin.to_bytes(), coin)
    with pytest.raises(InvalidKey):
        charm.coin.secret(0, bytes(32), coin)
    with pytest.raises(InvalidKey):
        charm.coin.secret(0, b"\xff" * 32, coin)
    with pytest.raises(InvalidKey):  # commitments of another dealing
        charm.coin.secret(0, dealt[1][0].coin.to_bytes(), dealt[0].encryption)
    for purpose in (b"", b"x" * 65):
        with pytest.raises(CryptoError):
            proof_module.ProvenKey(2, parts, 4, coin.group, purpose)


def test_lies_are_lies(charm, coin, shares) -> None:
    lies = [*charm.lies.malformed(), *(charm.lies.stranger(number) for number in (1, 2, 3))]
    assert len({*lies}) == 6
    for lie in lies:
        assert len(lie) == 97
        assert not coin.verify_share(1, MESSAGE, lie)
