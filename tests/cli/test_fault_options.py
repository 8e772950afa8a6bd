"""The grammar of the fault options: what each value means, from flag, environment and config file, and nonsense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from honeybadger.cli.fault_options import fault_options, parse
from honeybadger.cli.local import read_config
from honeybadger.network.fault_schedule import LinkFault


@click.command()
@click.option("--config", type=click.Path(path_type=Path), callback=read_config, is_eager=True, expose_value=False)
@fault_options
def command(**options: Any) -> None:
    for fault in parse(options, 4):
        click.echo(repr(fault))


def run(*arguments: str, env: dict[str, str] | None = None) -> list[str]:
    done = CliRunner().invoke(command, arguments, env=env, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


MEANINGS: list[tuple[str, str, list[dict[str, Any]]]] = [
    (
        "partition",
        "0,1|2,3@5-10",
        [{"kind": "partition", "groups": ((0, 1), (2, 3)), "start_s": 5.0, "end_s": 10.0}],
    ),
    ("partition", "3", [{"kind": "partition", "groups": ((3,),)}]),
    ("partition", " 0 , 1 | 2 @ 5 - ", [{"kind": "partition", "groups": ((0, 1), (2,)), "start_s": 5.0}]),
    (
        "partition",
        "0>1,2@5.5-10",
        [{"kind": "one-way", "senders": (0,), "receivers": (1, 2), "start_s": 5.5, "end_s": 10.0}],
    ),
    ("partition", "0>*", [{"kind": "one-way", "senders": (0,)}]),
    ("partition", "*>0", [{"kind": "one-way", "receivers": (0,)}]),
    ("delay", "100ms", [{"kind": "delay", "delay_s": 0.1}]),
    ("delay", "0.1s~20ms", [{"kind": "delay", "delay_s": 0.1, "jitter_s": 0.02}]),
    (
        "delay",
        "3:50ms@5-10",
        [
            {"kind": "delay", "delay_s": 0.05, "senders": (3,), "start_s": 5.0, "end_s": 10.0},
            {"kind": "delay", "delay_s": 0.05, "receivers": (3,), "start_s": 5.0, "end_s": 10.0},
        ],
    ),
    ("delay", "leader:2s@9-17", [{"kind": "delay", "delay_s": 2.0, "leader": True, "start_s": 9.0, "end_s": 17.0}]),
    ("drop", "leader:0.5", [{"kind": "drop", "probability": 0.5, "leader": True}]),
    ("delay", "0>1:50ms", [{"kind": "delay", "delay_s": 0.05, "senders": (0,), "receivers": (1,)}]),
    (
        "bandwidth",
        "2,3:1MB",
        [
            {"kind": "bandwidth", "bytes_per_s": 1e6, "senders": (2, 3)},
            {"kind": "bandwidth", "bytes_per_s": 1e6, "receivers": (2, 3)},
        ],
    ),
    ("bandwidth", "2.5kB/s@0-1", [{"kind": "bandwidth", "bytes_per_s": 2500.0, "end_s": 1.0}]),
    ("drop", "0.01", [{"kind": "drop", "probability": 0.01}]),
    (
        "drop",
        "3:1e-3@2-4",
        [
            {"kind": "drop", "probability": 0.001, "senders": (3,), "start_s": 2.0, "end_s": 4.0},
            {"kind": "drop", "probability": 0.001, "receivers": (3,), "start_s": 2.0, "end_s": 4.0},
        ],
    ),
    ("reset", "500ms", [{"kind": "reset", "every_s": 0.5}]),
    ("reset", "0>1:2s", [{"kind": "reset", "every_s": 2.0, "senders": (0,), "receivers": (1,)}]),
    (
        "slow",
        "3:20ms@5-10",
        [{"kind": "slow", "every_s": 0.02, "receivers": (3,), "start_s": 5.0, "end_s": 10.0}],
    ),
    ("slow", "20ms", [{"kind": "slow", "every_s": 0.02}]),
]


@pytest.mark.parametrize(("name", "text", "means"), MEANINGS)
def test_what_a_value_means(name: str, text: str, means: list[dict[str, Any]], tmp_path: Path) -> None:
    expected = [repr(LinkFault(**fields)) for fields in means]
    assert run(f"--{name}", text) == expected
    assert run(env={f"HONEYBADGER_{name.upper()}": text}) == expected
    config = tmp_path / "run.toml"
    config.write_text(f'{name} = "{text}"\n')
    assert run("--config", str(config)) == expected


def test_several_of_a_kind(tmp_path: Path) -> None:
    expected = [repr(LinkFault(kind="drop", probability=p)) for p in (0.1, 0.2, 0.3)]
    assert run("--drop", "0.1;0.2", "--drop", "0.3") == expected
    assert run(env={"HONEYBADGER_DROP": "0.1;0.2; 0.3"}) == expected
    config = tmp_path / "run.toml"
    config.write_text('drop = "0.1;0.2;0.3"\n')
    assert run("--config", str(config)) == expected
    assert run("--config", str(config), "--drop", "0.1") == expected[:1], "the flag wins"


def test_kinds_combine_and_none_is_none() -> None:
    assert [line.split("'")[1] for line in run("--slow", "1s", "--partition", "0", "--delay", "1s")] == [
        "partition",
        "delay",
        "slow",
    ]
    assert run() == []
    assert parse({}, 4) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("partition", "", "is not a node"),
        ("partition", "0,1|", "is not a node"),
        ("partition", "0,1|1", "groups names a node twice"),
        ("partition", "0|7", "groups names node 7"),
        ("partition", "0,1,2,3", "all nodes in one"),
        ("partition", "0>4", "receivers names node 4"),
        ("partition", "*>*", "needs senders or receivers"),
        ("partition", "0>1>2", "is not a node"),
        ("partition", "0>1|2", "is not a node"),
        ("partition", "0:100ms", "is not a node"),
        ("partition", "0@10-5", "end_s = 5.0 is not after"),
        ("partition", "0@5", '"@5" is not a time'),
        ("partition", "0@", '"@" is not a time'),
        ("partition", "0@5-6@7-8", "is not a time"),
        ("partition", "0@-5-6", "is not a time"),
        ("partition", "0@nan-", "is not a time"),
        ("partition", "0@1e10-", "start_s"),
        ("partition", "0;", "is not a node"),
        ("partition", "٣", "is not a node"),
        ("delay", "100", "units us, ms, s"),
        ("delay", "100min", "units us, ms, s"),
        ("delay", "-1ms", "units us, ms, s"),
        ("delay", "0ms", "too small"),
        ("delay", "1e999s", "too large"),
        ("delay", "9" * 400 + "s", "too large"),
        ("delay", "1e10s", "delay_s"),
        ("delay", "100ms~", "units us, ms, s"),
        ("delay", "100ms~200ms", "jitter_s"),
        ("delay", "1s~1ms~1ms", "more than one jitter"),
        ("delay", "4:1s", "senders names node 4"),
        ("delay", ":1s", "is not a node"),
        ("reset", "leader:1s", "leader has no meaning"),
        ("slow", "leader:1s", "is not a node"),
        ("delay", "1:2:1s", "is not a node"),
        ("delay", "0|1:1s", "is not a node"),
        ("bandwidth", "1", "units B, kB, MB, GB"),
        ("bandwidth", "1Mb", "units B, kB, MB, GB"),
        ("bandwidth", "0MB", "too small"),
        ("drop", "0", "probability is missing or zero"),
        ("drop", "1.5", "probability = 1.5"),
        ("drop", "1%", "is not a number"),
        ("drop", "nan", "is not a number"),
        ("reset", "1us", "every_s"),
        ("slow", "0>1:20ms", "is not a node"),
        ("slow", "1,1:20ms", "receivers names a node twice"),
    ],
)
def test_nonsense_is_one_line(name: str, text: str, says: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse({name: (text,)}, 4)
    assert caught.value.message.startswith(f"--{name} ")
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert CliRunner().invoke(command, [f"--{name}", text]).exit_code == 2


def test_the_help_shows_the_grammar() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    for example in ("0,1|2,3@5-10", "100ms~20ms", "3:250kB@5-10", "HONEYBADGER_SLOW"):
        assert example in text
