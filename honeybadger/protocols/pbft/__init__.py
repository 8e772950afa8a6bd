"""PBFT (Castro and Liskov, OSDI 1999; the version with signatures) on the runtime of Honey Badger: a baseline.

Begin with `protocol` (which event goes where, and what follows). It is made of: `normal_case` (PRE-PREPARE, PREPARE,
COMMIT, execution), `missing` (batches known by digest), `proposals` (the primary), `request_flow` and `watch` (backups
and their clients), `view_change`, `early` (messages of views to come), `water_marks` (checkpoints), `news` (who has
missed what), `promises` (after a lost journal). They share `state`. Below them, without knowledge of each other:
`messages`, `statements` (what is signed), `group`, `log` (one sequence number), `certificates` (pure checks of what
others claim), `checkpoints`, `changes` (VIEW-CHANGEs that have come), `throttle` (what they may cost), `requests`,
`suspicion` (timers), `records` (what survives a restart).
"""

from honeybadger.protocols.pbft.specification import SPECIFICATION

__all__ = ["SPECIFICATION"]
