"""In which epochs proposals are encrypted: a consensus parameter, never a node's own choice.

In a plaintext epoch a scheduler can censor by content; in exchange the epoch is cheaper. Schedules:
"always"; "never"; "every:N" encrypts the epochs divisible by N; "first:M,of:N" encrypts M epochs of every N,
those with epoch mod N < M. (A public implementation's "tick-tock" encrypts one epoch more than it says.)
"""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=64)
def _parse(schedule: str) -> tuple[int, int]:
    """(M, N): epochs with epoch mod N < M are encrypted."""
    if schedule == "always":
        return 1, 1
    if schedule == "never":
        return 0, 1
    if match := re.fullmatch(r"every:([0-9]{1,9})", schedule):
        on, period = 1, int(match[1])
    elif match := re.fullmatch(r"first:([0-9]{1,9}),of:([0-9]{1,9})", schedule):
        on, period = int(match[1]), int(match[2])
    else:
        raise ValueError(f'encryption = "{schedule}" is not one of "always", "never", "every:N", "first:M,of:N"')
    if period < 1 or on > period:
        raise ValueError(f'encryption = "{schedule}": needs N of at least 1 and M of at most N')
    return on, period


def is_encrypted(schedule: str, epoch: int) -> bool:
    """Whether proposals of `epoch` are encrypted; ValueError for an unknown schedule."""
    on, period = _parse(schedule)
    return epoch % period < on
