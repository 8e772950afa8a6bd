"""Shares of all three keys: any set of enough good ones gives the same outcome, and who sends bad ones is named."""

from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.suites import NOBODY, AtWork, flip

from crypto.errors import CryptoError
from crypto.suite import SHARE_BYTES


def test_every_set_of_shares_gives_the_same_outcome(key: AtWork) -> None:
    assert key.value is not None
    for size in (2, 3, 4):
        for chosen in combinations(key.shares, size):
            some = {index: key.shares[index] for index in reversed(chosen)}
            assert key.combine(some) == (key.value, NOBODY)
            assert key.combine(some, suspects=chosen[:1]) == (key.value, NOBODY)


def test_shares_verify_for_their_node_only_and_unchanged(key: AtWork) -> None:
    for index, share in key.shares.items():
        assert len(share) <= SHARE_BYTES
        assert [other for other in key.shares if key.verify(other, share)] == [index]
        for bad in key.bad(index):
            assert not key.verify(index, bad)
    share = key.shares[0]
    for position in range(len(share)):
        assert not key.verify(0, flip(share, position, bit=position % 8))
        assert not key.verify(0, share[:position])


def test_bad_shares_are_named_and_replaced(key: AtWork) -> None:
    for bad in key.bad(0):
        assert key.combine({**key.shares, 0: bad}) == (key.value, {0})
        assert key.combine({0: bad, 1: key.shares[1]}) == (None, {0})
        assert key.combine({0: bad, 1: key.shares[1]}, suspects=[0, 1]) == (None, {0})


def test_a_share_with_a_bit_changed_does_no_harm(key: AtWork) -> None:
    """It is named, or what it says is right and only its proof, which nobody had to look at, is not."""
    share = key.shares[0]
    for position in range(len(share)):
        bad = flip(share, position, bit=position % 8)
        assert key.combine({0: bad, 1: key.shares[1]}) in ((None, {0}), (key.value, NOBODY))
        assert key.combine({**key.shares, 0: bad}) in ((key.value, {0}), (key.value, NOBODY))
        assert key.combine({0: bad, 1: key.shares[1]}, suspects=[0]) == (None, {0})


def test_an_index_out_of_range_is_misuse(key: AtWork) -> None:
    for index in (-1, 4, 99):
        with pytest.raises(CryptoError):
            key.verify(index, key.shares[0])
        with pytest.raises(CryptoError):
            key.combine({**key.shares, index: key.shares[0]})


def test_too_few_shares_give_nothing_and_are_not_looked_at(key: AtWork) -> None:
    for shares in ({}, {0: key.shares[0]}, {0: b"not even looked at"}):
        assert key.combine(shares) == (None, NOBODY)


def test_a_share_of_another_node_does_not_count_twice(key: AtWork) -> None:
    assert key.combine({0: key.shares[0], 1: key.shares[0]}) == (None, {1})


def test_shares_that_are_changed_places_are_both_bad(key: AtWork) -> None:
    assert key.combine({0: key.shares[1], 1: key.shares[0]}) == (None, {0, 1})


def test_one_liar_among_many_hides_in_no_batch(large: AtWork) -> None:
    """Wherever it stands among the shares that come first, and whatever the others are suspected of."""
    shares = large.shares
    for liar in range(large.threshold):
        received = {**shares, liar: large.bad(liar)[0]}
        assert large.combine(received) == (large.value, {liar})
        assert large.combine(received, suspects=frozenset(shares) - {liar}) == (large.value, {liar})


def test_f_liars_at_the_front_are_named(large: AtWork) -> None:
    liars = frozenset(range(large.threshold - 1))
    received = {index: large.bad(index)[0] if index in liars else share for index, share in large.shares.items()}
    assert large.combine(received) == (large.value, liars)
    assert large.combine(received, suspects=frozenset(received)) == (large.value, liars)
    value, bad = large.combine(received, suspects=liars)
    assert value == large.value and bad <= liars


def test_a_suspect_helps_out_and_cannot_hide_behind_another(key: AtWork) -> None:
    shares, bad = key.shares, key.bad(2)[0]
    assert key.combine({0: bad, 1: shares[1], 3: shares[3]}, suspects=[3]) == (key.value, {0})
    assert key.combine({0: shares[0], 2: bad, 3: shares[3]}, suspects=[2, 3]) == (key.value, {2})


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_liars_send_the_outcome_is_the_same_and_only_liars_are_named(
    large: AtWork, data: st.DataObject
) -> None:
    """With enough valid shares there is an outcome, and every liar among those that come first is named."""
    senders = data.draw(st.lists(st.sampled_from(sorted(large.shares)), unique=True))
    liars = {index for index in senders if data.draw(st.booleans())}
    junk = st.binary(max_size=SHARE_BYTES)
    received = {
        index: data.draw(st.sampled_from(large.bad(index)) | junk) if index in liars else large.shares[index]
        for index in senders
    }
    suspects = data.draw(st.sets(st.sampled_from(sorted(large.shares))))
    value, bad = large.combine(received, suspects=suspects)
    assert bad <= liars
    assert value == (large.value if len(senders) - len(liars) >= large.threshold else None)
    first = [index for index in senders if index not in suspects][: large.threshold]
    if value is not None and len(first) == large.threshold:
        assert liars.intersection(first) <= bad
    assert value is not None or bad or len(senders) < large.threshold, "nobody is to blame"


def test_a_nodes_share_of_a_message_is_the_same_each_time(secret, public) -> None:
    for kind in ("coin", "certificate"):
        share = getattr(secret[1], kind).sign_share(b"message")
        assert share == getattr(secret[1], kind).sign_share(b"message")
        assert getattr(public, kind).verify_share(1, b"message", share)
