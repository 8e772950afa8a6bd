"""How many rounds each binary agreement takes to decide, with and without the attack on its coin; and the figure.

Simulated: four nodes, one of them faulty, inputs two against one, ideal coins. See `attacked_agreement`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.show.figures.style import COLOURS, DASHES, Style
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


def shares_by_rounds(row: Mapping[str, Any], most_rounds: int) -> list[float]:
    """For 1 … `most_rounds`: the share of the runs that needed at least so many rounds; it ends before it is 0."""
    left, shares = row["runs"], []
    for number in range(1, most_rounds + 1):
        if not left:
            break
        shares.append(left / row["runs"])
        left -= row["rounds"].get(number, 0)
    return shares


def draw(found: Mapping[str, Any], path: Path) -> None:
    """The share of runs that needed at least so many rounds, both axes logarithmic."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = Style()
    with rc_context(style.settings):
        figure = Figure(figsize=(style.width, style.body), layout="constrained")
        axes = figure.add_subplot()
        for index, row in enumerate(found["rows"]):
            shares = shares_by_rounds(row, found["most_rounds"])
            axes.plot(
                range(1, len(shares) + 1),
                shares,
                color=COLOURS[index // 2],
                linestyle=DASHES[1 - index % 2],
                marker="so"[index % 2],
                markevery=max(1, len(shares) // 12),
                label=f"{row['agreement']}, {'attacked' if row['attacked'] else 'calm'}",
            )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="rounds",
            ylabel="share of runs that need at least so many",
            title=f"N = 4, f = 1, coin schedule {found['coin_schedule']}, {found['seeds']:,} seeds, simulated",
        )
        axes.legend()
        figure.savefig(path, dpi=150)
