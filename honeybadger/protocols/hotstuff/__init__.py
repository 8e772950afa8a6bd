"""HotStuff: views with rotating leaders, and blocks that certify the block before them.

The way through, in the order in which it is best read:

- `protocol`: the guarantee, the rules for proposing, voting and committing.
- `tree`: blocks that are not committed yet, and which of them may be.
- `pacemaker`: when a view ends, and how nodes come to the same one.
- `memory`: what a node must not forget.
- `certificates`: what is signed, and pure checks of it. `fetching`: blocks that are missing here.
- `messages`: all that is sent. `specification`: what the rest of the project needs to know.
"""

from honeybadger.protocols.hotstuff.specification import SPECIFICATION

__all__ = ["SPECIFICATION"]
