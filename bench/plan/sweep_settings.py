"""Where the simulated runs of an experiment are done: in this process, in several here, or on the workers of Dask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

import msgspec

from bench.plan.fields import Given, SettingsError, about, fields_of
from bench.plan.run_settings import RunSettings
from bench.plan.simulation_settings import SimulationSettings
from honeybadger.cluster.wan.profile import Profile

ADDRESS = r"((tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}"
_sweep = partial(about, "Simulated runs side by side (needs Dask)")


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """At most one of the two."""

    scheduler: (
        Annotated[
            str,
            _sweep(
                "Hand the runs to the Dask scheduler at this address, such as tcp://10.0.0.1:8786.",
                metavar="ADDRESS",
                form="an address such as tcp://10.0.0.1:8786",
                pattern=ADDRESS,
            ),
        ]
        | None
    ) = None
    workers: Annotated[int, _sweep("Do the runs in so many processes of this machine.", ge=1, le=1024)] | None = None

    @staticmethod
    def make(
        given: Mapping[str, Given], how: SimulationSettings | None, runs: Sequence[RunSettings]
    ) -> SweepSettings | None:
        """From what a person chose, by key, for these runs, simulated as `how` says; None if nothing was chosen.

        SettingsError for the first thing that makes no sense.
        """
        fields = fields_of(SweepSettings)
        chosen = SweepSettings(**{fields[key].name: fields[key].read(one) for key, one in given.items()})
        if chosen == SweepSettings():
            return None
        written = [one.written for one in given.values()]
        if len(written) > 1:
            raise SettingsError(f"{written[0]} contradicts {written[1]}")
        if how is None:
            raise SettingsError(
                f"{written[0]} needs --simulate, or a table [simulation]: a real run measures this machine, alone on it"
            )
        if how.costs == "measured":
            raise SettingsError(f"{written[0]} contradicts --costs measured, which measures this machine, alone on it")
        if chosen.scheduler is not None:
            for run in runs:
                _refuse_files(run)
        return chosen


def _refuse_files(run: RunSettings) -> None:
    """SettingsError for a run that needs a file of this machine."""
    if run.wan and run.wan not in Profile.names():
        raise SettingsError(f"wan {run.wan}: the workers do not have your file; use --workers, or a named profile")
    for name in run.liars.values():
        if ":" in name:
            raise SettingsError(f"byzantine {name}: the workers do not have your file; use --workers")
