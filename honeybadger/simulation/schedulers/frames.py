"""A scheduler for whole nodes: by how much it delays each frame, in addition to what the link takes."""

import random
from collections.abc import Callable, Collection, Sequence

from honeybadger.protocols.wire import Message
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.schedulers.scheduler import STEP_S, Scheduler, checked


class FrameDelays:
    """`clock` counts seconds; `leaders()` as in `View`. ValueError if the scheduler makes sense for messages only.

    A frame is as late as the latest of its messages. It may hold up later frames of its link, which do not overtake it.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        clock: Clock,
        nodes: int,
        leaders: Callable[[], Collection[int]],
        rng: random.Random,
    ) -> None:
        if not scheduler.whole_nodes:
            raise ValueError("it reorders messages; frames of whole nodes can only be late")
        self.nodes = nodes
        self.leaders = leaders
        self._scheduler = scheduler
        self._clock = clock
        self._rng = rng
        scheduler.begin(self)

    def reschedule(self) -> None:
        """What has left cannot be called back."""

    def delay_s(self, sender: int, receiver: int, messages: Sequence[Message]) -> float:
        """How much later a frame of these messages arrives that leaves now, seconds; none without messages."""
        step, scheduler = self._clock.now / STEP_S, self._scheduler
        keys = (checked(scheduler(step, sender, receiver, each, self._rng), step, scheduler) for each in messages)
        return max(0.0, max(keys, default=step) - step) * STEP_S
