"""Plays a case and says how it ended."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from honeybadger.adversary.corrupt import StrategyError
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.schedulers import UnfairScheduler
from honeybadger.simulation.search.case import Case, Link
from honeybadger.simulation.search.running import Delivery, Running

Verdict = Literal["progressed", "stalled", "diverged"]


@dataclass(frozen=True)
class Outcome:
    """`why`: in one line, "" if it progressed. `step`: of the last delivery. `order`: each message that was not in
    order of sending, and by how many steps; `late`: how many of them arrived; `said`: the messages of liars. `last`
    deliveries; `last_late`: the last of those that were late.
    """

    verdict: Verdict
    why: str
    step: int
    order: dict[Link, float]
    late: int
    said: Sequence[Link]
    last: Sequence[Delivery]
    last_late: Sequence[Delivery]

    @property
    def way(self) -> str:
        """Runs that fail in the same way have the same: the verdict and the reason without its numbers."""
        return f"{self.verdict}: {re.sub('[0-9]+', '#', re.split('[(:]', self.why)[0])}"


def play(case: Case) -> Outcome:
    """Raises ValueError or LookupError for a case that makes no sense, StrategyError or UnfairScheduler if code of a
    person's own fails."""
    running = Running(case)
    verdict: Verdict = "progressed"
    why = ""
    try:
        running.run()
    except Stalled as error:
        verdict, why = "stalled", str(error)
    except AssertionError as error:
        verdict, why = "diverged", str(error)
    except (StrategyError, UnfairScheduler):
        raise
    # Whatever a handler raises: none may.
    except Exception as error:
        verdict, why = "diverged", f"{type(error).__name__} out of a handler: {error}"
    return Outcome(
        verdict,
        " ".join(why.split()),
        running.cluster.network.steps,
        running.order.late,
        running.late,
        running.said,
        tuple(running.last),
        tuple(running.last_late),
    )
