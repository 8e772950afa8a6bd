"""Makes the place that a person chose for the nodes of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.plan.fields import Given, SettingsError
from bench.plan.place_settings import PlaceSettings
from honeybadger.cluster.errors import ClusterError

if TYPE_CHECKING:
    from bench.places.hosts.hosts_place import HostsPlace
    from bench.places.place import Place
    from bench.plan.run_settings import RunSettings

#: what a summary without a word about its place means
PROCESSES = "processes"
CONTAINERS = "containers"
HOSTS = "hosts"
#: a simulation, see `bench.run.simulated_run`
VIRTUAL = "virtual time"


@dataclass(frozen=True)
class Chosen:
    """A place by `name`. `make(stack, runs, keep, say)` makes it for these runs, to be left with the stack; None stands
    for processes on this machine."""

    name: str
    make: Callable[[ExitStack, Sequence[RunSettings], bool, Callable[[str], None]], Place | None]


def choose(settings: PlaceSettings, runs: Sequence[RunSettings]) -> Chosen:
    """The place, with everything checked that can be before the first of these runs; ClusterError in one line."""
    for name in (name for run in runs for name in run.liars.values()):
        if ":" in name and (settings.containers or settings.hosts):
            where = "in containers" if settings.containers else "on other hosts"
            raise ClusterError(f"byzantine {name}: nodes {where} do not have your file; use it on this machine only")
    if settings.containers:
        from bench.places.containers import ContainersPlace, refuse_impossible
        from bench.places.docker_engine import compose_program

        compose_program()
        for run in runs:
            refuse_impossible(run)
        containers = ContainersPlace(settings.image, settings.cpus or "", settings.memory or "")
        return Chosen(CONTAINERS, lambda stack, runs, keep, say: containers)
    if settings.hosts is None:
        return Chosen(PROCESSES, lambda stack, runs, keep, say: None)

    from bench.places.hosts.hosts_place import HostsPlace
    from bench.places.hosts.inventory import Inventory

    inventory = Inventory.load(settings.hosts)
    for run in runs:
        inventory.assign(run.nodes)

    def make(stack: ExitStack, runs: Sequence[RunSettings], keep: bool, say: Callable[[str], None]) -> HostsPlace:
        place = stack.enter_context(HostsPlace(inventory, settings.known_hosts, settings.wheels, keep, say))
        largest = max(runs, key=lambda run: run.nodes)
        place.prepare(largest.nodes, largest.base_port)
        return place

    return Chosen(HOSTS, make)


def choose_virtual(given: Mapping[str, Given], why: str) -> Chosen:
    """No place at all, but a simulation, as `why` asks for; SettingsError if another place is `given` as well."""
    for one in given.values():
        raise SettingsError(f"{one.written} contradicts {why}")
    return Chosen(VIRTUAL, lambda stack, runs, keep, say: None)


def refuse_other_places(out: Path, place: str, summaries: Iterable[Mapping[str, Any]]) -> None:
    """ClusterError if results that are in `out` were measured elsewhere: they would be taken for done."""
    for summary in summaries:
        # A run that could not start was nowhere.
        elsewhere = summary.get("place", PROCESSES if "machine" in summary else place)
        if elsewhere != place:
            raise ClusterError(f"{out} holds runs made with {elsewhere}, not with {place}; choose another --out")
