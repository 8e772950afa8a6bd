"""Reliable broadcast of Cachin and Tessaro with Bracha's READY, as the Honey Badger paper has it, "avid".

Guarantee, thresholds: see `reliable_broadcast`. The value is cut and coded into N shards of which any N-2f restore it,
so everybody sends a part of it, not all of it.

VAL has the node's shard and the Merkle branch that proves it under the root of all shards. ECHO has the sender's own
shard and branch, and everybody sends it to everybody: whoever has N-f votes has N-f shards. The N-2f correct voters
behind a READY have sent their shards to all, so everybody can restore the value.

The check. A faulty proposer can put shards that are no codeword under one valid root; different subsets of them restore
different values. So a node computes all N shards from any N-2f and compares the root before it delivers. The root
commits to every leaf and its length: if one subset of leaves gives the root then all leaves are that codeword, and
every other subset gives the same value; so all correct nodes come to one verdict. Where the shards are here at N-f
votes, the check is made before READY, which stops false broadcasts early; whoever sends READY because of f+1 others
checks before delivery. Whoever finds out "aborts": it says nothing more, nobody delivers, so nobody correct votes 1,
and agreement ends with 0.

Bytes that N nodes send each other, for a value of v bytes: (N-1)v/(N-2f) in VALs and N(N-1)v/(N-2f) in ECHOs.

Source: Cachin and Tessaro, "Asynchronous Verifiable Information Dispersal" (2005); Miller et al. (CCS 2016), figure 2.
Departure: node j holds the shard (j - proposer) mod N, not shard j; see `places`.
"""

from dataclasses import dataclass, field

from crypto.erasure import ErasureCode
from crypto.errors import InvalidCodeword
from crypto.merkle import MerkleTree, leaf_digest, verify_digest
from honeybadger.protocols.honey_badger.messages import Echo, HoneyBadgerFault, Val
from honeybadger.protocols.honey_badger.places import place_of
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast


@dataclass(slots=True)
class _Shards:
    """Those of one root."""

    #: of each shard, in bytes: that of the first one that came
    length: int
    #: place → valid shard of that length
    shards: dict[int, bytes] = field(default_factory=dict)
    #: place → digest of the valid leaf, whatever its length
    digests: dict[int, bytes] = field(default_factory=dict)


class Avid(ReliableBroadcast):
    """ECHO with the shard, from everybody to everybody."""

    #: root → its shards; at most one root for each sender
    _roots: dict[bytes, _Shards]
    #: root → value, where this node has found that the root is that of a codeword
    _checked: dict[bytes, bytes]

    def _prepare(self) -> None:
        self._roots = {}
        self._checked = {}

    @staticmethod
    def shard_limit(code: ErasureCode, longest_value: int) -> int:
        return code.shard_length(longest_value)

    @property
    def held_bytes(self) -> int:
        shards = sum(len(shard) for known in self._roots.values() for shard in known.shards.values())
        return shards + sum(map(len, self._checked.values()))

    @property
    def most_held(self) -> int:
        """One shard from each node, whatever its root, the own value, and one that was restored."""
        return (self._quorums.nodes + 2 * self._quorums.data_shards) * self._longest_shard

    def handle_echo(self, sender: int, message: Echo) -> None:
        """A node's own shard: taken if it proves itself at the sender's place."""
        if self.delivered or self.aborted or self._contradicts(sender, message):
            return
        voted = sender in self._vote_root
        if message.root in self._checked:
            # The value is known, so the shard is of no use: as good as a vote by hash.
            if not voted:
                self._count(sender, message.root)
            return
        known = self._roots.get(message.root)
        if known is not None and self._place(sender) in known.digests:
            return
        digest = self._valid_leaf(sender, sender, message)
        if digest is None:
            return
        self._store(sender, message, digest)
        if voted:
            self._try_deliver(message.root)
        else:
            self._count(sender, message.root)

    def _disperse(self, value: bytes) -> Val:
        shards = self._code.encode(value)
        tree = MerkleTree(shards)
        # Own shards are a codeword by construction; remember the value instead of restoring it later.
        self._checked[tree.root] = value
        # The proposer's own place is 0.
        own, *others = [
            Val(self._epoch, self._proposer, tree.root, tree.branch(place), shard) for place, shard in enumerate(shards)
        ]
        for node in range(self._quorums.nodes):
            if node != self._me:
                self._outbox.send(node, others[self._place(node) - 1])
        return own

    def _place(self, node: int) -> int:
        return place_of(node, self._proposer, self._quorums.nodes)

    def _own_leaf(self, shard: bytes) -> bytes:
        return leaf_digest(self._quorums.nodes, self._place(self._me), shard)

    def _valid_leaf(self, sender: int, holder: int, message: Val | Echo) -> bytes | None:
        shard = message.shard
        if not 0 < len(shard) <= self._longest_shard:
            self._fault(sender, HoneyBadgerFault.BAD_SHARD_LENGTH, str(len(shard)))
            return None
        nodes, place = self._quorums.nodes, self._place(holder)
        digest = leaf_digest(nodes, place, shard)
        if not verify_digest(message.root, nodes, place, digest, message.branch):
            self._fault(sender, HoneyBadgerFault.BAD_BRANCH, type(message).__name__.upper())
            return None
        return digest

    def _store(self, holder: int, echo: Echo, digest: bytes) -> None:
        if echo.root in self._checked:
            return
        known = self._roots.get(echo.root)
        if known is None:
            known = self._roots[echo.root] = _Shards(len(echo.shard))
        place = self._place(holder)
        known.digests[place] = digest
        # A root that binds unequal leaves is no codeword. Whose fault that is cannot be told before N-f nodes have
        # voted for it: liars may have made it up.
        if known.length == len(echo.shard):
            known.shards[place] = echo.shard

    def _is_disproved(self, root: bytes) -> bool:
        """Whether the shards that are here show that the root is no codeword. If they are enough, they tell."""
        known = self._roots.get(root)
        if known is None or root in self._checked:
            return False
        if len(known.digests) > len(known.shards):
            return True
        return len(known.shards) >= self._quorums.data_shards and not self._is_codeword(root, known)

    def _is_codeword(self, root: bytes, known: _Shards) -> bool:
        """Whether re-encoding any N-2f shards gives `root`; remembers the value if so."""
        try:
            shards = self._code.complete(known.shards)
            digests = []
            for place, shard in enumerate(shards):
                held = known.shards.get(place)
                if held is None:
                    digests.append(leaf_digest(len(shards), place, shard))
                elif held == shard:
                    # Its digest is known. Comparing bytes is far cheaper than hashing them.
                    digests.append(known.digests[place])
                else:
                    return False
            if MerkleTree.from_digests(len(shards), digests).root != root:
                return False
            self._checked[root] = self._code.value(shards)
        except InvalidCodeword:
            return False
        return True

    def _restore(self, root: bytes) -> bytes | None:
        return self._checked.get(root)

    def _forget(self) -> None:
        self._roots.clear()
        self._checked.clear()
