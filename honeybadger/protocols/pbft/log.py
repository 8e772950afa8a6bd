"""The log: a slot for each sequence number, batches as bytes, and the checkpoints up to which the log is forgotten.

A slot has what was proposed, who voted for it, and what is known of its batch. Votes are counted by sender, one each
and view. What belongs to a batch is kept and looked up by its digest, since a faulty primary may propose one batch here
and have another one decided. `proof`, `decided` and `batches` outlive the view: they are what a VIEW-CHANGE claims,
what is executed, and what others may fetch.

"""

from collections import Counter

from honeybadger.protocols.context import Context
from honeybadger.protocols.pbft.certificates import (
    GENESIS,
    NULL,
    Group,
    check_stable,
    checkpoint_statement,
    prepare_statement,
)
from honeybadger.protocols.pbft.messages import Checkpoint, PreparedProof, SignedBy, StableProof

#: batches kept of one number. A node that has voted for one keeps it: another may hold a certificate for it, which a
#: later view must follow. Each takes a view of its own, and patience doubles with each view that decides nothing.
MOST_BATCHES = 4

#: newest CHECKPOINTs kept of each node, and proofs ahead of this node's execution. Two are between the water marks;
#: older ones are of no use to anybody, and a liar that names far numbers displaces only its own.
KEPT = 4


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
        #: of the accepted proposal, and the primary's signature of it; None: there is none yet
        self.digest: bytes | None = None
        self.pre_prepare = b""
        #: sender → (digest, signature): the first PREPARE of each, not verified when it comes
        self._prepares: dict[int, tuple[bytes, bytes]] = {}
        #: senders whose PREPARE was verified, so that a certificate that fails once costs nothing twice
        self._verified: set[int] = set()
        #: sender → digest: the first COMMIT of each
        self._commits: dict[int, bytes] = {}
        #: this node has sent (or, as a primary, implied) its PREPARE: it accepts no other proposal in this view
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
        # N-f nodes vouch for the batch, and the primary has, by its PRE-PREPARE.
        needed = self._group.quorum - 1
        votes = [(n, s) for n, (d, s) in sorted(self._prepares.items()) if d == self.digest and n != primary]
        if len(votes) < needed:
            return []
        statement = prepare_statement(self.view, self.number, self.digest)
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

        f+1 or more of them are of correct nodes, which hold the certificate, and any N-f VIEW-CHANGEs include one of
        those: so it is final, whether this node has a certificate or PRE-PREPARE of its own or not.
        """
        if self.decided is not None or len(self._commits) < self._group.quorum:
            return False
        digest, votes = Counter(self._commits.values()).most_common(1)[0]
        self.decided = digest if votes >= self._group.quorum else None
        return self.decided is not None

    def held_bytes(self) -> int:
        return sum(map(len, self.batches.values()))


class Checkpoints:
    """Signs checkpoints, collects CHECKPOINTs until 2f+1 agree, and holds the newest stable one: the low water mark.

    A node signs the checkpoint of n once block n is on its DISK: 2f+1 of those mean that f+1 correct nodes can serve
    the block, so nobody needs the messages up to n any more, even if all nodes die. What a replica misses below the
    others' low water mark it takes over as certified blocks (`ConsensusProtocol.skip_to`).

    The low water mark moves by proofs only, never by this node's own checkpoint, and only to where this node has
    executed: one that lags a little goes on with the messages it has instead of fetching the state. Until then a proof
    waits.
    """

    def __init__(self, group: Group, context: Context) -> None:
        self._group = group
        self._application = context.application
        #: after the loss of its votes a node signs nothing up to here: it may have signed something else
        self._silent_through = context.silent_through
        #: the newest number that this node has signed in this life
        self._signed = 0
        #: the proof that the water marks rest on
        self.stable: StableProof = GENESIS
        #: sender → number → (digest, signature)
        self._votes: dict[int, dict[int, tuple[bytes, bytes]]] = {}
        #: proofs above `stable`, by number
        self._ahead: dict[int, StableProof] = {}

    @property
    def newest(self) -> int:
        """The newest stable checkpoint, whether this node has executed so far or not."""
        return max(self._ahead, default=self.stable.number)

    def sign(self) -> Checkpoint | None:
        """The newest checkpoint whose block is on disk, unless this node has signed it before."""
        number = self._application.durable_epoch
        number -= number % self._group.checkpoint_interval
        if number <= max(self._signed, self.stable.number, self._silent_through):
            return None
        if (message := self._own(number)) is not None:
            self._signed = number
        return message

    def newest_above(self, number: int) -> Checkpoint | None:
        """This node's newest checkpoint, if it is of a higher number."""
        return self._own(self._signed) if number < self._signed else None

    def add(self, sender: int, message: Checkpoint) -> str:
        """Count a CHECKPOINT; returns "" or what is wrong with it."""
        number = message.number
        if number % self._group.checkpoint_interval or not number:
            return f"{number} is no checkpoint"
        if number <= self.stable.number or number in self._ahead:
            return ""
        votes = self._votes.setdefault(sender, {})
        if number in votes or (len(votes) == KEPT and number < min(votes)):
            return ""
        statement = checkpoint_statement(number, message.digest)
        if sender != self._group.me and not self._group.verify(sender, statement, message.signature):
            return "signature of a checkpoint"
        votes[number] = (message.digest, message.signature)
        while len(votes) > KEPT:
            del votes[min(votes)]
        same = [
            (node, theirs[number][1])
            for node, theirs in sorted(self._votes.items())
            if theirs.get(number, (b"",))[0] == message.digest
        ]
        # f+1 of 2f+1 are correct: the digest is right, and the block can be fetched from them.
        if len(same) >= self._group.checkpoint_quorum:
            self._learn(StableProof(number, message.digest, same[: self._group.checkpoint_quorum]))
        return ""

    def take(self, proof: StableProof) -> str:
        """A proof that somebody else put together; returns "" or what is wrong with it."""
        if proof.number <= self.stable.number or proof.number in self._ahead:
            return ""
        why = check_stable(self._group, proof)
        if not why:
            self._learn(proof)
        return why

    def advance(self, executed: int) -> bool:
        """Move the low water mark as far as proofs and execution allow; True if it has moved."""
        best = max((number for number in self._ahead if number <= executed), default=0)
        if best <= self.stable.number:
            return False
        self.stable = self._ahead[best]
        self._ahead = {number: proof for number, proof in self._ahead.items() if number > best}
        for votes in self._votes.values():
            for number in [number for number in votes if number <= best]:
                del votes[number]
        return True

    def _own(self, number: int) -> Checkpoint | None:
        digest = self._application.state_digest(number)
        if digest is None:
            return None
        return Checkpoint(0, number, digest, self._group.sign(checkpoint_statement(number, digest)))

    def _learn(self, proof: StableProof) -> None:
        self._ahead[proof.number] = proof
        # The highest one tells how far the others are, the lowest ones are where this node can move next.
        while len(self._ahead) > KEPT:
            del self._ahead[max(number for number in self._ahead if number != max(self._ahead))]
