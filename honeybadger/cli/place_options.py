"""Options that say where the nodes of an experiment live: as processes on this machine, in containers, on hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from honeybadger.cli.options import F
from honeybadger.cluster.errors import ClusterError

if TYPE_CHECKING:
    from bench.experiment import Experiment
    from bench.hosts.hosts_place import HostsPlace
    from bench.place import Place
    from bench.results import Result
    from bench.settings import LocalSettings

#: what a summary without a word about its place means
PROCESSES = "processes"
CONTAINERS = "containers"
HOSTS = "hosts"

_KNOWN = Path("~/.ssh/known_hosts")
_file = click.Path(path_type=Path, dir_okay=False)
_folder = click.Path(path_type=Path, exists=True, file_okay=False)


class Pattern(click.ParamType[Any]):
    """Text of a form that Docker takes; `name` says which."""

    def __init__(self, name: str, pattern: str) -> None:
        self.name = name
        self._pattern = pattern

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not re.fullmatch(self._pattern, str(value), re.ASCII):
            self.fail(f"{value!r:.60} is not {self.name}", param, ctx)
        return value


Image = Pattern("the name of an image", r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}")
Cpus = Pattern("a number of processors", r"(?=.*[1-9])[0-9]{1,4}(\.[0-9]{1,3})?")
Memory = Pattern("a size such as 512M or 2G", r"[1-9][0-9]{0,8}[kKmMgG]")


@dataclass(frozen=True)
class Chosen:
    """A place by `name`. `make(stack, runs, keep, say)` makes it for these runs, to be left with the stack; None stands
    for processes on this machine."""

    name: str
    make: Callable[[ExitStack, Sequence[LocalSettings], bool, Callable[[str], None]], Place | None]


def place_options(function: F) -> F:
    """Nodes in containers, and what each may use; or on other hosts, and how to reach them."""
    for decorate in reversed(
        (
            click.option("--containers", is_flag=True, help="Nodes in containers (needs a Docker engine here)."),
            click.option("--image", type=Image, default="honeybadger", show_default=True, help="Image of the nodes."),
            click.option("--cpus", type=Cpus, help="Processors that a container may use.  [default: all]"),
            click.option("--memory", type=Memory, help="Memory that a container may use.  [default: all]"),
            click.option("--hosts", type=_file, help="Nodes on the hosts that this file (TOML) lists, over SSH."),
            click.option("--known-hosts", type=_file, default=_KNOWN, show_default=True, help="Keys of the hosts."),
            click.option(
                "--wheels", type=_folder, help="Take the hosts' wheels from here.  [default: where pip gets them]"
            ),
        )
    ):
        function = decorate(function)
    return function


def chosen_place(
    experiment: Experiment,
    *,
    containers: bool,
    image: str,
    cpus: str | None,
    memory: str | None,
    hosts: Path | None,
    known_hosts: Path,
    wheels: Path | None,
) -> Chosen:
    """What the options ask for, with everything looked at that can be before the first run."""
    if containers and hosts is not None:
        raise click.UsageError("nodes are either in --containers or on --hosts")
    if not containers:
        _refuse("--containers", "image", "cpus", "memory")
    if hosts is None:
        _refuse("--hosts", "known_hosts", "wheels")
    if containers:
        return _in_containers(experiment, image, cpus or "", memory or "")
    if hosts is not None:
        try:
            known_hosts = known_hosts.expanduser()
        except RuntimeError as error:
            raise click.UsageError(f"--known-hosts {known_hosts}: {error}") from None
        return _on_hosts(experiment, hosts, known_hosts, wheels)
    return Chosen(PROCESSES, lambda stack, runs, keep, say: None)


def _refuse(option: str, *names: str) -> None:
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} needs {option}")


def _in_containers(experiment: Experiment, image: str, cpus: str, memory: str) -> Chosen:
    from bench.containers_place import ContainersPlace, refuse_impossible
    from bench.docker_engine import compose_program

    compose_program()
    for one in experiment.runs:
        refuse_impossible(one.settings)
    place = ContainersPlace(image, cpus, memory)
    return Chosen(CONTAINERS, lambda stack, runs, keep, say: place)


def _on_hosts(experiment: Experiment, hosts: Path, known_hosts: Path, wheels: Path | None) -> Chosen:
    from bench.hosts.hosts_place import HostsPlace
    from bench.hosts.inventory import Inventory

    inventory = Inventory.load(hosts)
    for one in experiment.runs:
        inventory.assign(one.settings.nodes)

    def make(stack: ExitStack, runs: Sequence[LocalSettings], keep: bool, say: Callable[[str], None]) -> HostsPlace:
        place = stack.enter_context(HostsPlace(inventory, known_hosts, wheels, keep, say))
        largest = max(runs, key=lambda settings: settings.nodes)
        place.prepare(largest.nodes, largest.base_port)
        return place

    return Chosen(HOSTS, make)


def refuse_other_places(out: Path, place: str, done: Iterable[Result]) -> None:
    """ClusterError if results that are there were measured elsewhere: they would be taken for done."""
    for result in done:
        # A run that could not start was nowhere.
        elsewhere = result.summary.get("place", PROCESSES if "machine" in result.summary else place)
        if elsewhere != place:
            raise ClusterError(f"{out} holds runs made with {elsewhere}, not with {place}; choose another --out")
