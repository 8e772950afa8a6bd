"""The record of a run: all entrances lead to it, it survives being written down, and contradictions are refused."""

import datetime
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import click
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.plan.run_settings
from bench.plan.build_run import build_run, run_of
from bench.plan.experiment import Experiment, varied_keys
from bench.plan.fields import Field, Given, fields_of, given_in
from bench.plan.run_settings import RunSettings, every_field, parameter_fields, run_fields
from bench.run.single_run import load_settings
from crypto.suites import installed_suites
from honeybadger.cli import options
from honeybadger.cli.local import command
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.toml_file import read_toml
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.registry import protocol_names

#: of the command, not of the run
NOT_OF_A_RUN = {"config", "help"}
NOT_FOR_EXPERIMENTS = {"out", "json"}
#: values that have a grammar of their own, and no need of another option
TEXTS = {
    "tx-size": ["16", "100-500", "exp:250"],
    "byzantine": ["", "1:silent"],
    "partition": ["", "0,1|2@5-6", "0>1"],
    "delay": ["", "100ms~20ms;leader:1s@2-"],
    "bandwidth": ["", "0:1.5MB@0-5"],
    "drop": ["", "0.01"],
    "reset": ["", "500ms"],
    "slow": ["", "1:20ms@5-"],
    "wan": ["", "two-regions"],
    "encryption": ["always", "never", "every:3", "first:1,of:4"],
    "agreement": ["mmr14-conf", "crain20"],
}
#: so that the rest of the record allows it
LIMITS = {"nodes": (4, 40), "faults": (0, 1), "pipeline-depth": (1, 4), "window": (1, 1000), "epoch-window": (4, 8)}
LIMITS |= {"max-tx-bytes": (8192, 65536), "max-proposal-bytes": (100_000, 200_000), "base-port": (1, 60_000)}
LIMITS |= {"crash": (0, 0), "restart": (0, 0), "restart-rounds": (1, 1)}
LIMITS |= {"rate": (0.5, 1000.0), "duration": (10.0, 100.0), "warmup": (0.0, 100.0)}
#: not drawn: other options depend on them
FIXED = {"protocol", "restart-all", "restart-primary", "restart-after", "arrivals", "instrumentation", "encrypt"}


def value_of(field: Field) -> st.SearchStrategy[Any]:
    """Values of one field that contradict no other."""
    if field.key in TEXTS:
        return st.sampled_from(TEXTS[field.key])
    if field.key == "suite":
        return st.sampled_from([suite.name for suite in installed_suites()])
    if field.choices:
        return st.sampled_from(field.choices)
    if field.base is bool:
        return st.booleans()
    kind = st.integers if field.base is int else st.floats
    low, high = LIMITS.get(field.key) or (field.low, field.high)
    # A protocol may allow less: the sequencer has one epoch in progress.
    return kind(low, high if field.high is None else min(high, field.high))


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    protocol = draw(st.sampled_from(protocol_names()))
    fields = run_fields() | parameter_fields(protocol)
    chosen = draw(st.sets(st.sampled_from(sorted(fields.keys() - FIXED - NOT_FOR_EXPERIMENTS))))
    values = {key: draw(value_of(fields[key])) for key in chosen if key != "window" or "rate" not in chosen}
    return {"protocol": protocol, **values}


@given(records())
@settings(max_examples=25, deadline=None)
def test_a_record_survives_toml(tmp_path_factory, raw):
    made = build_run(given_in(raw))
    for key, value in raw.items():
        assert made.options[key] == value, key
    path = tmp_path_factory.getbasetemp() / "run.toml"
    path.write_text(tomli_w.dumps({key: value for key, value in made.options.items() if value is not None}))
    again = build_run(given_in(read_toml(path)))
    assert again == made and again.options == made.options


