"""Reliable broadcast in which only those vote with their shard whose shards are the value: the default, "hash-echo".

Guarantee, thresholds: see `reliable_broadcast`; shards, branches and the check: see `broadcast_avid`. The code is
systematic: shards 0 … N-2f-1 are the value itself, in pieces. Their holders (`places`) vote by ECHO with the shard. The
others vote by ECHO_HASH, without it. Who lacks shards after 2f+1 READYs sends WANT to nodes that voted by hash, and
they answer with their ECHO (`shard_answers`). N-f votes and 2f+1 READYs need no shard, so nobody waits for a holder
that does not speak.

Where the shards of N-f votes are too few for the check, it moves to delivery. So a bad proposer can cause READYs, which
are small, and WANTs; with their answers, these cost what the ECHOs of `broadcast_avid` always cost.

Why everybody gets the value. If a correct node delivers, N-2f correct nodes have voted, with valid leaves in their
journals. Their votes reach everybody: ECHOs with the shard, ECHO_HASHes to which WANT brings the shard.
Enough are asked: in the end `ask` is called with room for f more than are missing, and again at each later vote or
shard. So it asks that many nodes, or all who voted by hash. At most f of them never answer. Each answer lowers
both what is missing and whom this node waits for; a new voter is asked if there is room. A WANT for a shard that is
still on its way costs that shard once more, so it is not sent at once: `shards_wanted` says when.

Bytes that N nodes send each other, for a value of v bytes: (N-1)v/(N-2f) in VALs, all from the proposer, and (N-1)v in
ECHOs, the same from each of N-2f holders. A WANT that is answered adds v/(N-2f).

Source: as `broadcast_avid`. poanetwork/hbbft has hash-only ECHOs, too; the places and WANT are our own.
"""

from typing import ClassVar

from honeybadger.protocols.honey_badger.broadcast_avid import Avid
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, HoneyBadgerFault, Want
from honeybadger.protocols.honey_badger.places import is_holder


class HashEcho(Avid):
    """Holders vote with their shard, the others by hash."""

    has_want: ClassVar[bool] = True

    def _prepare(self) -> None:
        super()._prepare()
        #: the root that 2f+1 nodes are READY for, once it was found that shards of it are missing here
        self._lacking: bytes | None = None
        #: nodes that were sent WANT
        self._asked: set[int] = set()

    @property
    def lacks_shards(self) -> bool:
        """Whether delivery waits for nothing but shards."""
        return self._lacking is not None and not (self.delivered or self.aborted)

    def handle_echo_hash(self, sender: int, message: EchoHash) -> None:
        if self.delivered or self.aborted or self._contradicts(sender, message) or sender in self._vote_root:
            return
        if is_holder(sender, self._proposer, self._quorums):
            # Its vote counts all the same: what it withholds, others have.
            self._fault(sender, HoneyBadgerFault.WITHHELD_SHARD)
        self._count(sender, message.root)

    def ask(self, spare: int) -> None:
        """WANT to those who voted by hash, or owe their shard: so that as many are asked as shards are missing, and
        `spare` more."""
        root = self._lacking
        if root is None or not self.lacks_shards:
            return
        known = self._roots.get(root)
        here = known.digests if known is not None else {}
        without = [node for node, its in self._vote_root.items() if its == root and self._place(node) not in here]
        room = self._quorums.data_shards - len(here) + spare
        room -= sum(node in self._asked for node in without)
        for node in without:
            if room > 0 and node not in self._asked:
                room -= 1
                self._asked.add(node)
                self._outbox.send(node, Want(self._epoch, self._proposer, root))

    def _say(self, echo: Echo) -> None:
        if is_holder(self._me, self._proposer, self._quorums):
            self._outbox.broadcast(echo)
        else:
            self._outbox.broadcast(EchoHash(self._epoch, self._proposer, echo.root))

    def _restore(self, root: bytes) -> bytes | None:
        value = self._checked.get(root)
        if value is None and root in self._vote_count:
            self._lacking = root
            self._on_lack(self)
        return value
