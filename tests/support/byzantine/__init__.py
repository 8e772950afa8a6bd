"""Byzantine behaviour for tests: strategies for `SimulatedCluster`, and hand-scripted schedules.

`attacks` holds the adversaries that `honeybadger.adversary` does not have; `bench` is one node whose peers are the
test; `scripted` runs single instances message by message; `harness` runs whole clusters under attack; `weakened` has
protocol variants that must fail.
"""

from honeybadger.adversary import EXPECTED_FAULTS, find_strategy

#: our own strategies for Honey Badger
STRATEGIES = {name: find_strategy("honeybadger", name) for name in EXPECTED_FAULTS}
