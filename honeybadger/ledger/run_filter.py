"""Which fingerprints a run surely does not have: a Bloom filter of one memory access a question.

The high bits of a fingerprint choose a word of 64 bits, and 12 further bits choose one of 4,096 patterns of 4 bits in
it (Putze, Sanders and Singler, 2007: blocked filter, bit patterns). A run takes 2 to 4 bytes an entry, so that a word
has the patterns of 2 to 4 entries: of the fingerprints that a run does not have, 0.7 % pass at most.
"""

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
Index = NDArray[np.intp]

#: the twelve bits begin here: where words are fewer than 2^20, the others choose the word
_PATTERN_AT = np.uint64(32)
_PATTERNS = 4096


def filter_bytes(entries: int) -> int:
    """Length of the filter of a run."""
    return 1 << max(10, (2 * entries - 1).bit_length())


def empty_filter(entries: int) -> U64:
    """The filter of a run that will have so many."""
    return np.zeros(filter_bytes(entries) // 8, np.uint64)


def patterns(fingerprints: U64) -> U64:
    """What each sets in its word, whatever the filter's length."""
    chosen: U64 = _TABLE[(fingerprints >> _PATTERN_AT & np.uint64(_PATTERNS - 1)).view(np.int64)]
    return chosen


def put(words: U64, ordered: U64) -> None:
    """Add sorted fingerprints; those of one word are neighbours, so they are joined first."""
    if not len(ordered):
        return
    word = _words_of(ordered, len(words))
    starts = np.concatenate([[0], np.flatnonzero(word[1:] != word[:-1]) + 1])
    words[word[starts]] |= np.bitwise_or.reduceat(patterns(ordered), starts)


def may_have(words: U64, fingerprints: U64, patterns: U64) -> Index:
    """The positions of those fingerprints that the run may have; `patterns` are theirs."""
    return np.flatnonzero(words[_words_of(fingerprints, len(words))] & patterns == patterns)


def _words_of(fingerprints: U64, count: int) -> Index:
    """`count` is a power of two, above 1."""
    return (fingerprints >> np.uint64(65 - count.bit_length())).view(np.int64)


def _table() -> U64:
    one, two = np.divmod(np.arange(_PATTERNS), 64)
    three, four = (5 * one + 11 * two + 1) % 64, (19 * one + 6 * two + 30) % 64
    bits: U64 = np.left_shift(np.uint64(1), np.stack([one, two, three, four]).astype(np.uint64))
    together: U64 = np.bitwise_or.reduce(bits)
    return together


_TABLE = _table()
