"""The file of a finding: a case that fails, and how. Playing it again gives the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from honeybadger.adversary.corrupt import StrategyError
from honeybadger.protocols.parameters import read_parameters
from honeybadger.protocols.registry import find_protocol
from honeybadger.simulation.schedulers import UnfairScheduler
from honeybadger.simulation.schedulers.catalogue import find_scheduler
from honeybadger.simulation.search import liars
from honeybadger.simulation.search.case import Case
from honeybadger.simulation.search.message_words import in_words
from honeybadger.simulation.search.play import Outcome, Verdict, play

VERSION = 1
LARGEST_BYTES = 64 << 20


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a run ended: `message`: the last that was delivered, in words."""

    verdict: Verdict
    why: str
    step: int
    message: str

    @classmethod
    def of(cls, outcome: Outcome) -> Ended:
        return cls(
            outcome.verdict, outcome.why, outcome.step, in_words(outcome.last[-1].message) if outcome.last else ""
        )


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`version`: of this form; `honeybadger`: of the package that wrote it."""

    version: Annotated[int, Meta(ge=1, le=VERSION)] = VERSION
    honeybadger: str
    case: Case
    ended: Ended

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.encode(self) + b"\n")

    @classmethod
    def load(cls, path: Path) -> Finding:
        """ValueError, in one line, for a file that is none, and for a case that makes no sense."""
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"{path} is too large for a finding of honeybadger search")
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no finding of honeybadger search: {error}") from None
        try:
            _check(found.case)
        except (ValueError, LookupError) as error:
            raise ValueError(f"{path}: {error}") from None
        return found

    def replay(self) -> Outcome:
        """Raises ValueError, in one line, if code of a person's own fails that the case names."""
        try:
            return play(self.case)
        except (StrategyError, UnfairScheduler) as error:
            raise ValueError(str(error)) from None


def _check(case: Case) -> None:
    specification = find_protocol(case.protocol)
    specification.fault_model.quorums(case.nodes, case.faults)
    read_parameters(specification.parameters, case.parameters).check(case.nodes)
    find_scheduler(case.schedule, case.nodes)
    for name in case.liars.values():
        liars.check(case.protocol, name)
    nodes = range(case.nodes)
    if strange := {*case.liars, *case.forgetful, *(outage.node for outage in case.outages)} - set(nodes):
        raise ValueError(f"there is no node {min(strange)}")
    if set(case.liars) & {outage.node for outage in case.outages}:
        raise ValueError("only correct nodes crash, not liars")
