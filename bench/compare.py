"""Two results against each other: ratios with their spread, and what is not the same in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.results import Group, Result, figure, in_words
from honeybadger.cluster.errors import ClusterError
from honeybadger.protocols.quorums import Quorums
from honeybadger.wording import counted

#: (name in the summary, heading)
FIGURES = (
    ("throughput_tx_per_s", "committed tx/s"),
    ("latency_s.p50", "latency p50"),
    ("latency_s.p99", "latency p99"),
    ("epoch_s.p50", "epoch p50"),
    ("cpu_s_per_tx", "CPU per tx"),
    ("sent_bytes_per_tx", "sent bytes per tx"),
)


@dataclass(frozen=True)
class Ratio:
    """B over A: the median, and the extremes. `pairs`: how many repeats were compared one by one; 0 if they were not,
    and the extremes are those of any run of B over any run of A."""

    median: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class Comparison:
    """Runs of A and B that are compared; `differences` lists settings of theirs that are not the same."""

    a: Group
    b: Group
    differences: list[str]
    ratios: dict[str, Ratio | None]


def pair(a: Sequence[Group], b: Sequence[Group], declared: Sequence[str] = ()) -> tuple[list[Comparison], list[str]]:
    """What belongs together, and all reasons why this compares unlike things.

    Groups with the same settings belong together, but for the `declared` keys, in which they are meant to differ; where
    N may, f may too if it is the most that N allows. If there is one group on each side, these two are compared
    whatever their settings are.
    """
    if "nodes" in declared and all(_tolerates_most(group) for group in (*a, *b)):
        declared = [*declared, "faults"]
    unlike: list[str] = []
    if len(a) == len(b) == 1:
        pairs = [(a[0], b[0])]
    else:
        by_settings = {_identity(group, declared): group for group in b}
        if len(by_settings) < len(b) or len({_identity(group, declared) for group in a}) < len(a):
            raise ClusterError("several kinds of runs would match the same one: choose with --a and --b")
        pairs = [(group, by_settings[key]) for group in a if (key := _identity(group, declared)) in by_settings]
        if not pairs:
            raise ClusterError("no run of A has the settings of a run of B; choose one kind of each with --a and --b")
        for name, groups, others in (("A", a, b), ("B", b, a)):
            matched = {_identity(group, declared) for group in others}
            missing = [group for group in groups if _identity(group, declared) not in matched]
            if missing:
                unlike.append(f"no counterpart for {counted(len(missing), 'kind')} of runs of {name}")
    comparisons = [_compare(first, second, declared) for first, second in pairs]
    for comparison in comparisons:
        unlike += [line for line in comparison.differences if line not in unlike]
    return comparisons, unlike


def chosen(groups: Sequence[Group], wanted: Mapping[str, str]) -> list[Group]:
    """The groups whose settings have these values, written as texts; ClusterError if there are none."""
    for key in wanted:
        if not any(key in group.options for group in groups):
            raise ClusterError(f"{key} is not a setting of these runs")
    found = [g for g in groups if all(_text(g.options.get(key)) == _text_of(value) for key, value in wanted.items())]
    if not found:
        raise ClusterError("no run has " + ", ".join(f"{key}={value}" for key, value in wanted.items()))
    return found


def differences(a: Group, b: Group, declared: Sequence[str] = ()) -> list[str]:
    """What is not the same, one line each: settings, then machine and library versions."""
    found = []
    for key in dict.fromkeys([*a.options, *b.options]):
        if key not in declared and a.options.get(key) != b.options.get(key):
            found.append(f"{key}: {_said(a, key)} against {_said(b, key)}")
    old, new = ({r.summary.get("schema") for r in group.valid} for group in (a, b))
    if old and new and old != new:
        found.append(f"schema of the summary: {_list(sorted(map(str, old)))} against {_list(sorted(map(str, new)))}")
    for name in ("machine", "versions"):
        first, second = _recorded(a.results, name), _recorded(b.results, name)
        for key in sorted({*first, *second}):
            if key != "honeybadger" and first.get(key) != second.get(key):
                found.append(f"{name}, {key}: {_list(first.get(key))} against {_list(second.get(key))}")
    return found


def commits(groups: Sequence[Group]) -> list[str]:
    """Versions of the code that made these runs."""
    return sorted({r.summary["commit"] for group in groups for r in group.results if r.summary.get("commit")})


def _compare(a: Group, b: Group, declared: Sequence[str]) -> Comparison:
    return Comparison(a, b, differences(a, b, declared), {name: ratio(a, b, name) for name, _ in FIGURES})


def ratio(a: Group, b: Group, name: str) -> Ratio | None:
    """By pairs of the same repeat if every valid run has its counterpart, else of medians; None without figures."""
    first = {r.repeat: value for r in a.valid if (value := figure(r.summary, name))}
    second = {r.repeat: value for r in b.valid if (value := figure(r.summary, name)) is not None}
    if not first or not second:
        return None
    if first.keys() == second.keys():
        ratios = [second[repeat] / first[repeat] for repeat in sorted(first)]
        return Ratio(median(ratios), min(ratios), max(ratios), len(ratios))
    x, y = list(first.values()), list(second.values())
    return Ratio(median(y) / median(x), min(y) / max(x), max(y) / min(x), 0)


def _tolerates_most(group: Group) -> bool:
    return bool(group.options["faults"] == Quorums.largest_faults(group.options["nodes"]))


def _identity(group: Group, declared: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, repr(value)) for key, value in group.options.items() if key not in declared))


def _recorded(results: Sequence[Result], name: str) -> dict[str, list[str]]:
    """Key → the distinct values that these runs recorded."""
    found: dict[str, set[str]] = {}
    for result in results:
        for key, value in (result.summary.get(name) or {}).items():
            found.setdefault(key, set()).add(str(value))
    return {key: sorted(values) for key, values in found.items()}


def _list(values: list[str] | None) -> str:
    return " and ".join(values) if values else "nothing"


def _said(group: Group, key: str) -> str:
    return in_words(key, group.options.get(key))


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else _text_of(str(value))


def _text_of(text: str) -> str:
    """One spelling for numbers."""
    try:
        return f"{float(text):g}"
    except ValueError:
        return text.strip()
