"""What a search is to try, as a person writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec

from bench.plan.fields import Field, Given, SettingsError, about, fields_of
from bench.plan.run_settings import every_field, parameter_fields, run_fields
from honeybadger.cluster.manifest import Runtime, refuse_flawed
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol, protocol_names
from honeybadger.simulation.schedulers.catalogue import find_scheduler
from honeybadger.simulation.search import Wishes, liars
from honeybadger.simulation.search.case import Part
from honeybadger.simulation.search.draw import ANY
from honeybadger.wording import counted

_search = partial(about, "Search")
_run = partial(about, "Each run")
_found = partial(about, "What is found")

#: more nodes than this take too long for many runs
MOST_NODES = 40
#: the scheduler that needs one agreement alone, four nodes, and the last of them for itself
COIN_ATTACK = "coin-attack"
#: parts of Honey Badger
ALONE: dict[Part, str] = {"agreement": "binary agreement", "broadcast": "reliable broadcast"}
#: part → options that concern nothing else in Honey Badger
ONLY_IN: dict[Part, set[str]] = {
    "agreement": {"agreement", "coin-schedule"},
    "broadcast": {"broadcast"},
    "whole": {"transactions", "epochs"},
}


def _schedulers() -> Iterable[str]:
    from honeybadger.simulation.schedulers.catalogue import YOURS, describe_schedulers

    return [ANY, *(one.usage for one in describe_schedulers()), f"a class of your own as {YOURS}", "or several with +"]


def _liars() -> Iterable[str]:
    fit = {name: ", ".join(liars.names(name)) for name in protocol_names()}
    return ["; ".join(f"with {name} {names}" for name, names in fit.items())]


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Fields are what a person may choose. Without `schedule`, what is None is drawn for each run."""

    runs: Annotated[int, _search("How many runs, each with the next seed.", ge=1, le=10**9)] = 1000
    seed: Annotated[int, _search("Seed of the first run.", usual="a random one", ge=0, le=2**53)] | None = None
    jobs: Annotated[int, _search("Processes that play runs.", ge=1, le=1024)] = 1

    nodes: Annotated[str, _run("Number of nodes (N), or a range to draw from: 4-7.", short="n")] = "4"
    part: Annotated[Part, _run("The whole protocol, or one agreement or broadcast of Honey Badger alone.")] = "whole"
    schedule: Annotated[
        str,
        _run("Order of messages. any draws it for each run, with liars, restarts and parameters.", names=_schedulers),
    ] = ANY
    byzantine: (
        Annotated[
            str, _run("Liars, as 3:twins,0:silent.", metavar="NODE:NAME[,...]", usual="none, or drawn", names=_liars)
        ]
        | None
    ) = None
    restart: (
        Annotated[int, _run("Crashes with a restart, at random moments.", usual="0, or drawn", ge=0, le=100)] | None
    ) = None
    crash: Annotated[int, _run("Nodes that crash and stay away.", ge=0, le=100)] = 0
    transactions: (
        Annotated[int, _run("To submit at a time, each to f+1 nodes.", usual="3, or drawn", ge=1, le=1000)] | None
    ) = None
    epochs: (
        Annotated[
            int, _run("How often, each time when the last ones are committed.", usual="1, or drawn", ge=1, le=1000)
        ]
        | None
    ) = None
    steps: Annotated[int, _run("Deliveries within which all must be committed.", ge=100, le=100_000_000)] = 50_000
    real_crypto: Annotated[bool, _run("Use real cryptography, not tags that cost nothing.")] = False

    expect_stalls: Annotated[bool, _found("Only what diverges is a failure.")] = False
    shrink: Annotated[float, _found("Time to make the first finding smaller, seconds; 0 for none.", ge=0, le=1e6)] = 20
    last: Annotated[int, _found("Deliveries to show of it.", ge=0, le=50)] = 12
    out: Annotated[Path, _found("File for the first finding.", usual="the first free found-K.json")] | None = None
    replay: (
        Annotated[Path, _found("Play this finding again; of the other options only --shrink, --last, --out.")] | None
    ) = None


def search_fields() -> dict[str, Field]:
    """Key → field of each option of a search, those of the protocols' parameters included."""
    own = fields_of(SearchSettings)
    of_runs = {key: run_fields()[key] for key in ("protocol", "faults", "allow-flawed")}
    parameters = {key: every_field()[key] for name in protocol_names() for key in parameter_fields(name)}
    return {**own, **of_runs, **{key: field for key, field in parameters.items() if key not in own}}


