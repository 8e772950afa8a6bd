"""A run's filter never hides what was put in, and lets little else pass."""

import numpy as np
import pytest

from honeybadger.ledger.run_filter import empty_filter, filter_bytes, may_have, patterns, put


@pytest.mark.parametrize("entries", [1, 512, 513, 40_000, 1 << 16, 300_000])
def test_what_was_put_in_passes_and_little_else(entries: int) -> None:
    numbers = np.random.default_rng(entries)
    inside = np.sort(numbers.integers(0, 1 << 64, entries, dtype=np.uint64))
    words = empty_filter(entries)
    # In pieces, whose borders may fall into a word.
    for piece in np.array_split(inside, 7):
        put(words, piece)
    assert np.array_equal(may_have(words, inside, patterns(inside)), np.arange(entries))
    others = numbers.integers(0, 1 << 64, 100_000, dtype=np.uint64)
    assert len(may_have(words, others, patterns(others))) < 0.008 * len(others)
    assert words.nbytes == filter_bytes(entries) <= max(1024, 4 * entries)


def test_many_in_one_word() -> None:
    inside = np.arange(0, 1 << 44, 1 << 33, dtype=np.uint64)
    words = empty_filter(len(inside))
    put(words, inside)
    assert np.count_nonzero(words) == 1
    assert len(may_have(words, inside, patterns(inside))) == len(inside)
    put(words, inside[:0])
    assert len(may_have(words, inside[:0], patterns(inside[:0]))) == 0
