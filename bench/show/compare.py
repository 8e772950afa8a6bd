"""Compares two results: ratios with their spread, and differing settings."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from bench.measure.results import Group, Result, figure, in_words
from bench.places.choice import PROCESSES
from bench.plan.experiment import follows_protocol
from honeybadger.cluster.errors import ClusterError
from honeybadger.node.crypto_time import OPERATIONS
from honeybadger.protocols.registry import find_protocol
from honeybadger.wording import counted

#: (name in the summary, heading)
FIGURES = (
    ("throughput_tx_per_s", "committed tx/s"),
    ("latency_s.p50", "latency p50"),
    ("latency_s.p99", "latency p99"),
    ("epoch_s.p50", "epoch p50"),
    ("cpu_s_per_tx", "CPU per tx"),
    ("cpu_s_per_epoch", "CPU per epoch"),
    ("sent_bytes_per_tx", "sent bytes per tx"),
    ("written_bytes_per_tx", "written bytes per tx"),
)
#: processor time of cryptography in an epoch, by operation
CRYPTO_FIGURES = tuple((f"crypto_cpu_s_per_epoch.{name}", name.replace("_", " ")) for name in OPERATIONS)
#: figures whose error each run states
ERRORS = {"throughput_tx_per_s": "throughput_error_tx_per_s"}
#: what is recorded of machine, versions and simulation, and may differ
OF_EACH_RUN = ("honeybadger", "virtual_s", "events", "took_s", "table")
#: the median of many values varies by this factor more than their mean
_OF_MEDIANS = math.sqrt(math.pi / 2)


@dataclass(frozen=True)
class Ratio:
    """B over A: median and extremes. `pairs`: how many repeats were compared one by one; 0 if every run of B was
    compared with every run of A.

    `error`: half of the 95 % interval of the median, as the runs themselves state their errors; None if they do not.
    """

    median: float
    low: float
    high: float
    pairs: int
    error: float | None = None

    @property
    def is_none(self) -> bool:
        """Whether the two do not differ by more than their error."""
        return self.error is not None and abs(self.median - 1) <= self.error


@dataclass(frozen=True)
class Comparison:
    """Runs of A and B that are compared; `differences` lists differing settings."""

    a: Group
    b: Group
    differences: list[str]
    ratios: dict[str, Ratio | None]


def pair(a: Sequence[Group], b: Sequence[Group], declared: Sequence[str] = ()) -> tuple[list[Comparison], list[str]]:
    """The comparisons to make, and all reasons why they compare unlike things.

    Groups with the same settings are compared. They may differ in the `declared` keys; if N is one, f may differ too if
    it is the most that N allows; if the protocol is one, so may its own parameters. If each side has one group, these
    two are compared whatever their settings are.
    """
    if "nodes" in declared and all(_tolerates_most(group) for group in (*a, *b)):
        declared = [*declared, "faults"]
    if "protocol" in declared:
        every = [group.options for group in (*a, *b)]
        declared = [*declared, *(key for key in {key for one in every for key in one} if follows_protocol(key, every))]
    unlike: list[str] = []
    if len(a) == len(b) == 1:
        pairs = [(a[0], b[0])]
    else:
        by_settings = {_identity(group, declared): group for group in b}
        if len(by_settings) < len(b) or len({_identity(group, declared) for group in a}) < len(a):
            raise ClusterError("several kinds of runs match the same kind: choose with --a and --b")
        pairs = [(group, by_settings[key]) for group in a if (key := _identity(group, declared)) in by_settings]
        if not pairs:
            raise ClusterError("no run of A has the settings of a run of B; choose one kind of each with --a and --b")
        for name, groups, others in (("A", a, b), ("B", b, a)):
            matched = {_identity(group, declared) for group in others}
            missing = [group for group in groups if _identity(group, declared) not in matched]
            if missing:
                unlike.append(f"no counterpart for {counted(len(missing), 'kind')} of runs of {name}")
    figures = (*FIGURES, *CRYPTO_FIGURES)
    comparisons = [
        Comparison(x, y, differences(x, y, declared), {name: ratio(x, y, name) for name, _ in figures})
        for x, y in pairs
    ]
    for comparison in comparisons:
        unlike += [line for line in comparison.differences if line not in unlike]
    return comparisons, unlike


def chosen(groups: Sequence[Group], settings: Mapping[str, str]) -> list[Group]:
    """The groups with these `settings`, whose values are texts; ClusterError if there are none."""
    for key in settings:
        if not any(key in group.options for group in groups):
            raise ClusterError(f"{key} is not a setting of these runs")
    kept = [g for g in groups if all(_text(g.options.get(key)) == _text(value) for key, value in settings.items())]
    if not kept:
        raise ClusterError("no run has " + ", ".join(f"{key}={value}" for key, value in settings.items()))
    return kept


def differences(a: Group, b: Group, declared: Sequence[str] = ()) -> list[str]:
    """One line for each difference: settings, then machine and library versions."""
    lines = []
    for key in dict.fromkeys([*a.options, *b.options]):
        if key not in declared and a.options.get(key) != b.options.get(key):
            was, now = (in_words(key, group.options.get(key)).removeprefix(f"{key} = ") for group in (a, b))
            lines.append(f"{key}: {was} against {now}")
    old, new = ({r.summary.get("schema") for r in group.valid} for group in (a, b))
    if old and new and old != new:
        lines.append(f"schema of the summary: {_list(sorted(map(str, old)))} against {_list(sorted(map(str, new)))}")
    here, there = ({str(r.summary.get("place", PROCESSES)) for r in group.valid} for group in (a, b))
    if here and there and here != there:
        lines.append(f"place: {_list(sorted(here))} against {_list(sorted(there))}")
    for name in ("machine", "versions", "simulation"):
        first, second = _recorded(a.results, name), _recorded(b.results, name)
        for key in sorted({*first, *second}):
            if key not in OF_EACH_RUN and first.get(key) != second.get(key):
                lines.append(f"{name}, {key}: {_list(first.get(key))} against {_list(second.get(key))}")
    return lines


def ratio(a: Group, b: Group, name: str) -> Ratio | None:
    """By repeats if every valid run has a counterpart, else of medians; None without figures."""
    first = {r.repeat: value for r in a.valid if (value := figure(r.summary, name))}
    second = {r.repeat: value for r in b.valid if (value := figure(r.summary, name)) is not None}
    if not first or not second:
        return None
    relative = (_relative_error(a, name), _relative_error(b, name))
    known = [one for one in relative if one is not None]
    error = math.hypot(*known) if len(known) == 2 else None
    if first.keys() == second.keys():
        ratios = [second[repeat] / first[repeat] for repeat in sorted(first)]
        middle, low, high, pairs = median(ratios), min(ratios), max(ratios), len(ratios)
    else:
        x, y = list(first.values()), list(second.values())
        middle, low, high, pairs = median(y) / median(x), min(y) / max(x), max(y) / min(x), 0
    return Ratio(middle, low, high, pairs, None if error is None else middle * error)


def _relative_error(group: Group, name: str) -> float | None:
    """Of the median of `name` over the valid runs, from the errors that these state; None if one does not."""
    values = [(figure(r.summary, name), figure(r.summary, ERRORS.get(name, ""))) for r in group.valid]
    errors = [error / value for value, error in values if value and error is not None]
    if not errors or len(errors) < len(values):
        return None
    of_one = math.sqrt(fmean(error * error for error in errors))
    return of_one * (_OF_MEDIANS if len(errors) > 2 else 1.0) / math.sqrt(len(errors))


def _tolerates_most(group: Group) -> bool:
    model = find_protocol(group.options["protocol"]).fault_model
    return bool(group.options["faults"] == model.largest_faults(group.options["nodes"]))


def _identity(group: Group, declared: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, repr(value)) for key, value in group.options.items() if key not in declared))


def _recorded(results: Sequence[Result], name: str) -> dict[str, list[str]]:
    """Key → the distinct values that these runs recorded."""
    recorded: dict[str, set[str]] = defaultdict(set)
    for result in results:
        for key, value in (result.summary.get(name) or {}).items():
            recorded[key].add(str(value))
    return {key: sorted(values) for key, values in recorded.items()}


def _list(values: list[str] | None) -> str:
    return " and ".join(values) if values else "nothing"


def _text(value: Any) -> str:
    """One spelling for numbers, and that of a manifest for truth values."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return f"{float(text):g}"
    except ValueError:
        return text.strip()
