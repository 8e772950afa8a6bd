"""Many transactions in messages of a bounded size."""

from collections.abc import Iterable, Iterator


def split(transactions: Iterable[bytes], most: int, most_bytes: int) -> Iterator[list[bytes]]:
    """In order, in lists of at most `most` transactions and `most_bytes` bytes; a longer transaction is alone."""
    part: list[bytes] = []
    size = 0
    for transaction in transactions:
        if part and (len(part) == most or size + len(transaction) > most_bytes):
            yield part
            part, size = [], 0
        part.append(transaction)
        size += len(transaction)
    if part:
        yield part
