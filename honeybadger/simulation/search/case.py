"""One run, described completely: the same case is the same run. It is what a file of a finding holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from honeybadger.simulation.restartable_node import CrashPoint

Part = Literal["whole", "agreement", "broadcast"]
Natural = Annotated[int, Meta(ge=0)]
#: steps within which crashes begin, and votes journalled within which those happen that are in a tick
LENGTH: Mapping[Part, int] = {"whole": 900, "agreement": 180, "broadcast": 40}
VOTES: Mapping[Part, int] = {"whole": 50, "agreement": 18, "broadcast": 4}
#: sender, recipient, and the how-manieth message of the one to the other, from 0
Link = tuple[int, int, int]
#: between two ticks, or where in a tick
POINTS = ("between ticks", *(point.name.lower().replace("_", " ") for point in CrashPoint))


class Outage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A crash of correct node `node` at step `at`, and its return `pause` steps later (None: never).

    `point`: one of `POINTS`. In a tick: that of the `votes`-th vote that it journals after step `at`.
    """

    node: Natural
    at: Natural
    pause: Natural | None
    point: str = POINTS[0]
    votes: Natural = 0

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise ValueError(f"point {self.point:.60} is none of {', '.join(POINTS)}")


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`part`: the whole protocol, or one agreement or one broadcast of Honey Badger alone. `parameters`: all of the
    protocol's.

    `schedule`: as `find_scheduler` reads it; after `fair_after` steps (None: never) messages come in order of sending.
    `liars`: node → name, see `liars`; those that are `forgetful` send nothing again to a node that was restarted.
    `waves` times `transactions` are submitted, each to f+1 correct nodes, a wave when the one before is committed.
    `steps`: deliveries within which all must be done. `ideal`: tags in place of cryptography. `disk`: how likely a
    block becomes durable when a node looks; `catch_up`: whether nodes take certified blocks over from others.

    A recorded order replaces `schedule`: `late` says which messages are late by how many steps; all others come in
    order of sending. `unsaid`: messages of liars that they keep to themselves.
    """

    protocol: str
    part: Part = "whole"
    nodes: Annotated[int, Meta(ge=1, le=100)]
    faults: Natural
    parameters: dict[str, Any]
    seed: int
    schedule: str
    fair_after: Natural | None = None
    liars: dict[int, str] = {}
    forgetful: list[int] = []
    outages: list[Outage] = []
    waves: Annotated[int, Meta(ge=1, le=1000)] = 1
    transactions: Annotated[int, Meta(ge=1, le=1000)] = 1
    steps: Annotated[int, Meta(ge=1, le=100_000_000)]
    ideal: bool = True
    disk: Annotated[float, Meta(gt=0, le=1)] = 1.0
    catch_up: bool = True
    late: list[tuple[int, int, int, float]] | None = None
    unsaid: list[Link] = []

    @property
    def correct(self) -> list[int]:
        """The nodes that do not lie; some of them may crash."""
        return [node for node in range(self.nodes) if node not in self.liars]

    @property
    def gone(self) -> set[int]:
        """Those that crash and never come back."""
        return {outage.node for outage in self.outages if outage.pause is None}
