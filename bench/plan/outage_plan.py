"""The plan of kills and restarts, without processes or clock: given the time, it says what is due."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.plan.run_settings import RunSettings

#: the part of the measured window in which rounds are spread evenly; each falls into the middle of its share
FIRST_PART, LAST_PART = 0.1, 0.9

Window = tuple[float, float]


@dataclass
class Outage:
    """One node's absence. Times in seconds on the controller's monotonic clock; `restarted_at` is None for good."""

    node: int
    killed_at: float
    restarted_at: float | None = None


#: a round that kills the primary of that moment
PRIMARY: tuple[int, ...] = ()


@dataclass(frozen=True)
class Action:
    """Kill these nodes, or start them again. To kill `PRIMARY`, first find out which node that is."""

    kill: bool
    nodes: tuple[int, ...]


def round_times(rounds: int, duration_s: float) -> list[float]:
    """When each round begins, in seconds from the start of the window; a single one begins half-way."""
    share = (LAST_PART - FIRST_PART) / rounds
    return [duration_s * (FIRST_PART + share * (number + 0.5)) for number in range(rounds)]


def why_too_tight(rounds: int, restart_after_s: float, duration_s: float) -> str:
    """Why the rounds do not fit into the window, for people, or ""."""
    times = round_times(rounds, duration_s)
    if times[-1] + restart_after_s >= duration_s:
        return f"killed at {times[-1]:.1f} s, nodes would come back after the measured {duration_s:g} s"
    if rounds > 1 and restart_after_s >= times[1] - times[0]:
        return f"rounds begin every {times[1] - times[0]:.1f} s, before the nodes of the last one are back"
    return ""


class OutagePlan:
    """Rounds of kills, each with a restart after `restart_after_s`, or without if that is None.

    `due` says what is to be done now, and goes on saying so until `done`. A round waits for the restart before it.
    """

    def __init__(self, rounds: Sequence[tuple[int, ...]], restart_after_s: float | None) -> None:
        self._rounds = list(rounds)
        self._restart_after_s = restart_after_s
        self._next = 0
        self._down: list[Outage] = []
        self.outages: list[Outage] = []

    @staticmethod
    def of(settings: RunSettings) -> OutagePlan:
        """What a run asks for."""
        rounds, after_s = settings.restart_rounds, settings.restart_after_s
        if settings.restart_primary:
            return OutagePlan.primaries(rounds, after_s)
        if count := settings.restart_count:
            return OutagePlan.restarts(settings.correct, count, rounds, after_s, settings.seed)
        return OutagePlan.crash(settings.correct, settings.crash)

    @staticmethod
    def crash(correct: Sequence[int], count: int) -> OutagePlan:
        """The last `count` correct nodes die half-way."""
        return OutagePlan([tuple(correct[len(correct) - count :])] if count else [], None)

    @staticmethod
    def restarts(correct: Sequence[int], count: int, rounds: int, restart_after_s: float, seed: int) -> OutagePlan:
        """In each round `count` correct nodes, chosen by `seed`."""
        choice = random.Random(f"restarts {seed}")
        return OutagePlan([tuple(sorted(choice.sample(correct, count))) for _ in range(rounds)], restart_after_s)

    @staticmethod
    def primaries(rounds: int, restart_after_s: float) -> OutagePlan:
        """In each round the node that is the primary then."""
        return OutagePlan([PRIMARY] * rounds, restart_after_s)

    @property
    def down(self) -> list[int]:
        """Nodes that are dead now, sorted."""
        return sorted(outage.node for outage in self.outages if outage.restarted_at is None)

    @property
    def restart_is_owed(self) -> bool:
        """Whether dead nodes still have to be started again."""
        return bool(self._down)

    @property
    def rounds_left(self) -> int:
        return len(self._rounds) - self._next

    def due(self, now: float, window: Window) -> Action | None:
        """What is to be done at `now`, or None; `window` may still move during warm-up."""
        if self._down and self._restart_after_s is not None:
            back_at = max(outage.killed_at for outage in self._down) + self._restart_after_s
            return Action(False, tuple(outage.node for outage in self._down)) if now >= back_at else None
        start, end = window
        if not self.rounds_left or now >= end:
            return None
        begins = start + round_times(len(self._rounds), end - start)[self._next]
        return Action(True, self._rounds[self._next]) if now >= begins else None

    def done(self, action: Action, at: float) -> None:
        """The action that was due has been taken; if it was to kill the primary, it now names the node."""
        if action.kill:
            self._next += 1
            outages = [Outage(node, at) for node in action.nodes]
            self.outages += outages
            if self._restart_after_s is not None:
                self._down = outages
        else:
            for outage in self._down:
                outage.restarted_at = at
            self._down = []
