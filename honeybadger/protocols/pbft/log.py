"""One sequence number: what was proposed, who voted for it, what is known of its batch.

Votes are counted by sender, one each and view, and only those for the digest of the PRE-PREPARE count. `proof` and
`batches` outlive the view: they are what a VIEW-CHANGE claims and what others may fetch.
"""

from __future__ import annotations

from collections import Counter

from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.messages import PreparedProof, SignedBy
from honeybadger.protocols.pbft.statements import NULL, prepare_statement


class Slot:
    """Sequence number `number`, in view `view`."""

    def __init__(self, group: Group, number: int, view: int) -> None:
        self._group = group
        self.number = number
        #: digest → bytes of the batch; of the accepted proposal and of `proof`
        self.batches: dict[bytes, bytes] = {}
        #: the prepared certificate of the highest view
        self.proof: PreparedProof | None = None
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
        self.committed = False
        #: the digest that N-f nodes sent COMMIT for
        self.decided: bytes | None = None
        #: proposer and transactions of the accepted batch, if they were parsed and not yet executed
        self.content: tuple[int, list[bytes]] | None = None

    def propose(self, digest: bytes, signature: bytes) -> None:
        """The view's PRE-PREPARE, checked by the caller."""
        self.digest = digest
        self.pre_prepare = signature
        keep = {digest, self.proof.digest if self.proof else digest}
        for old in [known for known in self.batches if known not in keep]:
            del self.batches[old]

    @property
    def missing(self) -> bytes | None:
        """The digest of the batch that this node needs and does not have."""
        for digest in (self.decided, self.digest):
            if digest is not None and digest != NULL and digest not in self.batches:
                return digest
        return None

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
        if self.digest is None or self.prepared:
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

    def try_commit(self) -> bool:
        """Whether the number has just become committed: N-f COMMITs for the proposal, whose batch is here.

        Without an own certificate or PRE-PREPARE, too: N-f COMMITs mean that others have one; they are final.
        """
        if self.decided is None and len(self._commits) >= self._group.quorum:
            votes = Counter(self._commits.values()).most_common(1)
            self.decided = votes[0][0] if votes[0][1] >= self._group.quorum else None
        if self.committed or self.decided is None:
            return False
        self.committed = self.decided == NULL or self.decided in self.batches
        return self.committed

    def held_bytes(self) -> int:
        """Bytes of batches."""
        return sum(map(len, self.batches.values()))
