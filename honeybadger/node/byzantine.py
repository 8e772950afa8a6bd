"""A node that lies, for experiments: its protocol object and all that it says are in the hands of a strategy."""

from __future__ import annotations

from honeybadger.adversary import STRATEGIES, CorruptProtocol
from honeybadger.protocols.base import Context, Specification


def corrupt(context: Context, specification: Specification, strategy: str) -> CorruptProtocol:
    """The node's protocol object; KeyError for an unknown strategy."""
    return CorruptProtocol(context, specification.build, STRATEGIES[strategy])