def build_search(given: Mapping[str, Given]) -> tuple[SearchSettings, Wishes]:
    """From what a person chose, by key; SettingsError for the first thing that makes no sense."""
    fields = search_fields()
    own, of_runs = fields_of(SearchSettings), run_fields()
    values = {key: fields[key].read(one) for key, one in given.items() if key in own or key in of_runs}
    settings = SearchSettings(**{own[key].name: value for key, value in values.items() if key in own})
    protocol = values.get("protocol", "honeybadger")

    def refused(key: str, why: object, value: Any = None) -> SettingsError:
        return SettingsError(f"{given[key].shown(value) if key in given else '--' + key}: {why}")

    try:
        find_protocol(protocol)
    except LookupError as error:
        raise SettingsError(str(error)) from None
    parameters = {}
    for key, one in given.items():
        if key in values:
            continue
        allowed = parameter_fields(protocol)
        if key not in allowed:
            raise SettingsError(f"{one.written} is for {' and '.join(every_field()[key].owners)}, not for {protocol}")
        parameters[allowed[key].name] = allowed[key].read(one)
    if settings.part != "whole" and protocol != "honeybadger":
        raise refused("part", f"{protocol} has no {ALONE[settings.part]}", settings.part)
    for part, keys in ONLY_IN.items():
        if settings.part not in (part, "whole") and (strange := keys & given.keys()):
            raise SettingsError(f"{given[min(strange)].written} has no meaning with --part {settings.part}")
    try:
        nodes = _nodes(settings.nodes)
    except ValueError as error:
        raise refused("nodes", error, settings.nodes) from None
    try:
        chosen = None if settings.byzantine is None else _read_liars(protocol, settings.byzantine, nodes[0])
    except (ValueError, LookupError) as error:
        raise refused("byzantine", error, settings.byzantine) from None
    wishes = Wishes(
        protocol=protocol,
        part=settings.part,
        nodes=nodes,
        faults=values.get("faults"),
        schedule=settings.schedule,
        parameters=parameters,
        liars=chosen,
        restarts=settings.restart,
        crashes=settings.crash,
        waves=settings.epochs,
        transactions=settings.transactions,
        steps=settings.steps,
        ideal=not settings.real_crypto,
    )
    try:
        for count in nodes:
            _check(wishes, wishes.quorums(count))
            refuse_flawed(wishes.record(count, {}), Runtime(allow_flawed=values.get("allow-flawed", False)))
    except ValueError as error:
        text = str(error)
        for key, field in parameter_fields(protocol).items():
            text = text.replace(f"{field.name} = ", given.get(key, Given(None, f"--{key}")).shown("").rstrip() + " ")
        raise SettingsError(text) from None
    if settings.schedule != ANY:
        try:
            for count in nodes:
                find_scheduler(settings.schedule, count)
        except ValueError as error:
            raise SettingsError(str(error)) from None
    return settings, wishes


def _check(wishes: Wishes, quorums: Quorums) -> None:
    faulty = len(wishes.liars or {}) + wishes.crashes
    if wishes.schedule == COIN_ATTACK:
        if wishes.part != "agreement" or quorums.nodes != 4:
            raise ValueError(f"--schedule {COIN_ATTACK} needs --part agreement and four nodes")
        if faulty:
            raise ValueError(f"--schedule {COIN_ATTACK} has node 3 for itself, the only one that may be faulty")
    if faulty > quorums.faults:
        raise ValueError(
            f"{quorums.nodes} nodes tolerate {counted(quorums.faults, 'faulty one')}, not {faulty}:"
            " --byzantine and --crash"
        )


def _nodes(text: str) -> list[int]:
    match = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", text)
    if not match:
        raise ValueError("write a number or a range, such as 4 or 4-7")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= MOST_NODES:
        raise ValueError(f"must be within 1 to {MOST_NODES}, the smaller number first")
    return list(range(first, last + 1))


def _read_liars(protocol: str, text: str, nodes: int) -> dict[int, str]:
    chosen: dict[int, str] = {}
    for piece in map(str.strip, text.split(",") if text else ()):
        match = re.fullmatch(r"([0-9]{1,4}):([\w./-]+(?::\w+)?)", piece)
        if not match:
            raise ValueError("write NODE:NAME, such as 3:twins")
        node = int(match[1])
        if node >= nodes:
            raise ValueError(f"there is no node {node}; they are 0 to {nodes - 1}")
        if node in chosen:
            raise ValueError(f"node {node} is named twice")
        liars.check(protocol, match[2])
        chosen[node] = match[2]
    return chosen
