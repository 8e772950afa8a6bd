"""Byzantine nodes: named strategies that a real node or a simulated one can run.

A faulty node has its own keys and may say anything under its own name. `CorruptProtocol` puts an `Adversary` between
an honest protocol object and the node's outbox; `EVERY_STRATEGY` names them, `STRATEGIES` those for Honey Badger;
`EXPECTED_FAULTS` says what correct nodes record. For experiments and tests only.
"""

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.catalogue import EVERY_STRATEGY, EXPECTED_FAULTS, POSSIBLE_FAULTS, STRATEGIES
from honeybadger.adversary.corrupt import CorruptProtocol
from honeybadger.adversary.outbox import FilteredOutbox

__all__ = [
    "EVERY_STRATEGY",
    "EXPECTED_FAULTS",
    "POSSIBLE_FAULTS",
    "STRATEGIES",
    "Adversary",
    "CorruptProtocol",
    "FilteredOutbox",
]
