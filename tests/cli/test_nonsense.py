"""Every option and argument of every command, given nonsense: one `error:` line or none, no traceback, no end of
memory, no endless wait. What would really run nodes is left out: here it is about what is asked for."""

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil
import pytest
from support.results import experiment_results

import bench.run.simulated_run
import bench.run.single_run
import bench.show.plot
import bench.studies.limit
import bench.studies.suite_costs
import honeybadger.simulation.search
import honeybadger.watch.server
from bench.load.client import Load, Settings
from honeybadger.cli import node as node_command
from honeybadger.cli.main import cli, main
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.processes import free_ports
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

NONSENSE = ["0", "-1", "nan", "-inf", "", "9" * 30, "1e308", "1e-308", "1e7", "٣", "\udcff", "a\nb\x1b[31m", "x" * 5000]
NONSENSE += ["~nosuchuser", "/dev/zero", "/", "[/x]", "{0}", "0>0", "0|0", "=", ":", ";", "💥"]
#: parameters of a command whose options meet only a part of it in the quick suite
MANY = 5
#: numbers of seconds to wait: a person may really want to
PATIENCE = {"--timeout", "--seconds"}
BASE = {
    "keygen": "--out new",
    "node": "--cluster c/cluster.toml --keys c/node-0/keys.toml --data new",
    "local": "",
    "simulate": "",
    "search": "--runs 1",
    "bench run": "m.toml --out new",
    "bench report": "results",
    "bench compare": "results results",
    "bench plot": "results --out new",
    "bench limit": "--seconds 0.05 --batch-size 10",
    "bench agreements": "--seeds 1 --most-rounds 3",
    "bench crypto": "--seconds 0.05",
    "cluster compose": "c/cluster.toml",
    "cluster load": "--cluster c/cluster.toml --timeout 0.1 --duration 0.1",
    "submit": "--cluster c/cluster.toml --timeout 0.1 lines",
    "status": "--cluster c/cluster.toml --timeout 0.1",
    "watch": "--cluster c/cluster.toml",
    "ledger show": "ledger.sqlite",
    "ledger sql": "ledger.sqlite VALUES(1)",
    "ledger verify": "ledger.sqlite",
    "ledger repair": "ledger.sqlite --cluster c/cluster.toml --timeout 0.1",
    "ledger export": "ledger.sqlite",
    "ledger prove": "ledger.sqlite 00",
    "ledger check-proof": "proof.json 00 00",
}


class Accepted(BaseException):
    """Something would be run now."""


def accept(*_: object, **__: object) -> None:
    raise Accepted


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A directory with one good file of each kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench.run.single_run, "SingleRun", accept)
    monkeypatch.setattr(bench.run.simulated_run.SimulatedRun, "run", accept)
    monkeypatch.setattr(honeybadger.simulation.search, "search", accept)
    monkeypatch.setattr(node_command, "build_node", accept)
    monkeypatch.setattr(bench.show.plot, "draw_all", accept)
    monkeypatch.setattr(bench.studies.limit, "limit_of", accept)
    monkeypatch.setattr(bench.studies.suite_costs, "suite_costs", accept)
    monkeypatch.setattr(honeybadger.watch.server, "listen", accept)
    ports = free_ports(2)
    manifest, keys = make_cluster(1, 0, HoneyBadgerParameters(), [("127.0.0.1", *ports)])
    write_cluster(tmp_path / "c", manifest, keys)
    SQLiteStore(tmp_path / "ledger.sqlite", durability="os", chain_id=manifest.chain_id).close()
    experiment_results(tmp_path / "results", [1000.0, 500.0], nodes=[4, 7])
    (tmp_path / "m.toml").write_text("nodes = 1\n")
    (tmp_path / "proof.json").write_text("{}")
    (tmp_path / "lines").write_text("one\n")
    return tmp_path


@contextmanager
def little_memory() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (2 << 30), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from leaves(found, (*path, name))
    else:
        yield " ".join(path), command


def command_lines(name: str, command: click.Command, share: int) -> Iterator[list[str]]:
    """Each parameter with each kind of nonsense; with one of `share` kinds where the command has many."""
    usual = BASE[name].split()
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    positions = [i for i, word in enumerate(usual) if word[:2] != "--" and (not i or usual[i - 1][:2] != "--")]
    share = share if len(command.params) > MANY else 1
    for number, parameter in enumerate(command.params):
        for value in NONSENSE[number % share :: share]:
            if isinstance(parameter, click.Argument):
                at = positions[arguments.index(parameter)]
                if len(arguments) == 1:
                    yield [*usual[:at], *usual[at + 1 :], "--", value]
                else:
                    yield [*usual[:at], value, *usual[at + 1 :]]
            elif isinstance(parameter, click.Option) and not parameter.is_flag and parameter.name != "help":
                flag = max(parameter.opts, key=len)
                if not (flag in PATIENCE and value == "1e7"):
                    yield [*usual, flag, value]


COMMANDS = dict(leaves(cli))


def test_every_command_is_tried():
    assert COMMANDS.keys() == BASE.keys()


@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", BASE)
def test_nonsense_is_refused_in_one_line(name, share, here, monkeypatch, capsys):
    for words in command_lines(name, COMMANDS[name], share):
        monkeypatch.setattr(sys, "argv", ["honeybadger", *name.split(), *words])
        with little_memory(), pytest.raises((SystemExit, Accepted)) as end:
            main()
        err = capsys.readouterr().err
        if isinstance(end.value, SystemExit):
            assert err.count("error: ") <= 1 and "Traceback" not in err, (words, err)
            assert end.value.code == 0 or name == "status" or err.splitlines()[-1].startswith("error: "), (words, err)
        shutil.rmtree(here / "new", ignore_errors=True)


def test_large_transactions_do_not_fill_the_memory_of_who_offers_them(here):
    common = {"manifest": "c/cluster.toml", "output": "", "curve": True, "seed": 1, "warmup_s": 0.0, "duration_s": 1.0}
    for tx_size, most in (("250", 1000), ("60000000", 4)):
        load = Load(Settings(**common, tx_size=tx_size, rate=1.0, window=1, warm_tx=1, skip=[], patience_s=1.0))
        assert load._connections.client(0).socket.sndhwm == most
        load._connections.close()


def test_more_nodes_than_there_is_memory_are_refused():
    from bench.places.processes import ThisMachine
    from honeybadger.cluster.errors import ClusterError

    with pytest.raises(ClusterError, match="GB of memory"):
        ThisMachine().addresses(os.sysconf("SC_PHYS_PAGES"), None)
