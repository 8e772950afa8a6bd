"""Reliable broadcast of one proposal: erasure-coded, Merkle-proven, with Bracha's READY amplification.

Guarantee. If a correct node delivers v then every correct node delivers v (agreement, totality); a correct
proposer's value is delivered by all (validity).

Thresholds. READY after N-f valid ECHOs of one root, or after f+1 READYs; delivery after 2f+1 READYs and N-2f
valid ECHOs. Each node sends at most one ECHO and one READY per instance over its lifetime, and at most one of
each is counted per sender.

Why the codeword check. A faulty proposer can put shards that are no codeword under one valid root; different
subsets of them then restore different values. Before its own first-hand READY a node therefore restores all N
shards from any N-2f, recomputes the root, and aborts the instance if it differs. The root commits to every leaf
(and to its length), so every subset gives the same verdict: either no correct node sends a first-hand READY, or the
check would succeed everywhere, and READYs of f+1 nodes stand for it. "Abort" means silence: nothing is
delivered, and agreement ends with 0.

Source: Cachin and Tessaro, "Asynchronous Verifiable Information Dispersal" (2005); Miller et al. (CCS 2016),
figure 2; Bracha (1987).
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
from honeybadger.protocols.honey_badger.messages import Echo, HoneyBadgerFault, Ready, Val, Vote
from honeybadger.protocols.quorums import Quorums


@dataclass(slots=True)
class _Shards:
    """What is known of one root: the valid shards by index, with their leaf digests."""

    #: of each shard, in bytes: that of the first one that came
    length: int
    shards: dict[int, bytes] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)


class ReliableBroadcast:
    """One instance: `proposer`'s broadcast in `epoch`, seen by node `me`.

    `longest_shard`: bytes; longer shards are refused before they are stored. `deliver(value)` is called at
    most once.
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
        self._journal = journal or NoJournal()
        #: as the proposer: the root of what this node disperses
        self._own_root: bytes | None = None
        #: the root of the proposer's VAL: a second VAL must have the same
        self._val_root: bytes | None = None
        #: sender → the root of its first ECHO and of its first READY: only those count
        self._echo_root: dict[int, bytes] = {}
        self._ready_root: dict[int, bytes] = {}
        self._ready_count: dict[bytes, int] = {}
        #: root → the valid shards of its ECHOs; at most one root for each sender
        self._roots: dict[bytes, _Shards] = {}
        #: root → value, where this node has found that the root is that of a codeword
        self._checked: dict[bytes, bytes] = {}
        self._ready_sent = False
        self.delivered = False
        #: the proposer is caught: nothing is delivered here, whatever comes
        self.aborted = False

    @property
    def begun(self) -> bool:
        """Whether anything valid has been heard of this broadcast."""
        return self._val_root is not None or bool(self._echo_root) or bool(self._ready_root)

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
        for node, shard in enumerate(shards):
            self._outbox.send(node, Val(self._epoch, self._proposer, tree.root, tree.branch(node), shard))

    def resume(self, vote: Vote, value: bytes) -> None:
        """After a restart: send again what the journal holds, before anything else happens here."""
        if vote is Vote.READY:
            self._send_ready(value)
        elif vote is Vote.SHARD:
            sent = self._journal.recall(self._epoch, Vote.ECHO, self._proposer, 0)
            if sent is not None:
                self._val_root = sent[:DIGEST_LENGTH]
                self._send_echo(Echo(self._epoch, self._proposer, sent[:DIGEST_LENGTH], sent[DIGEST_LENGTH:], value))
        # ECHO without SHARD is this node's own broadcast: its VAL to itself brings the shard.

    def handle_val(self, sender: int, message: Val) -> None:
        """The proposer's shard for this node: answer with ECHO, once."""
        if sender != self._proposer:
            self._fault(sender, HoneyBadgerFault.NOT_THE_PROPOSER)
            return
        if self._val_root is not None:
            if self._val_root != message.root:
                self._fault(sender, FaultKind.EQUIVOCATION, "VAL")
            return
        if self._valid_leaf(sender, self._me, message) is None:
            return
        self._val_root = message.root
        if not self.delivered:
            self._send_echo(Echo(self._epoch, self._proposer, message.root, message.branch, message.shard))

    def handle_echo(self, sender: int, message: Echo) -> None:
        """A node's own shard: count it if it proves itself at the sender's index."""
        if self.delivered or self.aborted:
            return
        if sender in self._echo_root:
            if self._echo_root[sender] != message.root:
                self._fault(sender, FaultKind.EQUIVOCATION, "ECHO")
            return
        digest = self._valid_leaf(sender, sender, message)
        if digest is None:
            return
        self._echo_root[sender] = message.root
        known = self._roots.get(message.root)
        if known is None:
            known = self._roots[message.root] = _Shards(len(message.shard))
        elif known.length != len(message.shard):
            # A root that binds unequal leaves is no codeword. Whose fault it is cannot be told: the proposer's,
            # or that of echoing nodes which made the root up.
            return
        known.shards[sender] = message.shard
        known.digests[sender] = digest
        # Two sets of N-f share a correct node, which sends one ECHO: READYs of correct nodes are for one root only.
        if len(known.shards) == self._quorums.quorum and not self._ready_sent:
            if not self._is_codeword(message.root, known):
                self.aborted = True
                self._roots.clear()
                self._fault(self._proposer, HoneyBadgerFault.BAD_CODEWORD)
                return
            self._send_ready(message.root)
        self._try_deliver(message.root)

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
            # No check needed: one of the f+1 is correct and has checked, or relies on one who has.
            self._send_ready(root)
        # f+1 of the 2f+1 are correct: every correct node will see f+1 READYs and send its own, so all get here.
        if count >= self._quorums.ready:
            self._try_deliver(root)

    def status(self) -> dict[str, Any]:
        return {
            "echoes": len(self._echo_root),
            "readies": len(self._ready_root),
            "delivered": self.delivered,
            "aborted": self.aborted,
        }

    def _valid_leaf(self, sender: int, index: int, message: Val | Echo) -> bytes | None:
        """The leaf digest if the shard belongs to the root at `index`, else None and a fault."""
        shard = message.shard
        if not 0 < len(shard) <= self._longest_shard:
            self._fault(sender, HoneyBadgerFault.BAD_SHARD_LENGTH, str(len(shard)))
            return None
        nodes = self._quorums.nodes
        digest = leaf_digest(nodes, index, shard)
        if not verify_digest(message.root, nodes, index, digest, message.branch):
            self._fault(sender, HoneyBadgerFault.BAD_BRANCH, type(message).__name__.upper())
            return None
        return digest

    def _is_codeword(self, root: bytes, known: _Shards) -> bool:
        """Whether re-encoding any N-2f shards gives `root`; remembers the value if so."""
        if root in self._checked:
            return True
        try:
            shards = self._code.complete(known.shards)
            digests = [
                # A shard that came in is unchanged in `shards` unless it was recomputed; hash only those.
                known.digests[i] if known.shards.get(i) is shard else leaf_digest(len(shards), i, shard)
                for i, shard in enumerate(shards)
            ]
            if MerkleTree.from_digests(len(shards), digests).root != root:
                return False
            self._checked[root] = self._code.value(shards)
        except InvalidCodeword:
            return False
        return True

    def _send_echo(self, echo: Echo) -> None:
        value = echo.root + echo.branch
        if self._journal.remember(self._epoch, Vote.ECHO, self._proposer, 0, value) != value:
            # Before a restart it was another root: that ECHO stands, and is sent again by `resume`.
            return
        if self._proposer != self._me:
            self._journal.remember(self._epoch, Vote.SHARD, self._proposer, 0, echo.shard)
        self._outbox.broadcast(echo)

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
            # N-2f restore the value, and N-2f correct ECHOs are on their way: those among the N-f behind a READY.
            if known is None or len(known.shards) < self._quorums.data_shards:
                return
            # 2f+1 READYs contain a correct node's check, so this succeeds; a failure means more than f faults.
            if not self._is_codeword(root, known):
                self.aborted = True
                return
            value = self._checked[root]
        self.delivered = True
        # Nothing is owed to anybody any more: our ECHO and READY are in the links' hands.
        self._roots.clear()
        self._checked.clear()
        self._deliver(value)

    def _fault(self, node: int, kind: StrEnum, detail: str = "") -> None:
        self._outbox.fault(node, kind, f"epoch {self._epoch} broadcast {self._proposer} {detail}".rstrip())
