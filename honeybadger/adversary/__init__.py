"""Byzantine nodes: named strategies that a real node or a simulated one can run.

A faulty node has its own keys and may say anything under its own name. `CorruptProtocol` puts an `Adversary` between
an honest protocol object and the node's outbox; `find_strategy` finds one by name or in a file; `EXPECTED_FAULTS` says
what correct nodes record. For experiments and tests only.
"""

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.catalogue import find_strategy
from honeybadger.adversary.corrupt import CorruptProtocol, StrategyError
from honeybadger.adversary.expected_faults import EXPECTED_FAULTS, POSSIBLE_FAULTS
from honeybadger.adversary.outbox import FilteredOutbox

__all__ = [
    "EXPECTED_FAULTS",
    "POSSIBLE_FAULTS",
    "Adversary",
    "CorruptProtocol",
    "FilteredOutbox",
    "StrategyError",
    "find_strategy",
]
