"""Finds protocols by name through the entry points `honeybadger.protocols`, so that other packages can add some."""

from __future__ import annotations

from importlib.metadata import entry_points

from honeybadger.protocols.base import Specification

GROUP = "honeybadger.protocols"


def protocol_names() -> list[str]:
    """Names of the installed protocols, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def find_protocol(name: str) -> Specification:
    """The protocol called `name`; LookupError, in one line, if there is none."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            specification = entry.load()
            if not isinstance(specification, Specification):
                raise LookupError(f'the entry point of protocol "{name}" is not a Specification')
            return specification
    raise LookupError(f'unknown protocol "{name}"; installed: {", ".join(protocol_names())}')
