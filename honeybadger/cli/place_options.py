"""Options that say where the nodes of an experiment live: as processes on this machine, or in containers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from honeybadger.cli.options import F
from honeybadger.cluster.errors import ClusterError

if TYPE_CHECKING:
    from bench.results import Result
    from bench.runner import Execute

#: what a summary without a word about its place means
PROCESSES = "processes"
CONTAINERS = "containers"


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


def container_options(function: F) -> F:
    """Nodes in containers, and what each may use."""
    for decorate in reversed(
        (
            click.option("--containers", is_flag=True, help="Nodes in containers (needs a Docker engine here)."),
            click.option("--image", type=Image, default="honeybadger", show_default=True, help="Image of the nodes."),
            click.option("--cpus", type=Cpus, help="Processors that a container may use.  [default: all]"),
            click.option("--memory", type=Memory, help="Memory that a container may use.  [default: all]"),
        )
    ):
        function = decorate(function)
    return function


def chosen_place(containers: bool, image: str, cpus: str | None, memory: str | None) -> tuple[str, Execute | None]:
    """The name of the place, and what executes a run there; None for processes on this machine."""
    if not containers:
        context = click.get_current_context()
        for name in ("image", "cpus", "memory"):
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name} needs --containers")
        return PROCESSES, None
    from bench.container_cluster import Containers
    from bench.docker_engine import compose_program, look_into
    from bench.local_run import LocalRun

    # What every run needs is looked at before the first.
    compose_program()
    look_into(image)
    place = Containers(image, cpus or "", memory or "").place
    return CONTAINERS, lambda settings, show: LocalRun(settings, show, place).run()


def refuse_other_places(out: Path, place: str, done: Iterable[Result]) -> None:
    """ClusterError if results that are there were measured elsewhere: they would be taken for done."""
    for result in done:
        # A run that could not start was nowhere.
        elsewhere = result.summary.get("place", PROCESSES if "machine" in result.summary else place)
        if elsewhere != place:
            raise ClusterError(f"{out} holds runs with nodes in {elsewhere}, not in {place}; choose another --out")