def test_every_option_has_all_entrances_and_a_description():
    shown = " ".join(command.get_help(click.Context(command)).split())
    seen = {}
    for parameter in command.params:
        if parameter.name in NOT_OF_A_RUN:
            continue
        assert isinstance(parameter, options.FieldOption), parameter.name
        field = parameter.field
        seen[field.key] = field
        assert f"--{field.key}" in parameter.opts
        assert parameter.envvar == "HONEYBADGER_" + field.key.upper().replace("-", "_")
        assert len(field.description) > 10 and field.description.split()[0] in shown
        assert field.group
    assert seen.keys() == every_field().keys()
    assert {"-n", "-f"} < {flag for parameter in command.params for flag in parameter.opts}
    for key, field in seen.items():
        if key in NOT_FOR_EXPERIMENTS:
            with pytest.raises(ClusterError, match=f"x: {key} is not for experiments"):
                Experiment.parse({key: "x"}, "x")
            continue
        # Each is known to a config file and to an experiment, for a date is of no type that any of them has.
        raw = {"protocol": next(iter(field.owners), "honeybadger"), key: datetime.date(2020, 1, 1)}
        for refuse in (lambda raw: build_run(given_in(raw, "c.toml")), lambda raw: Experiment.parse(raw, "c.toml")):
            with pytest.raises(ClusterError, match=f"c.toml: {key} = 2020-01-01 is not"):
                refuse(raw)


def chosen(*arguments: str, config: Path | None = None, **environment: str) -> RunSettings:
    """What the command line, variables and a file make."""
    with patch.dict(os.environ, environment), command.make_context("local", list(arguments)) as context:
        file = given_in(read_toml(config), "run.toml") if config else {}
        return build_run({**file, **options.given(context)})


def test_file_below_environment_below_flag(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('nodes = 7\nbatch_size = 70\ncurve = false\nwarmup = 0\ndrop = "0.1;0.2"\n')
    made = chosen("--nodes", "10", "--curve", config=config, HONEYBADGER_BATCH_SIZE="100", HONEYBADGER_NODES="13")
    assert (made.nodes, made.parameters.batch_size, made.curve, made.warmup_s) == (10, 100, True, 0.0)
    # Pieces of one text:
    assert made.drop == "0.1;0.2" and chosen("--drop", "0.5", config=config).drop == "0.5"
    assert chosen("--drop", "0.1;0.2", "--drop", "0.3").drop == "0.1;0.2;0.3"
    assert chosen(HONEYBADGER_DROP="0.1; 0.2").drop == "0.1; 0.2"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("window", 5, "{window} is for the closed loop, without {rate}"),
        ("nodes", "many", "{nodes='many'} is not a whole number of at least 1"),
        ("byzantine", "1:shout", "{byzantine}: honeybadger knows no strategy shout; it has bad-certificates, "),
        ("view-timeout", 1, "{view-timeout} is for hotstuff, pbft and vr, not for honeybadger"),
        ("instrumentation", False, "{instrumentation=false}: nodes must report"),
    ],
)
def test_errors_name_the_option_as_it_was_written(tmp_path, key, value, says):
    raw = {"rate": 9.0, "crash": 1, key: value}
    config = tmp_path / "run.toml"
    config.write_text(tomli_w.dumps(raw))
    flags = [f"--no-{key}" if value is False else f"--{key}={value}", "--rate=9", "--crash=1"]
    names = {f"HONEYBADGER_{k.upper().replace('-', '_')}": str(v) for k, v in raw.items()}

    def told(style: str) -> str:
        """`says` with {key} as it is written there, and {key=value} with its value."""

        def one(match: re.Match[str]) -> str:
            name, equals, shown = match[1].partition("=")
            if style == "flags":
                return f"--no-{name}" if shown == "false" else f"--{name} {shown}".rstrip()
            variable = "HONEYBADGER_" + name.upper().replace("-", "_")
            name = {"environment": variable, "file": f"run.toml: {name}"}.get(style, name)
            return f"{name} = {shown}" if equals else name

        return ("x.toml: " if style == "experiment" else "") + re.sub(r"\{(.*?)\}", one, says)

    entrances = {
        "flags": lambda: chosen(*flags),
        "environment": lambda: chosen(**names),
        "file": lambda: chosen(config=config),
        "experiment": lambda: Experiment.parse(raw, "x.toml"),
    }
    for style, enter in entrances.items():
        with pytest.raises(ClusterError) as error:
            enter()
        assert str(error.value).startswith(told(style)) and "\n" not in str(error.value), style


