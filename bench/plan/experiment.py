"""An experiment: a TOML manifest whose lists are crossed, resolved into runs.

Keys are those of `RunSettings`, with - or _; a value, or a list of values to cross. `name`, `about` (one line for
people) and `repeats` belong to the experiment; each table of `[[series]]` is crossed by itself on top of the keys
before it. A table `[simulation]`, whose keys are those of `SimulationSettings`, makes it one in virtual time. Repeat r
uses `seed` + r. All combinations are run before the next repeat begins (A B A B …), so that a machine that changes its
mood meets all of them alike.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

import bench
from bench.plan.build_run import build_run
from bench.plan.fields import Given, SettingsError, given_in
from bench.plan.run_settings import RunSettings, experiment_fields, run_fields, usual_parameters
from bench.plan.simulation_settings import SimulationSettings
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.toml_file import other_kind, read_toml
from honeybadger.wording import closest

SIMULATION = "simulation"
_OWN_KEYS = ("name", "about", "repeats", "series", SIMULATION)
MOST_RUNS = 10_000
#: the experiments that come with the project
READY_MADE = Path(bench.__file__).parent / "experiments"
_NAME = r"\w[\w .+-]{0,99}"

Options = dict[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One run of an experiment. `options`: those of its settings; `repeat` counts from 0."""

    options: Options
    repeat: int
    settings: RunSettings

    @property
    def key(self) -> str:
        """The same for the same settings, seed included: 12 hexadecimal digits."""
        text = json.dumps(self.options, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def directory_name(self) -> str:
        """For people, and unique."""
        return "{protocol}-n{nodes}-b{batch-size}".format(**self.options) + f"-r{self.repeat}-{self.key}"

    @property
    def planned_s(self) -> float:
        return self.settings.warmup_s + self.settings.duration_s


@dataclass(frozen=True)
class Experiment:
    """A manifest, checked as a whole: every run in it can be started.

    `varied`: keys with more than one value; `simulation`: what it says of virtual time, None if it runs real nodes;
    `source`: the manifest's file, if it has one.
    """

    name: str
    about: str
    repeats: int
    runs: list[PlannedRun]
    varied: list[str]
    simulation: dict[str, Given] | None = None
    source: Path | None = None

    @staticmethod
    def load(path: Path) -> Experiment:
        """ClusterError, in one line, for the first thing that is wrong."""
        if not path.exists():
            raise ClusterError(f"{path}: there is no such file{_nearest_manifest(path)}")
        raw = read_toml(path)
        if kind := other_kind(raw):
            raise SettingsError(f"{path} is {kind}; here the manifest of an experiment is meant")
        if not raw:
            raise ClusterError(f"{path}: there is nothing in it")
        return replace(Experiment.parse(raw, str(path), path.stem), source=path)

    @staticmethod
    def parse(raw: dict[str, Any], where: str, name: str = "experiment") -> Experiment:
        """From the contents of a manifest; `where` names it in errors."""
        own = {key: raw[key] for key in _OWN_KEYS if key in raw}
        repeats, series = own.get("repeats", 1), own.get("series", [{}])
        if type(repeats) is not int or not 1 <= repeats <= 1000:
            # As TOML writes it: a number in quotes is text.
            raise ClusterError(
                f"{where}: repeats = {json.dumps(repeats, default=str):.60} is not a number from 1 to 1000"
            )
        for key in ("name", "about"):
            if not isinstance(own.get(key, ""), str):
                raise ClusterError(f"{where}: {key} is not text")
        name = own.get("name", name)
        # It names the directory of the results.
        if not re.fullmatch(_NAME, name):
            raise ClusterError(f"{where}: name = {name!r:.80} is not a name of letters, digits, spaces and . _ - +")
        if not isinstance(series, list) or not all(isinstance(one, dict) for one in series) or not series:
            raise ClusterError(f"{where}: series are tables, written [[series]]")
        common = {key: value for key, value in raw.items() if key not in _OWN_KEYS}
        combinations: dict[str, RunSettings] = {}
        try:
            simulation = _simulation(own.get(SIMULATION))
            for one in series:
                for given in _cross(given_in(common) | given_in(one)):
                    made = build_run(given, style="", others=_OWN_KEYS)
                    combinations.setdefault(json.dumps(made.options), made)
                    if len(combinations) * repeats > MOST_RUNS:
                        raise SettingsError(f"more than {MOST_RUNS} runs")
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from None
        runs = []
        for repeat, one in itertools.product(range(repeats), combinations.values()):
            settings = msgspec.structs.replace(one, seed=one.seed + repeat)
            runs.append(PlannedRun(settings.options, repeat, settings))
        varied = varied_keys([run.options for run in runs if not run.repeat])
        return Experiment(name, own.get("about", ""), repeats, runs, varied, simulation)


def is_experiment(raw: Mapping[str, Any]) -> bool:
    """Whether a file asks for more than the options of one run."""
    return not raw.keys().isdisjoint(_OWN_KEYS) or any(isinstance(value, list) for value in raw.values())


def _simulation(table: Any) -> dict[str, Given] | None:
    """Key → what the table says; SettingsError for what no simulation can have."""
    if table is None:
        return None
    if not isinstance(table, dict):
        raise SettingsError(f"{SIMULATION} is a table, written [{SIMULATION}]")
    given = {key: one._replace(written=f"{SIMULATION}.{one.written}") for key, one in given_in(table).items()}
    SimulationSettings.make(given)
    return given


def _nearest_manifest(path: Path) -> str:
    """A question after a name that does not exist: about the same folder, or the experiments of the project."""
    paths = {one.stem: one for folder in (READY_MADE, path.parent) for one in folder.glob("*.toml")}
    if not (like := closest(path.stem, paths)):
        return ""
    return f"; did you mean {min(str(paths[like]), os.path.relpath(paths[like]), key=len)}?"


def varied_keys(combinations: Sequence[Options]) -> list[str]:
    """Keys that are not the same in all of them, but for what just follows from another: f from N, and what
    `follows_protocol`."""
    keys = dict.fromkeys(key for one in combinations for key in one)
    different = [key for key in keys if len({json.dumps(one.get(key)) for one in combinations}) > 1]
    varied = [key for key in different if not follows_protocol(key, combinations)]
    pairs = {(one["nodes"], one["faults"]) for one in combinations if {"nodes", "faults"} <= one.keys()}
    follows = "nodes" in varied and len(pairs) == len({nodes for nodes, _ in pairs})
    return [key for key in varied if key != "faults" or not follows]


def follows_protocol(key: str, combinations: Sequence[Options]) -> bool:
    """Whether this is a parameter that differs only as protocols do: all that have it have their default, or all the
    same value."""
    values = set()
    for options in combinations:
        usual = usual_parameters(options.get("protocol", ""))
        if key in options:
            values.add("usual" if key in usual and usual[key] == options[key] else json.dumps(options[key]))
    return key != "protocol" and len(values) < 2


def _cross(given: Mapping[str, Given]) -> Iterator[dict[str, Given]]:
    lists: list[list[Given]] = []
    for key, one in given.items():
        if key in run_fields() and key not in experiment_fields():
            raise SettingsError(f"{one.written} is not for experiments")
        values = one.value if isinstance(one.value, list) else [one.value]
        if not values:
            raise SettingsError(f"{one.written} has no values")
        lists.append([one._replace(value=value) for value in values])
    if math.prod(map(len, lists)) > MOST_RUNS:
        raise SettingsError(f"more than {MOST_RUNS} runs")
    for combination in itertools.product(*lists):
        yield {"seed": Given(1, "seed"), **dict(zip(given, combination, strict=True))}
