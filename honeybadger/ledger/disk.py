"""Writing to files so that nothing is left out, and making it survive a power failure."""

import os
from collections.abc import Sequence
from pathlib import Path

#: buffers given to one system call; the kernel takes 1024
_MOST_PARTS = 512


def write_all(file: int, parts: Sequence[bytes | memoryview], position: int) -> int:
    """Write all buffers from byte `position` on, however little the system takes at a time; returns where they end."""
    rest = [memoryview(part) for part in parts if len(part)]
    while rest:
        written = os.pwritev(file, rest[:_MOST_PARTS], position)
        position += written
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if written:
            rest[0] = rest[0][written:]
    return position


def sync_data(file: int) -> None:
    """Make the content of an open file survive a power failure."""
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(file)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a directory, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
