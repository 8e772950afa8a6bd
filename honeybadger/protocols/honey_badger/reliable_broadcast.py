"""Reliable broadcast of one proposal: erasure-coded, Merkle-proven, with Bracha's READY amplification.

Guarantee. If a correct node delivers v then every correct node delivers v (agreement, totality); a correct
proposer's value is delivered by all (validity).

Votes. The proposer sends each node its shard (VAL). A node votes once: a holder (`places`) by ECHO with its shard, the
others by ECHO_HASH. READY after N-f votes for one root, or after f+1 READYs; one READY per node. Delivery after 2f+1
READYs with N-2f shards that pass the check. Who lacks shards then sends WANT to nodes that voted by hash, and they
answer with their ECHO (`shard_answers`). One vote and one READY per sender count.

The check. A faulty proposer can put shards that are no codeword under one valid root; different subsets of them restore
different values. So a node computes all N shards from any N-2f and compares the root before it delivers. The root
commits to every leaf and its length: if one subset of leaves gives the root then all leaves are that codeword, and
every other subset gives the same value; so all correct nodes come to one verdict. Where the shards are here at N-f
votes, the check is made before READY, which stops most false broadcasts early. Nothing below relies on that. Whoever
finds out "aborts": it says nothing more, nobody delivers, so nobody correct votes 1, and agreement ends with 0.

Why it is a reliable broadcast.
  - Agreement. Two sets of N-f voters share a correct one, which votes once. So first READYs of correct nodes are for
    one root, and f+1 READYs contain a correct one. Hence 2f+1 READYs exist for one root only, and it has one value.
  - Totality. If a correct node delivers, f+1 correct nodes have sent READY, so all do (who has aborted excepted, but
    then no correct node delivers) and all get 2f+1. The first of them saw N-f votes, so N-2f correct nodes
    have voted, with valid leaves in their journals. Their votes reach everybody: ECHOs with the shard,
    ECHO_HASHes to which WANT brings the shard.
  - Enough are asked. In the end `ask` is called with room for f more than are missing, and again at each later vote or
    shard. So it asks that many nodes, or all who voted by hash. At most f of them never answer. Each answer lowers
    both what is missing and whom this node waits for; a new voter is asked if there is room.
  - Validity. All correct nodes vote for a correct proposer's root, N-f of them, and N-f >= 2f+1.

N-f votes and 2f+1 READYs need no shard, so nobody waits for a holder that does not speak. A WANT for a shard that is
still on its way costs that shard once more, so it is not sent at once: `shards_wanted` says when.

Source: Cachin and Tessaro, "Asynchronous Verifiable Information Dispersal" (2005); Miller et al. (CCS 2016),
figure 2; Bracha (1987). ECHO_HASH and WANT: poanetwork/hbbft has hash-only ECHOs, too; the places are our own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from crypto.erasure import ErasureCode
from crypto.errors import InvalidCodeword
from crypto.merkle import DIGEST_LENGTH, MerkleTree, leaf_digest, verify_digest
from honeybadger.protocols.context import NoJournal, Outbox, VoteJournal
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, HoneyBadgerFault, Ready, Val, Vote, Want
from honeybadger.protocols.honey_badger.places import is_holder, place_of
from honeybadger.protocols.quorums import Quorums


@dataclass(slots=True)
class _Root:
    """What is known of one root."""

    votes: int = 0
    #: of each shard, in bytes: that of the first one that came
    length: int = 0
    #: place → valid shard of that length
    shards: dict[int, bytes] = field(default_factory=dict)
    #: place → digest of the valid leaf, whatever its length
    digests: dict[int, bytes] = field(default_factory=dict)
    #: nodes that were sent WANT
    asked: set[int] = field(default_factory=set)


class ReliableBroadcast:
    """One instance: `proposer`'s broadcast in `epoch`, seen by node `me`.

    `longest_shard`: bytes; longer shards are refused before they are stored. `deliver(value)` is called at
    most once; `on_lack(self)` each time that delivery turns out to wait for nothing but shards: whoever is called sees
    to it that `ask` is called.
    """

    def __init__(
        self,
        me: int,
        epoch: int,
        proposer: int,
        quorums: Quorums,
        code: ErasureCode,
        longest_shard: int,
        outbox: Outbox,
        deliver: Callable[[bytes], None],
        on_lack: Callable[["ReliableBroadcast"], None],
        journal: VoteJournal | None = None,
    ) -> None:
        self._me = me
        self._epoch = epoch
        self._proposer = proposer
        self._quorums = quorums
        self._code = code
        self._longest_shard = longest_shard
        self._outbox = outbox
        self._deliver = deliver
        self._on_lack = on_lack
        self._journal = journal or NoJournal()
        #: as the proposer: the root of what this node disperses
        self._own_root: bytes | None = None
        #: the root of the proposer's VAL: a second VAL must have the same
        self._val_root: bytes | None = None
        #: sender → the root of its vote (the first ECHO or ECHO_HASH) and of its first READY: only those count
        self._vote_root: dict[int, bytes] = {}
        self._ready_root: dict[int, bytes] = {}
        self._ready_count: dict[bytes, int] = {}
        #: root → its votes and shards; at most one root for each sender
        self._roots: dict[bytes, _Root] = {}
        #: root → value, where this node has found that the root is that of a codeword
        self._checked: dict[bytes, bytes] = {}
        self._ready_sent = False
        #: the root that 2f+1 nodes are READY for, once it was found that shards of it are missing here
        self._lacking: bytes | None = None
        self.delivered = False
        #: the proposer is caught: nothing is delivered here, whatever comes
        self.aborted = False

    @property
    def begun(self) -> bool:
        """Whether anything valid has been heard of this broadcast."""
        return self._val_root is not None or bool(self._vote_root) or bool(self._ready_root)

    @property
    def lacks_shards(self) -> bool:
        """Whether delivery waits for nothing but shards."""
        return self._lacking is not None and not (self.delivered or self.aborted)

    @property
    def held_bytes(self) -> int:
        """Bytes of shards and restored values; at most `most_held`."""
        shards = sum(len(shard) for known in self._roots.values() for shard in known.shards.values())
        return shards + sum(map(len, self._checked.values()))

    @property
    def most_held(self) -> int:
        """One shard from each node, whatever its root, the own value, and one that was restored."""
        return (self._quorums.nodes + 2 * self._quorums.data_shards) * self._longest_shard

    def broadcast(self, value: bytes) -> None:
        """Disperse `value`; for the proposer only, once."""
        if self._me != self._proposer or self._own_root is not None:
            raise RuntimeError("only the proposer broadcasts, and only once")
        shards = self._code.encode(value)
        tree = MerkleTree(shards)
        self._own_root = tree.root
        # Own shards are a codeword by construction; remember the value instead of restoring it later.
        self._checked[tree.root] = value
        for node in range(self._quorums.nodes):
            place = self._place(node)
            self._outbox.send(node, Val(self._epoch, self._proposer, tree.root, tree.branch(place), shards[place]))

    def resume(self, vote: Vote, value: bytes) -> None:
        """After a restart: send again what the journal holds, before anything else happens here."""
        if vote is Vote.READY:
            self._send_ready(value)
        elif vote is Vote.SHARD:
            sent = self._journal.recall(self._epoch, Vote.ECHO, self._proposer, 0)
            if sent is not None:
                self._val_root = sent[:DIGEST_LENGTH]
                digest = leaf_digest(self._quorums.nodes, self._place(self._me), value)
                self._vote(Echo(self._epoch, self._proposer, self._val_root, sent[DIGEST_LENGTH:], value), digest)
        # ECHO without SHARD is this node's own broadcast: its VAL to itself brings the shard.

    def handle_val(self, sender: int, message: Val) -> None:
        """The proposer's shard for this node: vote, once."""
        if sender != self._proposer:
            self._fault(sender, HoneyBadgerFault.NOT_THE_PROPOSER)
            return
        if self._val_root is not None:
            if self._val_root != message.root:
                self._fault(sender, FaultKind.EQUIVOCATION, "VAL")
            return
        digest = self._valid_leaf(sender, self._me, message)
        if digest is None:
            return
        self._val_root = message.root
        if not self.delivered:
            self._vote(Echo(self._epoch, self._proposer, message.root, message.branch, message.shard), digest)

    def handle_echo(self, sender: int, message: Echo) -> None:
        """A node's own shard, as its vote or in answer to WANT: taken if it proves itself at the sender's place."""
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

    def handle_echo_hash(self, sender: int, message: EchoHash) -> None:
        """A vote without the shard."""
        if self.delivered or self.aborted or self._contradicts(sender, message) or sender in self._vote_root:
            return
        if is_holder(sender, self._proposer, self._quorums):
            # Its vote counts all the same: what it withholds, others have.
            self._fault(sender, HoneyBadgerFault.WITHHELD_SHARD)
        self._count(sender, message.root)

    def handle_ready(self, sender: int, message: Ready) -> None:
        """Amplify at f+1; deliver at 2f+1."""
        if self.delivered:
            return
        root = message.root
        if sender in self._ready_root:
            if self._ready_root[sender] != root:
                self._fault(sender, FaultKind.EQUIVOCATION, "READY")
            return
        self._ready_root[sender] = root
        count = self._ready_count[root] = self._ready_count.get(root, 0) + 1
        if count == self._quorums.weak and not self._ready_sent and not self.aborted:
            # One of the f+1 is correct, and saw N-f votes or relies on one who did.
            self._send_ready(root)
        # f+1 of the 2f+1 are correct: every correct node will see f+1 READYs and send its own, so all get here.
        if count >= self._quorums.ready:
            self._try_deliver(root)

    def status(self) -> dict[str, Any]:
        return {
            "votes": len(self._vote_root),
            "readies": len(self._ready_root),
            "delivered": self.delivered,
            "aborted": self.aborted,
        }

    def _place(self, node: int) -> int:
        return place_of(node, self._proposer, self._quorums.nodes)

    def _valid_leaf(self, sender: int, holder: int, message: Val | Echo) -> bytes | None:
        """The leaf digest if this is the shard of `holder` under the root, else None and a fault of `sender`."""
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

    def _contradicts(self, sender: int, message: Echo | EchoHash) -> bool:
        """Whether the sender has voted for another root, which is a fault."""
        if self._vote_root.get(sender, message.root) == message.root:
            return False
        self._fault(sender, FaultKind.EQUIVOCATION, "ECHO")
        return True

    def _vote(self, echo: Echo, digest: bytes) -> None:
        """Vote with the own shard, whose leaf digest is known: to the journal, to all, and counted here."""
        value = echo.root + echo.branch
        if self._journal.remember(self._epoch, Vote.ECHO, self._proposer, 0, value) != value:
            # Before a restart it was another root: that vote stands, and is sent again by `resume`.
            return
        if self._proposer != self._me:
            self._journal.remember(self._epoch, Vote.SHARD, self._proposer, 0, echo.shard)
        if is_holder(self._me, self._proposer, self._quorums):
            self._outbox.broadcast(echo)
        else:
            self._outbox.broadcast(EchoHash(self._epoch, self._proposer, echo.root))
        if self.aborted:
            return
        if echo.root not in self._checked:
            self._store(self._me, echo, digest)
        # At once, not when it comes back: the shard is hashed already.
        self._count(self._me, echo.root)

    def _store(self, holder: int, echo: Echo, digest: bytes) -> None:
        """Keep a shard that belongs to the root."""
        known, place = self._roots.setdefault(echo.root, _Root()), self._place(holder)
        known.digests[place] = digest
        if not known.shards:
            known.length = len(echo.shard)
        # A root that binds unequal leaves is no codeword. Whose fault that is cannot be told before N-f nodes have
        # voted for it: liars may have made it up.
        if known.length == len(echo.shard):
            known.shards[place] = echo.shard

    def _count(self, sender: int, root: bytes) -> None:
        """The sender's vote."""
        self._vote_root[sender] = root
        known = self._roots.setdefault(root, _Root())
        known.votes += 1
        if known.votes == self._quorums.quorum and not self._ready_sent:
            if self._is_disproved(root, known):
                self._abort()
                return
            self._send_ready(root)
        self._try_deliver(root)

    def _is_disproved(self, root: bytes, known: _Root) -> bool:
        """Whether the shards that are here show that the root is no codeword. If they are enough, they tell."""
        if len(known.digests) > len(known.shards):
            return True
        return len(known.shards) >= self._quorums.data_shards and not self._is_codeword(root, known)

    def _is_codeword(self, root: bytes, known: _Root) -> bool:
        """Whether re-encoding any N-2f shards gives `root`; remembers the value if so."""
        if root in self._checked:
            return True
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

    def _abort(self) -> None:
        """N-f nodes have voted for a root that is no codeword. Some of them are correct and had VAL of the proposer."""
        self.aborted = True
        self._roots.clear()
        self._fault(self._proposer, HoneyBadgerFault.BAD_CODEWORD)

    def _send_ready(self, root: bytes) -> None:
        self._ready_sent = True
        root = self._journal.remember(self._epoch, Vote.READY, self._proposer, 0, root)
        self._outbox.broadcast(Ready(self._epoch, self._proposer, root))

    def _try_deliver(self, root: bytes) -> None:
        if self.delivered or self.aborted or self._ready_count.get(root, 0) < self._quorums.ready:
            return
        value = self._checked.get(root)
        if value is None:
            known = self._roots.get(root)
            if known is None:
                return
            if self._is_disproved(root, known):
                self._abort()
                return
            if root not in self._checked:
                self._lacking = root
                self._on_lack(self)
                return
            value = self._checked[root]
        self.delivered = True
        # Nothing is owed to anybody but what the journal has: our vote and READY are in the links' hands.
        self._roots.clear()
        self._checked.clear()
        self._deliver(value)

    def ask(self, spare: int) -> None:
        """WANT to those who voted by hash, or owe their shard: so that as many are asked as shards are missing, and
        `spare` more."""
        root = self._lacking
        if root is None or not self.lacks_shards:
            return
        known = self._roots[root]
        without = [
            node for node, its in self._vote_root.items() if its == root and self._place(node) not in known.digests
        ]
        room = self._quorums.data_shards - len(known.shards) + spare
        room -= sum(node in known.asked for node in without)
        for node in without:
            if room > 0 and node not in known.asked:
                room -= 1
                known.asked.add(node)
                self._outbox.send(node, Want(self._epoch, self._proposer, root))

    def _fault(self, node: int, kind: StrEnum, detail: str = "") -> None:
        self._outbox.fault(node, kind, f"epoch {self._epoch} broadcast {self._proposer} {detail}".rstrip())
