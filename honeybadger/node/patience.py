"""When a peer that was asked for blocks counts as late.

A range is late, in the eyes of another peer, when that peer would have delivered it long ago, judging by its last
answer; before anybody has answered, after a second. That may hit a correct peer, but no more than f are marked slow at
a time, so liars cannot push all others out. On a network that is slow as a whole, waiting grows longer (`stretched`),
so that answers are not given up again and again.
"""

from statistics import median_low

from honeybadger.protocols.quorums import Quorums

#: a range is late, for a peer, after this many seconds and this many times what it would have taken itself
GRACE_S = 0.1
LATE = 3
#: the same before any peer has answered, seconds
FIRST_S = 1.0
#: on a slow network these times are doubled up to this many times
MOST_DOUBLED = 4


class Patience:
    """Learns from answers how long to wait for the next."""

    def __init__(self, quorums: Quorums) -> None:
        self._quorums = quorums
        #: peers that were late, or left something out, the first of them first; f at most
        self.slow: list[int] = []
        #: what each peer's last answer took, seconds, and what it cost
        self._answered: dict[int, tuple[float, int]] = {}
        #: who had to give way to a third lately, and how many times f+1 had to, less the answers since
        self._replaced: set[int] = set()
        self._doubled = 0

    def begin(self) -> None:
        """Forget what was usual: it says nothing of the next time that this node is behind."""
        self._answered.clear()
        self._replaced.clear()
        self._doubled = 0

    def is_late(self, waited_s: float, cost: int, peer: int) -> bool:
        """Whether `peer` would have answered long ago what another was asked `waited_s` seconds ago: `cost` bytes."""
        patience_s = FIRST_S
        if self._answered:
            # Longer answers take longer, but short ones not less than the way there and back.
            took = {p: took_s * max(1.0, cost / before) for p, (took_s, before) in self._answered.items()}
            # Not less than what is usual: the last answer of this peer may have been a lucky one.
            patience_s = GRACE_S + LATE * max(took.get(peer, 0.0), median_low(took.values()))
        return waited_s > self.stretched(patience_s)

    def stretched(self, patience_s: float) -> float:
        """Longer where one peer after the other is replaced: f of them may be faulty, but f+1 are a slow network."""
        return patience_s * (1 << self._doubled)

    def mark_slow(self, peer: int) -> None:
        """The peer was late, or left something out."""
        marked = [*(p for p in self.slow if p != peer), peer]
        self.slow = marked[max(0, len(marked) - self._quorums.faults) :]

    def replaced(self, peer: int) -> None:
        """The peer was asked for a block, and a third one is asked in its place."""
        self._replaced.add(peer)
        if len(self._replaced) >= self._quorums.weak:
            self._replaced.clear()
            self._doubled = min(self._doubled + 1, MOST_DOUBLED)

    def answered(self, peer: int, took_s: float, cost: int) -> None:
        """The peer has sent all that it was asked for."""
        self._doubled = max(0, self._doubled - 1)
        self._answered[peer] = (took_s, cost)
