"""What all reliable broadcasts of a proposal share: one vote per node, READY, delivery, the journal.

The variants are `broadcast_hash_echo` (the default), `broadcast_avid` (the paper's) and `broadcast_bracha` (no coding).
Each says what VAL and ECHO carry, and how everybody comes by the value.

Guarantee, of all of them. If a correct node delivers v then every correct node delivers v (agreement, totality); a
correct proposer's value is delivered by all (validity).

Steps. The proposer sends each node its shard of the value, under a root that commits to all of it (VAL). A node votes
for the root of its VAL, once (ECHO). READY after N-f votes for one root, or after f+1 READYs; one READY per node.
Delivery after 2f+1 READYs, once the value is here. One vote and one READY per sender count, the first.

Why it is a reliable broadcast.
  - Agreement. Two sets of N-f voters share a correct one, which votes once. So READYs of correct nodes that come from
    votes are for one root. The others come from f+1 READYs, one of them correct, so they are for that root, too. Hence
    2f+1 READYs exist for one root only, and it has one value.
  - Totality. If a correct node delivers, f+1 correct nodes have sent READY, so all do (who has found the proposer out
    excepted, but then no correct node delivers) and all get 2f+1. The first of them saw N-f votes, so N-2f correct
    nodes have voted, and have their shards in their journals, or, the proposer, the value. Each variant says how these
    reach everybody. Whoever restarts votes again, first of all, though others may make it deliver without that.
  - Validity. All correct nodes vote for a correct proposer's root, N-f of them, and N-f >= 2f+1.

Source: Bracha, "Asynchronous Byzantine Agreement Protocols" (1987). He sends READY after more than (N+f)/2 votes; N-f
is at least that many, and what the correct nodes can be waited for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

from crypto.erasure import ErasureCode
from crypto.merkle import DIGEST_LENGTH
from honeybadger.protocols.context import NoJournal, Outbox, VoteJournal
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, HoneyBadgerFault, Ready, Val, Vote
from honeybadger.protocols.honey_badger.shards_wanted import Lacking
from honeybadger.protocols.quorums import Quorums


class ReliableBroadcast(ABC):
    """One instance: `proposer`'s broadcast in `epoch`, seen by node `me`.

    `longest_shard`: bytes, as `shard_limit` says; longer shards are refused before they are stored. `deliver(value)` is
    called at most once; `on_lack(self)` each time that delivery turns out to wait for nothing but shards that must be
    asked for: whoever is called sees to it that `ask` is called.
    """

    #: whether nodes ask for shards, and get them: WANT
    has_want: ClassVar[bool] = False

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
        on_lack: Callable[[Lacking], None],
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
        #: as the proposer: it has broadcast
        self._begun_here = False
        #: the root of the proposer's VAL: a second VAL must have the same
        self._val_root: bytes | None = None
        #: sender → the root of its vote and of its first READY: only those count
        self._vote_root: dict[int, bytes] = {}
        self._ready_root: dict[int, bytes] = {}
        #: root → how many; at most one root for each sender
        self._vote_count: dict[bytes, int] = {}
        self._ready_count: dict[bytes, int] = {}
        self._ready_sent = False
        self.delivered = False
        #: the proposer is caught: nothing is delivered here, whatever comes
        self.aborted = False
        self._prepare()

    # -- what a variant decides ------------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def shard_limit(code: ErasureCode, longest_value: int) -> int:
        """Bytes of the longest shard of a value of at most `longest_value` bytes."""

    @abstractmethod
    def _prepare(self) -> None:
        """At the end of the construction: set up what the variant keeps."""

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """Bytes of shards and values; at most `most_held`."""

    @property
    @abstractmethod
    def most_held(self) -> int:
        """Bytes that liars can make this node hold, without its journal."""

    @abstractmethod
    def handle_echo(self, sender: int, message: Echo) -> None:
        """A node's own shard, as its vote."""

    def handle_echo_hash(self, sender: int, message: EchoHash) -> None:
        """A vote without the shard, which not all broadcasts have."""
        self._fault(sender, HoneyBadgerFault.FOREIGN_VOTE, "ECHO_HASH")

    @abstractmethod
    def _disperse(self, value: bytes) -> Val:
        """Send the others the VALs of this node's own value, and keep the value; returns this node's VAL."""

    @abstractmethod
    def _own_leaf(self, shard: bytes) -> bytes:
        """The leaf digest of this node's shard."""

    @abstractmethod
    def _valid_leaf(self, sender: int, holder: int, message: Val | Echo) -> bytes | None:
        """The leaf digest if this is the shard of `holder` under the root, else None and a fault of `sender`."""

    def _say(self, echo: Echo) -> None:
        """Tell everybody this node's vote."""
        self._outbox.broadcast(echo)

    @abstractmethod
    def _store(self, holder: int, echo: Echo, digest: bytes) -> None:
        """Keep a shard that belongs to the root, and whose leaf has this digest."""

    def _is_disproved(self, root: bytes) -> bool:
        """Whether what is here shows that the proposer has broadcast no value under this root."""
        return False

    @abstractmethod
    def _restore(self, root: bytes) -> bytes | None:
        """The value, of which 2f+1 nodes say that it can be restored, or None if that cannot be done here yet."""

    @abstractmethod
    def _forget(self) -> None:
        """Let go of all shards and values."""

    # -- what all do -------------------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether anything valid has been heard of this broadcast."""
        return self._val_root is not None or bool(self._vote_root) or bool(self._ready_root)

    def broadcast(self, value: bytes) -> None:
        """Send `value` and vote for it; for the proposer only, once. After a restart, before anything else is heard:
        the vote must go out again even if others make this node deliver."""
        if self._me != self._proposer or self._begun_here:
            raise RuntimeError("only the proposer broadcasts, and only once")
        self._begun_here = True
        self.handle_val(self._me, self._disperse(value))

    def resume(self, vote: Vote, value: bytes) -> None:
        """After a restart: send again what the journal holds, before anything else happens here."""
        if vote is Vote.READY:
            self._send_ready(value)
        elif vote is Vote.SHARD:
            sent = self._journal.recall(self._epoch, Vote.ECHO, self._proposer, 0)
            if sent is not None:
                root, branch = sent[:DIGEST_LENGTH], sent[DIGEST_LENGTH:]
                self._val_root = root
                self._vote(Echo(self._epoch, self._proposer, root, branch, value), self._own_leaf(value))
        # ECHO without SHARD is this node's own broadcast: `broadcast` votes again.

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
        self._say(echo)
        if not self.aborted:
            # At once, not when it comes back: the shard is hashed already.
            self._store(self._me, echo, digest)
            self._count(self._me, echo.root)

    def _count(self, sender: int, root: bytes) -> None:
        """The sender's vote."""
        self._vote_root[sender] = root
        votes = self._vote_count[root] = self._vote_count.get(root, 0) + 1
        if votes == self._quorums.quorum and not self._ready_sent:
            if self._is_disproved(root):
                self._abort()
                return
            self._send_ready(root)
        self._try_deliver(root)

    def _send_ready(self, root: bytes) -> None:
        self._ready_sent = True
        root = self._journal.remember(self._epoch, Vote.READY, self._proposer, 0, root)
        self._outbox.broadcast(Ready(self._epoch, self._proposer, root))

    def _abort(self) -> None:
        """N-f nodes have voted for a root of no value. Some of them are correct and had VAL of the proposer."""
        self.aborted = True
        self._forget()
        self._fault(self._proposer, HoneyBadgerFault.BAD_CODEWORD)

    def _try_deliver(self, root: bytes) -> None:
        if self.delivered or self.aborted or self._ready_count.get(root, 0) < self._quorums.ready:
            return
        if self._is_disproved(root):
            self._abort()
            return
        value = self._restore(root)
        if value is None:
            return
        self.delivered = True
        # Nothing is owed to anybody but what the journal has: our vote and READY are in the links' hands.
        self._forget()
        self._deliver(value)

    def _fault(self, node: int, kind: StrEnum, detail: str = "") -> None:
        self._outbox.fault(node, kind, f"epoch {self._epoch} broadcast {self._proposer} {detail}".rstrip())
