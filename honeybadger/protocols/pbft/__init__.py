"""PBFT (Castro and Liskov, OSDI 1999; the version with signatures) on the runtime of Honey Badger: a baseline.

`protocol.py` is the protocol object; the parts it is made of: `messages`, `statements` (what is signed), `log` (one
sequence number), `certificates` (pure checks of what others claim), `checkpoints`, `changes` (VIEW-CHANGEs that have
come), `requests` (transactions of backups), `suspicion` (timers), `records` (what survives a restart).
"""

from honeybadger.protocols.pbft.protocol import SPECIFICATION

__all__ = ["SPECIFICATION"]
