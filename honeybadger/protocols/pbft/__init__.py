"""PBFT (Castro and Liskov, OSDI 1999; the version with signatures) on the runtime of Honey Badger: a baseline.

The way through, in the order in which it is best read:

- `protocol`: which part handles which event, and what follows from it, always in the same order.
- `state`: where the replica is, and what of that survives a restart; all parts share it.
- `log`: a slot for each sequence number, with its votes and its batch; the checkpoints that move the water marks.
- `normal_case`: PRE-PREPARE, PREPARE, COMMIT, execution.
- `requests`: transactions on their way to the primary, and how it fills batches.
- `watch`: the timers that a slow primary lets expire.
- `view_change`: VIEW-CHANGE and NEW-VIEW. `catch_up`: questions and answers about what a node has missed or lost.
- `certificates`: what is signed, and pure checks of what others claim. `messages`: all that is sent.
- `specification`: what the rest of the project needs to know.
"""

from honeybadger.protocols.pbft.specification import SPECIFICATION

__all__ = ["SPECIFICATION"]
