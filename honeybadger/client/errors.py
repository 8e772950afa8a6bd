"""What can go wrong for an application that talks to a cluster. Each message is one line for people."""

from collections.abc import Sequence


class ClientError(Exception):
    """The cluster does not do what was asked. The base of all errors of this package but `ClusterError`, which names
    what is wrong with a manifest."""


class TimedOut(ClientError, TimeoutError):
    """Nothing that can be believed came in time."""


class TooLarge(ClientError):
    """The block has more bytes of transactions than the caller wants to read."""


class NotCommitted(ClientError):
    """Not all transactions are known to be committed.

    `outcomes`: of each transaction its height, or why no node took it, or None if it is not decided. A transaction
    without a height may still be committed later; submit the same bytes again and the cluster commits them once.
    """

    def __init__(self, message: str, outcomes: Sequence[int | str | None]) -> None:
        super().__init__(message)
        self.outcomes = list(outcomes)


class Refused(NotCommitted):
    """No node took some of the transactions, for instance because all are full."""


class Undecided(NotCommitted, TimedOut):
    """The time is up, and some of the transactions are undecided."""
