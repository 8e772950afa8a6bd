"""A host: processors that several nodes may share, as an operating system shares them among threads of equal weight.

Work begins when it is first given a processor. If other work waits, it gives way after a slice and goes to the end of
the queue, until it has had the processor time that it needs.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from honeybadger.simulation.clock import Clock

#: does the work and returns its processor time, seconds
Work = Callable[[], float]
#: how long work keeps its processor while other work waits, seconds; of the order of what Linux gives a thread
SLICE_S = 0.003
#: less than that is left of work by rounding only, seconds
NOTHING_S = 1e-12


class _Task:
    """`left_s`: processor time that it still needs; `began`, `turn_s`, `ends`: its present turn on a processor. A turn
    whose end has been moved, or that is over, no longer ends at the time for which an event was planned."""

    __slots__ = ("began", "done", "ends", "left_s", "turn_s", "work")

    def __init__(self, work: Work, done: Callable[[], None]) -> None:
        self.work: Work | None = work
        self.done = done
        self.left_s = self.began = self.turn_s = self.ends = 0.0


class Processors:
    """`cores` of them. `busy_s`: the processor time of all work that has begun, added up."""

    def __init__(self, clock: Clock, cores: int) -> None:
        if cores < 1:
            raise ValueError(f"{cores} processors are too few")
        self._clock = clock
        self._cores = cores
        self._running: list[_Task] = []
        self._waiting: deque[_Task] = deque()
        self.busy_s = 0.0

    def run(self, work: Work, done: Callable[[], None]) -> None:
        """Call `work()` when a processor is free, and `done()` when it has had the processor time that it returned."""
        self._waiting.append(_Task(work, done))
        self._start()
        if self._waiting:
            self._cut_turns()

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._cores:
            task = self._waiting.popleft()
            self._running.append(task)
            task.began = task.ends = self._clock.now
            if task.work is not None:
                task.left_s = task.work()
                task.work = None
                self.busy_s += task.left_s
            self._plan(task, min(task.left_s, SLICE_S) if self._waiting else task.left_s)

    def _plan(self, task: _Task, turn_s: float) -> None:
        task.turn_s = turn_s
        task.ends = task.began + turn_s
        self._clock.at(task.ends, partial(self._turn_is_over, task, task.ends))

    def _cut_turns(self) -> None:
        """Those whose turns were planned while nobody waited end them after a slice, or now."""
        now = self._clock.now
        for task in self._running:
            if task.ends > max(now, task.began + SLICE_S):
                self._plan(task, max(now - task.began, SLICE_S))

    def _turn_is_over(self, task: _Task, planned: float) -> None:
        if task.ends != planned or task not in self._running:
            return
        task.left_s -= task.turn_s
        if task.left_s > NOTHING_S and not self._waiting:
            task.began = self._clock.now
            self._plan(task, task.left_s)
            return
        self._running.remove(task)
        if task.left_s > NOTHING_S:
            self._waiting.append(task)
        else:
            task.done()
        self._start()
