"""One sequence number: what was proposed, who voted for it, what is known of its batch.

Votes are counted by sender, one each and view. What belongs to a batch is kept and looked up by its digest, since
a faulty primary may propose one batch here and have another one decided. `proof`, `decided` and `batches` outlive the
view: they are what a VIEW-CHANGE claims, what is executed, and what others may fetch.
"""

from __future__ import annotations

from collections import Counter

from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.messages import PreparedProof, SignedBy
from honeybadger.protocols.pbft.statements import NULL, prepare_statement

#: batches kept of one number. Whoever has voted for one keeps it: another node may hold a certificate for it, which a
#: later view must follow. Each takes a view of its own, and patience doubles with each view that decides nothing.
MOST_BATCHES = 4


class Slot:
    """Sequence number `number`, in view `view`."""

    def __init__(self, group: Group, number: int, view: int) -> None:
        self._group = group
        self.number = number
        #: digest → bytes of the batch, the newest last (`add_batch`)
        self.batches: dict[bytes, bytes] = {}
        #: the prepared certificate of the highest view
        self.proof: PreparedProof | None = None
        #: the digest that N-f nodes sent COMMIT for in one view: final
        self.decided: bytes | None = None
        self.enter(view)

    def enter(self, view: int) -> None:
        """Another view begins: no votes yet."""
        self.view = view
        self.digest: bytes | None = None
        self.pre_prepare = b""
        self._prepares: dict[int, tuple[bytes, bytes]] = {}
        self._verified: set[int] = set()
        self._commits: dict[int, bytes] = {}
        self.voted = False
        #: the batch of the proposal has come, and no correct primary proposes such a one
        self.refused = False

    def propose(self, digest: bytes, signature: bytes) -> None:
        """The view's PRE-PREPARE, checked by the caller."""
        self.digest = digest
        self.pre_prepare = signature

    def add_batch(self, digest: bytes, batch: bytes) -> None:
        """Keep a batch; the oldest that nothing here refers to goes when there are too many."""
        self.batches[digest] = batch
        needed = {digest, self.digest, self.decided, self.proof.digest if self.proof else None}
        for old in [known for known in self.batches if known not in needed][: len(self.batches) - MOST_BATCHES]:
            del self.batches[old]

    @property
    def missing(self) -> bytes | None:
        """The digest of the batch that this node needs and does not have."""
        digest = self.decided if self.decided is not None or self.refused else self.digest
        return None if digest is None or digest == NULL or digest in self.batches else digest

    @property
    def begun(self) -> bool:
        """Whether something was proposed here, as this node knows, or f+1 others do, of whom one is correct."""
        voters = self._prepares.keys() | self._commits.keys()
        return (self.digest or self.decided) is not None or len(voters) >= self._group.weak

    @property
    def contradicted(self) -> bool:
        """Whether the primary proposed something else here than what was decided."""
        return self.digest is not None and self.decided is not None and self.digest != self.decided

    @property
    def committed(self) -> bool:
        """Whether the number can be executed: it is decided, and the batch is here."""
        return self.decided is not None and self.missing is None

    @property
    def has_batch(self) -> bool:
        """Whether the content of the accepted proposal is known."""
        return self.digest == NULL or self.digest in self.batches

    def add_prepare(self, sender: int, digest: bytes, signature: bytes) -> bool:
        """False if the sender has sent another one."""
        return self._prepares.setdefault(sender, (digest, signature))[0] == digest

    def add_commit(self, sender: int, digest: bytes) -> bool:
        """False if the sender has sent another one."""
        return self._commits.setdefault(sender, digest) == digest

    @property
    def prepared(self) -> bool:
        """Whether there is a certificate of this view."""
        return self.proof is not None and self.proof.view == self.view

    def try_prepare(self) -> list[int]:
        """Make the certificate if enough PREPAREs are there; returns who sent a bad signature.

        Signatures are verified here, once, before the certificate exists and so before the COMMIT that promises it: a
        certificate in a VIEW-CHANGE of a correct node is always valid.
        """
        if self.digest is None or self.prepared or not self.has_batch:
            # Without the batch, too: a certificate obliges later views, so its holder must be able to serve it.
            return []
        primary = self._group.primary(self.view)
        needed = self._group.quorum - 1
        votes = [(n, s) for n, (d, s) in sorted(self._prepares.items()) if d == self.digest and n != primary]
        if len(votes) < needed:
            return []
        statement = prepare_statement(self._group.chain_id, self.view, self.number, self.digest)
        bad = []
        for node, signature in votes:
            if node not in self._verified and node != self._group.me:
                if self._group.verify(node, statement, signature):
                    self._verified.add(node)
                else:
                    bad.append(node)
                    # The slot stays taken: one vote per node.
                    self._prepares[node] = (NULL if self.digest != NULL else b"", signature)
        good: list[SignedBy] = [vote for vote in votes if vote[0] not in bad]
        if len(good) >= needed:
            self.proof = PreparedProof(self.number, self.view, self.digest, self.pre_prepare, good[:needed])
        return bad

    def try_decide(self) -> bool:
        """Whether N-f COMMITs for one digest have just come together.

        Without an own certificate or PRE-PREPARE, too: they mean that others have one; they are final.
        """
        if self.decided is not None or len(self._commits) < self._group.quorum:
            return False
        digest, votes = Counter(self._commits.values()).most_common(1)[0]
        self.decided = digest if votes >= self._group.quorum else None
        return self.decided is not None

    def held_bytes(self) -> int:
        """Bytes of batches."""
        return sum(map(len, self.batches.values()))
