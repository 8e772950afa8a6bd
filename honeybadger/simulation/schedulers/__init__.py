"""Orders in which an asynchronous network may deliver messages. `catalogue` finds them by name.

`scheduler` says what one is; `orders`, `victims` and `split` have them; `frames` delays the frames of whole nodes.
"""

from honeybadger.simulation.schedulers.orders import Fifo, Late, Lifo, Random, fifo, lifo, shuffled
from honeybadger.simulation.schedulers.scheduler import LATEST, STEP_S, Order, Scheduler, UnfairScheduler, View
from honeybadger.simulation.schedulers.split import Split
from honeybadger.simulation.schedulers.together import Together
from honeybadger.simulation.schedulers.victims import Leader, Starve

__all__ = [
    "LATEST",
    "STEP_S",
    "Fifo",
    "Late",
    "Leader",
    "Lifo",
    "Order",
    "Random",
    "Scheduler",
    "Split",
    "Starve",
    "Together",
    "UnfairScheduler",
    "View",
    "fifo",
    "lifo",
    "shuffled",
]
