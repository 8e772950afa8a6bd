"""How many rounds each binary agreement takes to decide, with and without the attack on its coin.

Simulated: four nodes, one of them faulty, inputs two against one, ideal coins. See `attacked_agreement`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from honeybadger.protocols.honey_badger.agreements import AGREEMENTS
from honeybadger.protocols.honey_badger.parameters import CoinSchedule
from honeybadger.simulation.attacked_agreement import attempt


def agreement_rounds(
    seeds: int, most_rounds: int, schedule: CoinSchedule, tick: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    """Run each agreement with seeds 0 … `seeds` - 1; `tick(name)` is called before each series of runs.

    A row for each agreement, calm and attacked: `undecided` runs, in which nobody had decided when a node began round
    `most_rounds`; `rounds`, number of rounds → how many of the others took that many; `unsafe` runs, with two decisions
    or a decision that was no input, of which there must be none.
    """
    rows = []
    for name in AGREEMENTS:
        for attack in (False, True):
            tick(f"{name}, {'attacked' if attack else 'calm'}")
            outcomes = [
                attempt(name, seed, attack=attack, most_rounds=most_rounds, schedule=schedule) for seed in range(seeds)
            ]
            rounds = Counter(one.rounds for one in outcomes if not one.stalled)
            rows.append(
                {
                    "agreement": name,
                    "attacked": attack,
                    "runs": seeds,
                    "undecided": sum(one.stalled for one in outcomes),
                    "unsafe": sum(not one.safe for one in outcomes),
                    "rounds": dict(sorted(rounds.items())),
                }
            )
    return {"seeds": seeds, "most_rounds": most_rounds, "coin_schedule": schedule, "rows": rows}


def mean(rounds: Mapping[int, int]) -> float | None:
    """Of a distribution: number of rounds → runs; None if there are none."""
    runs = sum(rounds.values())
    return sum(number * count for number, count in rounds.items()) / runs if runs else None


def quantile(rounds: Mapping[int, int], share: float) -> int | None:
    """The fewest rounds that are enough for this share of the runs; None if there are none."""
    runs, seen = sum(rounds.values()), 0
    for number, count in sorted(rounds.items()):
        seen += count
        if seen >= share * runs:
            return number
    return None
