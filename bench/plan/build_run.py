"""Builds the settings of a run from what a person chose, and checks that they fit together."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bench.plan.contradictions import contradictions
from bench.plan.fields import Given, SettingsError, given_in
from bench.plan.run_settings import RunSettings, every_field, make_parameters, parameter_fields, run_fields
from honeybadger.cluster.manifest import refuse_flawed
from honeybadger.protocols.registry import find_protocol
from honeybadger.wording import listed, nearest


def build_run(given: Mapping[str, Given], style: str = "--", others: Iterable[str] = ()) -> RunSettings:
    """From what a person chose, by key; SettingsError for the first thing that makes no sense.

    `style`: what errors put before the keys of options that were not given; `others`: what else may be written where
    these are, for a key that is mistyped.
    """
    own = run_fields()
    name = own["protocol"].read(given["protocol"]) if "protocol" in given else own["protocol"].default
    try:
        specification, allowed = find_protocol(name), parameter_fields(name)
    except LookupError as error:
        raise SettingsError(str(error)) from None
    values: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for key, one in given.items():
        if key in own:
            values[own[key].name] = own[key].read(one)
        elif key in allowed:
            chosen[allowed[key].name] = allowed[key].read(one)
        elif key in every_field():
            owners = listed(every_field()[key].owners)
            raise SettingsError(f"{one.written} is for {owners}, not for {name}")
        else:
            raise SettingsError(f"{one.written} is not an option of a run{nearest(key, [*every_field(), *others])}")

    def written(key: str, value: Any = None) -> str:
        return given.get(key, Given(None, style + key)).shown(value)

    settings = RunSettings(**values)
    if not settings.encrypt and "encryption" in allowed and chosen.setdefault("encryption", "never") != "never":
        raise SettingsError(f"{written('encrypt')} contradicts {written('encryption')}")
    try:
        quorums = settings.quorums
        parameters = make_parameters(specification, quorums, settings.runtime, chosen)
        refuse_flawed(parameters, settings.runtime)
    except ValueError as error:
        text = str(error).replace("nodes = ", written("nodes", ""))
        for key, field in allowed.items():
            text = text.replace(f"{field.name} = ", written(key, ""))
        raise SettingsError(text) from None
    settings = msgspec.structs.replace(settings, faults=quorums.faults, parameters=parameters)
    for contradiction in contradictions(settings, written, given):
        raise SettingsError(contradiction)
    return settings


def run_of(**values: Any) -> RunSettings:
    """`build_run`, with keyword arguments named as keys with _: `run_of(nodes=7, duration=5)`; None is nothing."""
    return build_run(given_in({key: value for key, value in values.items() if value is not None}))
