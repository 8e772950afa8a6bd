"""Mistakes that implementations of HotStuff make; each breaks the code with `patch(owner, name, value)`."""

from inspect import isfunction

from honeybadger.protocols.hotstuff.certificates import Members
from honeybadger.protocols.hotstuff.memory import Memory
from honeybadger.protocols.hotstuff.protocol import HotStuff
from honeybadger.protocols.hotstuff.tree import Tree


def any_views_commit(patch):
    """Certified direct descendants commit a block, whatever their views."""

    def wrong(self, certified, links):
        branch = list(self.branch(certified.block))
        whole = branch and branch[-1].height == self.committed + 1
        return branch[links:][::-1] if whole else []

    patch(Tree, "committable", wrong)


def short_chain(patch):
    """One certified descendant less commits a block."""
    committable = Tree.committable
    patch(Tree, "committable", lambda self, certified, links: committable(self, certified, links - 1))


def no_lock(patch):
    """A vote needs a higher view and nothing else."""

    def wrong(self, message):
        return self._may_vote and message.block.view > max(self._memory.vote.view, self._memory.stopped)

    patch(HotStuff, "_is_safe", wrong)


def forgotten_votes(patch):
    """Votes, lock and given-up views do not survive a crash."""
    patch(Memory, "_take", lambda self, state: None)


def small_quorum(patch):
    """N-f-1 make a certificate."""
    init = Members.__init__

    def wrong(self, context):
        init(self, context)
        self.quorum -= 1

    patch(Members, "__init__", wrong)


MISTAKES = {name: f for name, f in list(globals().items()) if isfunction(f) and f.__module__ == __name__}
