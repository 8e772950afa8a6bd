"""PBFT (Castro and Liskov, OSDI 1999; the version with signatures) on the runtime of Honey Badger: a baseline.

`protocol.py` is the protocol object; the parts it is made of: `messages`, `statements` (what is signed), `log` (one
sequence number), `certificates` (pure checks of what others claim), `checkpoints`, `changes` (VIEW-CHANGEs that have
come), `requests` (transactions of backups), `suspicion` (timers), `records` (what survives a restart).

Not there yet: a limit on the CPU that one sender's VIEW-CHANGEs cost (memory is bounded); after the loss of the vote
journal a node does not know which view it had promised, and counts as faulty until it hears a NEW-VIEW.
"""

from honeybadger.protocols.pbft.protocol import SPECIFICATION

__all__ = ["SPECIFICATION"]
