"""A random search over schedules, liars and crashes for runs that go wrong.

A `Wishes` says what to search, `draw` makes one `Case` of it and a seed, `play` runs the case and says how it ended.
`search` does so for many seeds, and `shrink` makes of a case that fails a smaller one that fails in the same way.
"""

from honeybadger.simulation.search.case import Case, Outage
from honeybadger.simulation.search.draw import Wishes, draw
from honeybadger.simulation.search.many_runs import search
from honeybadger.simulation.search.play import Outcome, play
from honeybadger.simulation.search.shrink import Shrunk, shrink

__all__ = ["Case", "Outage", "Outcome", "Shrunk", "Wishes", "draw", "play", "search", "shrink"]
