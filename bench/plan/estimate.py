"""How long the rest of an experiment takes: planned time is known, and what comes on top is learnt from run to run."""

from collections.abc import Callable, Sequence
from statistics import mean

#: before anything is known: starting, stopping and checking take so long, seconds, and so much more for each node
BASE_S = 4.0
PER_NODE_S = 0.5

#: the same of a virtual second, divided by N²
VIRTUAL_S = 0.1


class Estimate:
    """Learns from finished runs."""

    def __init__(self) -> None:
        self._ratios: list[float] = []

    def learn(self, nodes: int, planned_s: float, took_s: float) -> None:
        self._ratios.append(max(0.0, took_s - planned_s) / _overhead(nodes))

    def remaining_s(self, runs: Sequence[tuple[int, float]]) -> float:
        """What all of these (nodes, planned seconds) will take, seconds."""
        ratio = mean(self._ratios[-20:]) if self._ratios else 1.0
        return sum(planned_s + _overhead(nodes) * ratio for nodes, planned_s in runs)


class VirtualEstimate(Estimate):
    """Of runs in virtual time, whose work grows about as the virtual time and N²; `side_by_side()` of them at once."""

    def __init__(self, side_by_side: Callable[[], int] = lambda: 1) -> None:
        super().__init__()
        self._side_by_side = side_by_side

    def learn(self, nodes: int, planned_s: float, took_s: float) -> None:
        self._ratios.append(took_s / (planned_s * nodes**2))

    def remaining_s(self, runs: Sequence[tuple[int, float]]) -> float:
        ratio = mean(self._ratios[-20:]) if self._ratios else VIRTUAL_S
        return ratio * sum(planned_s * nodes**2 for nodes, planned_s in runs) / max(1, self._side_by_side())


def _overhead(nodes: int) -> float:
    return BASE_S + PER_NODE_S * nodes


def in_words(seconds: float) -> str:
    """ "45 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
