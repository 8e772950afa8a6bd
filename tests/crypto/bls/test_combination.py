"""Search for invalid items: exact, and with few questions."""

import math
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.bls.combination import batch_weights, find_invalid


@settings(max_examples=40)
@given(st.lists(st.booleans(), max_size=40), st.booleans())
def test_exactly_the_invalid_ones_are_found(valid: list[bool], tell: bool) -> None:
    bad = [i for i, ok in enumerate(valid) if not ok]
    questions = 0

    def all_valid(some: Sequence[int]) -> bool:
        nonlocal questions
        questions += 1
        return all(valid[i] for i in some)

    assert find_invalid(range(len(valid)), all_valid, one_is_bad=tell and bool(bad)) == bad
    assert questions <= max(1, 2 * len(valid) - 1)
    if bad:
        assert questions <= 1 + 2 * len(bad) * math.ceil(math.log2(len(valid)) if len(valid) > 1 else 1)
    elif valid:
        assert questions == 1


def test_what_can_be_inferred_is_not_asked() -> None:
    asked = []

    def all_valid(some: Sequence[str]) -> bool:
        asked.append("".join(some))
        return "x" not in some

    assert find_invalid("abcx", all_valid) == ["x"]
    assert asked == ["abcx", "ab", "c"]
    assert find_invalid(["x"], lambda _: True, one_is_bad=True) == ["x"]


def test_weights_are_fresh_wide_and_not_zero() -> None:
    first, second = batch_weights(50), batch_weights(50)
    assert first[0] == second[0] == 1
    assert not set(first[1:]) & set(second[1:])
    assert len(set(first)) == 50
    assert all(0 < weight < 1 << 128 for weight in first)
    assert max(first) > 1 << 120
