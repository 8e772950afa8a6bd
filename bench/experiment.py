"""An experiment: a TOML manifest whose lists are crossed, resolved into runs of `honeybadger local`.

Keys are the long flag names of `honeybadger local`, with - or _; a value, or a list of values to cross. `name`, `about`
(one line for people) and `repeats` belong to the experiment; each table of `[[series]]` is crossed by itself on top of
the keys before it. Repeat r uses `seed` + r. All combinations are run before the next repeat begins (A B A B …), so
that a machine that changes its mood meets all of them alike.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from bench.settings import LocalSettings
from bench.workload import TxSizes
from honeybadger.cli.local import command as local_command
from honeybadger.cli.local import convert, known_keys, make_settings
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.toml_file import read_toml

#: keys of `honeybadger local` that mean nothing here
_NOT_HERE = ("config", "json", "out")
_OWN_KEYS = ("name", "about", "repeats", "series")
MOST_RUNS = 10_000
_NAME = r"\w[\w .+-]{0,99}"

Options = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run. `options`: every key of `honeybadger local`, resolved, as plain data; `repeat` counts from 0."""

    options: Options
    repeat: int
    settings: LocalSettings

    @property
    def key(self) -> str:
        """The same for the same resolved settings, seed included: 12 hexadecimal digits."""
        text = json.dumps(self.options, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def directory_name(self) -> str:
        """For people, and unique."""
        o = self.options
        return f"{o['protocol']}-n{o['nodes']}-b{o['batch-size']}-r{self.repeat}-{self.key}"

    @property
    def planned_s(self) -> float:
        """Warm-up and measured time."""
        return self.settings.warmup_s + self.settings.duration_s


@dataclass(frozen=True)
class Experiment:
    """A manifest, checked as a whole: every run in it can be started.

    `varied`: keys with more than one value; `source`: the manifest's file, if it has one.
    """

    name: str
    about: str
    repeats: int
    runs: list[Run]
    varied: list[str]
    source: Path | None = None

    @staticmethod
    def load(path: Path) -> Experiment:
        """ClusterError or UsageError, in one line, for the first thing that is wrong."""
        raw = read_toml(path)
        if not raw:
            raise ClusterError(f"{path}: there is nothing in it")
        return replace(Experiment.parse(raw, str(path), path.stem), source=path)

    @staticmethod
    def parse(raw: dict[str, Any], where: str, name: str = "experiment") -> Experiment:
        """From the contents of a manifest; `where` names it in errors."""
        own = {key: raw[key] for key in _OWN_KEYS if key in raw}
        repeats, series = own.get("repeats", 1), own.get("series", [{}])
        if type(repeats) is not int or not 1 <= repeats <= 1000:
            raise ClusterError(f"{where}: repeats = {repeats!s:.60} is not a number from 1 to 1000")
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
        combinations: list[Options] = []
        for one in series:
            for options in _cross(_lists(common, where) | _lists(one, where), where):
                if options not in combinations:
                    combinations.append(options)
                if len(combinations) * repeats > MOST_RUNS:
                    raise ClusterError(f"{where}: more than {MOST_RUNS} runs")
        runs = [_run(options, repeat, where) for repeat in range(repeats) for options in combinations]
        return Experiment(name, own.get("about", ""), repeats, runs, varied_keys(combinations))


def varied_keys(combinations: Sequence[Options]) -> list[str]:
    """Keys that are not the same in all of them, but for f where it just follows N."""
    keys = list(dict.fromkeys(key for one in combinations for key in one))
    varied = [key for key in keys if len({json.dumps(one.get(key)) for one in combinations}) > 1]
    pairs = {(one["nodes"], one["faults"]) for one in combinations if {"nodes", "faults"} <= one.keys()}
    follows = "nodes" in varied and len(pairs) == len({nodes for nodes, _ in pairs})
    return [key for key in varied if key != "faults" or not follows]


def resolve(values: Options, where: str) -> Options:
    """Every key of `honeybadger local`: from `values`, else its default. The environment has no say here.

    Plain data: texts, numbers and truths; None for what `honeybadger local` works out by itself.
    """
    context = click.Context(local_command)
    options: Options = {}
    for key, parameter in known_keys(local_command, *_NOT_HERE).items():
        if key in values:
            options[key] = values[key]
            continue
        default = parameter.get_default(context)
        plain = isinstance(default, str | int | float | bool)
        options[key] = default if plain else "" if parameter.multiple else None
    unknown = values.keys() - options.keys()
    if unknown:
        raise ClusterError(f"{where}: unknown key {min(unknown)}")
    if options["seed"] is None:
        options["seed"] = 1
    return options


def settings_of(options: Options, where: str) -> LocalSettings:
    """The run that resolved options describe; ClusterError or UsageError, in one line, if it makes no sense."""
    context = click.Context(local_command)
    given: Options = {}
    for key, parameter in known_keys(local_command, *_NOT_HERE).items():
        value = options[key]
        # "" is no fault at all, so that a list can hold "none" beside others.
        absent = value is None or (parameter.multiple and value == "")
        try:
            converted = None if absent else convert(context, parameter, value)
        except ValueError as error:
            raise ClusterError(f"{where}: {key}{error}") from None
        given[parameter.name or key] = () if absent and parameter.multiple else converted
    usual = resolve({}, where)
    chosen = {p.name for key, p in known_keys(local_command, *_NOT_HERE).items() if options[key] != usual[key]}
    try:
        return make_settings({**given, "out": None}, chosen.__contains__)
    except click.UsageError as error:
        raise ClusterError(f"{where}: {error.message}") from None
    except ClusterError as error:
        raise ClusterError(f"{where}: {error}") from None


def _lists(raw: dict[str, Any], where: str) -> dict[str, list[Any]]:
    """Key, as a flag is written → its values."""
    lists: dict[str, list[Any]] = {}
    known = known_keys(local_command, *_NOT_HERE)
    for written, value in raw.items():
        key = written.replace("_", "-")
        if key not in known:
            raise ClusterError(f"{where}: unknown key {written}")
        if key in lists:
            raise ClusterError(f"{where}: {written} is there twice, with - and with _")
        lists[key] = value if isinstance(value, list) else [value]
        if not lists[key]:
            raise ClusterError(f"{where}: {written} has no values")
    return lists


def _cross(lists: dict[str, list[Any]], where: str) -> Iterable[Options]:
    if math.prod(map(len, lists.values())) > MOST_RUNS:
        raise ClusterError(f"{where}: more than {MOST_RUNS} runs")
    for values in itertools.product(*lists.values()):
        options = resolve(dict(zip(lists, values, strict=True)), where)
        settings = settings_of(options, where)
        # One spelling for what is the same.
        tx_size = TxSizes.parse(options["tx-size"]).text
        plain = {
            key: float(value) if _is_number(key) and value is not None else value for key, value in options.items()
        }
        yield {**plain, "tx-size": tx_size, "submit-to": str(options["submit-to"]), "faults": settings.faults}


def _is_number(key: str) -> bool:
    return isinstance(known_keys(local_command)[key].type, click.types.FloatParamType | click.types.FloatRange)


def _run(options: Options, repeat: int, where: str) -> Run:
    options = {**options, "seed": options["seed"] + repeat}
    return Run(options, repeat, settings_of(options, where))
