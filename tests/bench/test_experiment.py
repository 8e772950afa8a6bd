"""Manifests: what is read, crossed, refused; and what the rest of an experiment is expected to take."""

from pathlib import Path

import click
import pytest

import bench
from bench.plan.estimate import Estimate, in_words
from bench.plan.experiment import Experiment
from crypto.suites import DEFAULT, installed_suites
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.toml_file import read_toml
from honeybadger.protocols.registry import protocol_names


def parse(**raw) -> Experiment:
    return Experiment.parse(raw, "x.toml")


def chosen(experiment: Experiment, *keys: str):
    return [tuple(run.options[key] for key in keys) for run in experiment.runs]


def test_lists_are_crossed_and_repeats_come_round_by_round():
    experiment = parse(nodes=[4, 7], batch_size=[100, 200], repeats=2, seed=10)
    pairs = [(4, 100), (4, 200), (7, 100), (7, 200)]
    assert chosen(experiment, "nodes", "batch-size") == pairs * 2
    assert [(run.repeat, run.options["seed"]) for run in experiment.runs] == [(0, 10)] * 4 + [(1, 11)] * 4
    assert experiment.varied == ["nodes", "batch-size"], "f only follows N"
    assert len({run.key for run in experiment.runs}) == len({run.directory_name for run in experiment.runs}) == 8


def test_series_are_crossed_by_themselves_and_runs_are_not_done_twice():
    series = [{"nodes": [4, 7], "batch-size": 100}, {"nodes": 4, "batch_size": [100, 300]}]
    experiment = parse(rate=5, batch_size=7, series=series)
    assert chosen(experiment, "nodes", "batch-size", "rate") == [(4, 100, 5), (7, 100, 5), (4, 300, 5)]


def test_settings_are_those_of_honeybadger_local():
    faults = {"delay": ["", "0>1:2s@5-;2:1ms"], "byzantine": "1:silent"}
    load = {"tx-size": "100-200", "submit-to": ["f+1", "all"]}
    runs = parse(**faults, **load, curve=False, durability="os", rate=100, arrivals="poisson", clients=2).runs
    assert [run.settings.copies for run in runs] == [2, 3, 2, 3], "Byzantine nodes are offered nothing"
    assert [len(run.settings.link_faults) for run in runs] == [0, 0, 3, 3]
    settings = runs[0].settings
    assert settings.liars == {3: "silent"} and settings.tx_sizes.text == "100-200" and settings.clients == 2
    assert (settings.runtime.curve, settings.runtime.durability, settings.arrivals) == (False, "os", "poisson")


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"tx_size": 250}, {"tx-size": "250"}),
        ({"duration": 3}, {"duration": 3.0}),
        ({"nodes": 4}, {"nodes": 4, "faults": 1}),
        ({}, {"batch-size": 10_000, "name": "other", "about": "text"}),
    ],
)
def test_the_same_settings_have_the_same_key_and_the_environment_has_no_say(one, same, monkeypatch):
    key = parse(**one).runs[0].key
    monkeypatch.setenv("HONEYBADGER_BATCH_SIZE", "17")
    assert parse(**same).runs[0].key == key


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"nod": 4}, "x.toml: nod is not an option of a run; did you mean nodes?"),
        ({"json": True}, "json is not for experiments"),
        ({"series": [{"out": "x"}]}, "out is not for experiments"),
        ({"nodes": []}, "nodes has no values"),
        ({"nodes": ["4"]}, "nodes = '4' is not a whole number"),
        ({"rate": 0}, "x.toml: rate = 0 is not a number from 0.1 to 1,000,000"),
        ({"tx_size": 1, "tx-size": 1}, "twice"),
        ({"nodes": [4, 3], "crash": [1, 3]}, "would leave none of 3 correct nodes"),
        ({"arrivals": "poisson"}, "x.toml: arrivals is for the open loop, with rate"),
        ({"protocol": "paxos"}, 'x.toml: unknown protocol "paxos"; installed: honeybadger'),
        ({"repeats": 0}, "repeats = 0"),
        ({"repeats": True}, "repeats = true"),
        ({"repeats": "2"}, 'repeats = "2" is not a number from 1 to 1000'),
        ({"series": []}, "series are tables"),
        ({"name": 5}, "name is not text"),
        ({"name": "../evil"}, "name = '../evil' is not a name"),
        ({"name": "/tmp"}, "is not a name"),
        ({"name": ""}, "is not a name"),
        ({"name": "a\n"}, "is not a name"),
        ({"seed": list(range(200)), "nodes": list(range(4, 104))}, "more than 10000 runs"),
    ],
)
def test_nonsense_is_refused_in_one_line(raw, says):
    with pytest.raises((ClusterError, click.UsageError)) as error:
        parse(**raw)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_an_empty_file_is_no_experiment(tmp_path):
    (tmp_path / "x.toml").write_text("# nothing\n")
    with pytest.raises(ClusterError, match="there is nothing in it"):
        Experiment.load(tmp_path / "x.toml")


def test_the_estimate_learns():
    estimate = Estimate()
    runs = [(4, 10.0), (7, 10.0)]
    assert estimate.remaining_s(runs) == pytest.approx(20 + 4 + 2 + 4 + 3.5)
    estimate.learn(4, 10.0, 10.0 + 12.0)
    assert estimate.remaining_s(runs) == pytest.approx(20 + 12 + 15), "twice the overhead that was assumed"
    assert estimate.remaining_s([]) == 0
    assert [in_words(s) for s in (0.4, 59.4, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 5 min"]


MANIFESTS = sorted((Path(bench.__file__).parent / "experiments").glob("*.toml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_experiments_that_come_along_are_sound_have_a_page_and_take_minutes(path):
    raw = read_toml(path)
    asked, suites = raw.get("protocol", ["honeybadger"]), raw.get("suite", [DEFAULT])
    # Those that this installation has.
    raw["protocol"] = [name for name in asked if name in protocol_names()]
    raw["suite"] = [suite.name for suite in installed_suites() if suite.name in suites]
    experiment = Experiment.parse(raw, str(path))
    assert experiment.name == path.stem and experiment.about and len(experiment.runs) > 2
    assert path.name in path.with_name(path.stem.removesuffix("-cluster") + ".md").read_text()
    assert len({run.key for run in experiment.runs}) == len(experiment.runs)
    seconds = Estimate().remaining_s([(run.settings.nodes, run.planned_s) for run in experiment.runs])
    seconds *= len(asked) / len(raw["protocol"]) * len(suites) / len(raw["suite"])
    # What a virtual second takes, its page says.
    assert seconds < 12 * 60 or path.stem.endswith("-cluster") or experiment.simulation is not None
