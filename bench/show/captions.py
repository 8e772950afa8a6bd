"""The small print of a figure: what all its runs have in common, how many there are, and what was made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from bench.measure.results import FAULT_KEYS, RESTART_KEYS, Group
from bench.places.choice import PROCESSES
from bench.plan.experiment import varied_keys
from bench.show.words import listed, number, setting, transactions
from crypto.suites import DEFAULT

#: what a figure shows of the repeats
Of = Literal["points", "bars", "mean", "together", "first"]
#: more values of a setting are said by the first and the last
MOST_VALUES = 6


def caption(groups: Sequence[Group], of: Of) -> str:
    options = [group.options for group in groups]
    varied = varied_keys(options)
    parts = [setting(options[0], "protocol")] if "protocol" not in varied else []
    parts += [f"N = {_values(groups, 'nodes')}", f"B = {_values(groups, 'batch-size')}"]
    parts.append(listed(dict.fromkeys(transactions(one["tx-size"]) for one in options)))
    same = ("rate", *FAULT_KEYS, *RESTART_KEYS, "wan", "suite")
    unsaid: dict[str, Any] = {"wan": "", "suite": DEFAULT}
    parts += [
        setting(options[0], key)
        for key in same
        if key not in varied and (key not in unsaid or options[0].get(key, unsaid[key]) not in (None, unsaid[key]))
    ]
    parts += _places(groups)
    parts.append(_repeats(groups, of))
    return ", ".join(part for part in parts if part)


def _places(groups: Sequence[Group]) -> list[str]:
    """Where the runs were, unless it was in processes of one machine."""
    places = {str(result.summary.get("place", PROCESSES)) for group in groups for result in group.valid}
    return [] if places == {PROCESSES} else [f"in {listed(sorted(places))}"]


def _values(groups: Sequence[Group], key: str) -> str:
    values: list[Any] = sorted({group.options[key] for group in groups})
    if len(values) > MOST_VALUES:
        return f"{number(values[0])} to {number(values[-1])}"
    return listed(map(number, values))


def _repeats(groups: Sequence[Group], of: Of) -> str:
    fewest, most = min(counts := [len(group.valid) for group in groups]), max(counts)
    if most == 1:
        return "one run each" if len(groups) > 1 else "one run"
    count = str(most) if fewest == most else f"{fewest} to {most}"
    return {
        "points": f"median of {count}, bars min–max",
        "bars": f"median of {count}, whiskers min–max",
        "mean": f"mean of {count} runs",
        "together": f"{count} runs together",
        "first": f"the first of {count} runs",
    }[of]