def test_a_parameter_of_another_protocol_is_refused_and_the_help_says_whose_it_is():
    with pytest.raises(ClusterError, match="coin_schedule is for honeybadger, not for pbft"):
        run_of(protocol="pbft", coin_schedule="every-round")
    shown = " ".join(command.get_help(click.Context(command)).split())
    assert "Only with hotstuff, pbft and vr" in shown and "Only with honeybadger" in shown
    assert (
        "eight-regions" in shown
        and "equivocate-votes" in shown.replace("- ", "-")
        and "Consensus protocol: honeybadger, hotstuff, pbft" in shown
    )


def test_no_encrypt_is_short_for_never():
    assert run_of(encrypt=False).parameters == run_of(encryption="never").parameters
    assert not run_of(encrypt=False).parameters.encrypts
    with pytest.raises(ClusterError, match="encrypt = false contradicts encryption"):
        run_of(encrypt=False, encryption="every:2")
    assert not run_of(protocol="pbft", encrypt=False).parameters.encrypts


def test_what_follows_from_the_protocol_is_not_varied():
    series = [{"protocol": "honeybadger"}, {"protocol": "pbft", "view-timeout": 9.0}]
    runs = Experiment.parse({"series": series}, "x").runs
    assert runs[0].options["max-proposal-bytes"] is None, "it follows from N and B"
    assert runs[0].options["pipeline-depth"] != runs[1].options["pipeline-depth"]
    assert varied_keys([run.options for run in runs]) == ["protocol"]
    series.append({"protocol": "pbft", "view-timeout": 5.0})
    assert Experiment.parse({"series": series}, "x").varied == ["protocol", "view-timeout"]


class Greedy(Parameters, frozen=True, kw_only=True):
    #: a field without metadata is an option too
    rate: int = 1


def test_a_parameter_may_not_have_the_name_of_an_option(monkeypatch):
    assert fields_of(Greedy)["rate"].read(Given("3", "--rate", is_text=True)) == 3
    monkeypatch.setattr(bench.plan.run_settings, "find_protocol", lambda name: SimpleNamespace(parameters=Greedy))
    with pytest.raises(ClusterError, match="protocol greedy has a parameter rate, but so has every run"):
        parameter_fields("greedy")


@pytest.mark.parametrize(
    ("key", "values", "protocol"),
    [
        ("restart", [0, 1], "honeybadger"),
        ("restart-all", [False, True], "honeybadger"),
        ("restart-primary", [False, True], "pbft"),
    ],
)
def test_an_experiment_may_have_runs_without_the_restarts_that_others_have(key, values, protocol):
    rest = {"protocol": protocol, "restart-after": 1.0, "restart-rounds": 2}
    runs = Experiment.parse({key: values, **rest}, "x").runs
    assert [run.options[key] for run in runs] == values
    with pytest.raises(ClusterError, match="restart-rounds needs restart, restart-all or restart-primary"):
        Experiment.parse(rest, "x")


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ({}, 300),
        ({"submit_to": "f+1"}, 600),
        ({"submit_to": "all"}, 1200),
        ({"submit_to": "all", "window": 7}, 7),
        ({"submit_to": "all", "batch_size": 400_000}, 1_000_000),
        # A mempool has 256 MiB.
        ({"submit_to": "all", "batch_size": 400_000, "tx_size": 1024}, 262_144),
    ],
    ids=str,
)
def test_nodes_that_hold_the_same_transactions_are_given_more_of_them_but_no_more_than_they_take(options, window):
    assert load_settings(run_of(**{"nodes": 4, "batch_size": 400, **options})).window == window
