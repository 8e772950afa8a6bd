"""Where the nodes of an experiment live: as processes on this machine, in containers, or on other hosts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

from bench.plan.fields import Given, SettingsError, about, fields_of

CONTAINERS = "Containers"
HOSTS = "Hosts"
IMAGE = r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}"
CPUS = r"(?=.*[1-9])[0-9]{1,4}(\.[0-9]{1,3})?"
MEMORY = r"[1-9][0-9]{0,8}[kKmMgG]"
_text = partial(about, CONTAINERS)
_limit = partial(_text, usual="all")


class PlaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where, and with what. Limits are texts that Docker takes."""

    containers: Annotated[bool, about(CONTAINERS, "Nodes in containers (needs a Docker engine here).")] = False
    image: Annotated[str, _text("Image of the nodes.", form="the name of an image", pattern=IMAGE)] = "honeybadger"
    cpus: (
        Annotated[str, _limit("Processors that a node may use.", form="a number of processors", pattern=CPUS)] | None
    ) = None
    memory: Annotated[str, _limit("Memory that a node may use.", form="a size such as 2G", pattern=MEMORY)] | None = (
        None
    )
    hosts: Annotated[Path, about(HOSTS, "Nodes on the hosts that this file (TOML) lists, over SSH.")] | None = None
    known_hosts: Annotated[Path, about(HOSTS, "Keys of the hosts.")] = Path("~/.ssh/known_hosts")
    wheels: Annotated[Path, about(HOSTS, "Directory of the hosts' wheels.", usual="where pip gets them")] | None = None

    @staticmethod
    def make(given: Mapping[str, Given]) -> PlaceSettings:
        """From what a person chose, by key; SettingsError for the first thing that makes no sense."""
        fields = fields_of(PlaceSettings)
        place = PlaceSettings(**{fields[key].name: fields[key].read(one) for key, one in given.items()})
        if place.containers and place.hosts is not None:
            raise SettingsError(f"nodes are either in {given['containers'].written} or on {given['hosts'].written}")
        for key, one in given.items():
            group = fields[key].group
            if (group == CONTAINERS and not place.containers) or (group == HOSTS and place.hosts is None):
                raise SettingsError(f"{one.written} needs --{group.lower()}")
        if place.wheels is not None and not place.wheels.is_dir():
            raise SettingsError(f"{given['wheels'].shown(place.wheels)} is not a directory")
        try:
            return msgspec.structs.replace(place, known_hosts=place.known_hosts.expanduser())
        except RuntimeError as error:
            raise SettingsError(f"{given['known-hosts'].shown(place.known_hosts)}: {error}") from None
