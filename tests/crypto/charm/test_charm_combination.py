"""In which order shares are verified, and how many: what liars can make a node do."""

from hypothesis import given
from hypothesis import strategies as st
from support import charm as _installed  # noqa: F401
from support.suites import at_work

from crypto.charm.combination import first_valid
from crypto.charm.proof import ProvenKey
from crypto.signatures import PublicSigningKeys

THRESHOLD = 6


def looked_at(shares: dict[int, bytes], suspects) -> tuple[list[int], dict[int, bytes] | None, frozenset[int]]:
    """Whose shares are verified, in order, and the result; a share is valid unless it is empty."""
    seen: list[int] = []

    def verified(index: int, share: bytes) -> bytes | None:
        seen.append(index)
        return share or None

    return seen, *first_valid(shares, suspects, THRESHOLD, verified)


def test_liars_who_are_known_cost_one_verification_each() -> None:
    """They arrive one after the other where one share is lacking, and the good ones are not verified again."""
    shares = dict.fromkeys(range(THRESHOLD - 1), b"good")
    for liar in range(10, 15):
        assert looked_at({**shares, liar: b""}, {10, 11, 12, 13, 14}) == ([liar], None, {liar})
    assert looked_at({**shares, 9: b"good"}, {10}) == ([*shares, 9], {**shares, 9: b"good"}, frozenset())


def test_suspects_come_last_where_the_others_suffice() -> None:
    shares = {10: b"", 11: b"good"} | dict.fromkeys(range(THRESHOLD), b"good")
    assert looked_at(shares, {10, 11})[0] == list(range(THRESHOLD))
    assert looked_at({**shares, 3: b""}, {10, 11}) == (
        [*range(THRESHOLD), 10, 11],
        {index: shares[index] for index in (0, 1, 2, 4, 5, 11)},
        {3, 10},
    )


@given(st.dictionaries(st.integers(0, 20), st.sampled_from([b"", b"good"])), st.sets(st.integers(0, 20)))
def test_enough_good_shares_are_found_and_none_is_verified_twice(shares, suspects) -> None:
    seen, valid, bad = looked_at(shares, suspects)
    good = {index for index, share in shares.items() if share}
    assert len(seen) == len(set(seen))
    assert (valid is not None) == (len(good) >= THRESHOLD)
    assert valid is None or (len(valid) == THRESHOLD and set(valid) <= good)
    assert bad == set(seen) - good


def test_all_three_keys_verify_a_known_liars_share_alone(monkeypatch) -> None:
    calls = []
    for owner, name in ((ProvenKey, "verified"), (PublicSigningKeys, "verify")):
        inner = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda self, index, *rest, inner=inner: calls.append(index) or inner(self, index, *rest)
        )
    for kind in ("coin", "encryption", "certificate"):
        key = at_work(kind, "charm", 16, 5)
        received = {index: key.shares[index] for index in range(5)} | {9: key.bad(9)[0]}
        calls.clear()
        assert key.combine(received, suspects={9}) == (None, {9})
        assert calls == [9], kind
