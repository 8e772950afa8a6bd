"""What replicas sign, whose signature is whose, and pure checks of what other nodes claim to have been told.

Every statement begins with the chain id and its kind, so no signature can be used for anything else: a primary's
PRE-PREPARE is no PREPARE. Every check returns "" or, for the fault log, the first thing that is wrong.

Source: Castro, Liskov: "Practical Byzantine Fault Tolerance" (OSDI 1999), section 4.4.
"""

import struct
from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise

import msgspec

from crypto.signatures import PublicSigningKeys, SigningKey
from honeybadger.protocols.context import Context
from honeybadger.protocols.pbft.messages import NewView, PreparedProof, SignedBy, StableProof, ViewChange

#: the digest of a null request, which is executed as an empty block; no batch has it
NULL = bytes(32)
#: the beginning of the chain needs no proof
GENESIS = StableProof(0, NULL, [])

_numbers = struct.Struct(">QQ")
_encode = msgspec.msgpack.Encoder().encode


def pre_prepare_statement(view: int, number: int, digest: bytes) -> bytes:
    """The primary of `view` proposes `digest` at `number`. (`Group.sign` puts the chain id before each statement.)"""
    return b"PBFT PRE-PREPARE" + _numbers.pack(view, number) + digest


def prepare_statement(view: int, number: int, digest: bytes) -> bytes:
    """A backup accepts that."""
    return b"PBFT PREPARE" + _numbers.pack(view, number) + digest


def checkpoint_statement(number: int, digest: bytes) -> bytes:
    """State after `number`."""
    return b"PBFT CHECKPOINT" + _numbers.pack(0, number) + digest


def view_change_statement(change: ViewChange) -> bytes:
    """All fields but the signature."""
    body = _encode((change.view, change.stable, change.prepared))
    return b"PBFT VIEW-CHANGE" + sha256(body).digest()


def new_view_statement(new_view: NewView) -> bytes:
    """All fields but the signature."""
    body = _encode((new_view.view, new_view.changes, new_view.proposals))
    return b"PBFT NEW-VIEW" + sha256(body).digest()


class Group:
    """The members, as PBFT sees them: who is primary, how many make a certificate, whose signature is whose.

    Raises ValueError if the cluster has no signing keys.
    """

    def __init__(self, context: Context) -> None:
        if context.signing_keys is None or context.signing_key is None:
            raise ValueError("PBFT needs signing keys; make the cluster anew with `honeybadger keygen`")
        self.me = context.me
        self._chain_id = context.chain_id
        self.parameters = context.parameters
        self.nodes = context.quorums.nodes
        #: N-f: two such sets share a correct node, also where N > 3f+1; for PREPAREs, COMMITs and VIEW-CHANGEs
        self.quorum = context.quorums.quorum
        #: f+1: one of them is correct, so what they say has happened or is wanted for a good reason
        self.weak = context.quorums.weak
        #: 2f+1: f+1 of them are correct, so the state is the right one and can be fetched from them
        self.checkpoint_quorum = context.quorums.ready
        self._keys: PublicSigningKeys = context.signing_keys
        self._key: SigningKey = context.signing_key
        #: signatures verified so far: what `Throttle` charges for
        self.verified = 0
        #: checkpoints are this far apart (K), and the high water mark is twice that above the low one (L)
        self.checkpoint_interval = context.parameters.epoch_window
        self.window = 2 * self.checkpoint_interval

    def primary(self, view: int) -> int:
        return view % self.nodes

    def sign(self, statement: bytes) -> bytes:
        return self._key.sign(self._chain_id + statement)

    def verify(self, node: int, statement: bytes, signature: bytes) -> bool:
        self.verified += 1
        return self._keys.verify(node, self._chain_id + statement, signature)

    def verify_all(self, signatures: list[SignedBy], statement: bytes) -> bool:
        """Whether all signatures are good and of distinct members, ascending."""
        nodes = [node for node, _ in signatures]
        if any(a >= b for a, b in pairwise(nodes)):
            return False
        return all(self.verify(node, statement, signature) for node, signature in signatures)


def check_stable(group: Group, proof: StableProof) -> str:
    """2f+1 distinct nodes signed this checkpoint; or it is the beginning."""
    if why := _stable_shape(group, proof):
        return why
    statement = checkpoint_statement(proof.number, proof.digest)
    return "" if not proof.number or group.verify_all(proof.signatures, statement) else "signatures of a checkpoint"


def check_prepared(group: Group, proof: PreparedProof) -> str:
    """The primary and N-f-1 distinct backups signed the same view, number and digest."""
    if why := _prepared_shape(group, proof):
        return why
    primary = group.primary(proof.view)
    address = (proof.view, proof.number, proof.digest)
    if not group.verify(primary, pre_prepare_statement(*address), proof.pre_prepare):
        return "signature of a PRE-PREPARE"
    if not group.verify_all(proof.prepares, prepare_statement(*address)):
        return "signatures of PREPAREs"
    return ""


def check_view_change(group: Group, sender: int, change: ViewChange, known: ViewChange | None = None) -> str:
    """Signature, checkpoint and every certificate of a VIEW-CHANGE, what costs least first. `known`: an earlier one of
    the sender that was checked; what it claims is not verified again."""
    if why := _view_change_shape(group, change):
        return why
    if not group.verify(sender, view_change_statement(change), change.signature):
        return "signature"
    if (known is None or known.stable != change.stable) and (why := check_stable(group, change.stable)):
        return why
    verified = {} if known is None else {proof.number: proof for proof in known.prepared}
    unknown = [proof for proof in change.prepared if verified.get(proof.number) != proof]
    return next((why for proof in unknown if (why := check_prepared(group, proof))), "")


def _stable_shape(group: Group, proof: StableProof) -> str:
    if proof.number == 0:
        return "" if proof == GENESIS else "a checkpoint before the first number"
    if proof.number % group.checkpoint_interval:
        return f"{proof.number} is no checkpoint"
    if len(proof.signatures) != group.checkpoint_quorum:
        return f"a checkpoint with {len(proof.signatures)} signatures"
    return ""


def _prepared_shape(group: Group, proof: PreparedProof) -> str:
    if len(proof.prepares) != group.quorum - 1:
        return f"a prepared certificate with {len(proof.prepares)} PREPAREs"
    if any(node == group.primary(proof.view) for node, _ in proof.prepares):
        return "a PREPARE of the primary"
    return ""


def _view_change_shape(group: Group, change: ViewChange) -> str:
    """What can be said without verifying a signature."""
    if change.view < 1:
        return "a change to view 0"
    low = change.stable.number
    before = low
    for proof in change.prepared:
        if not before < proof.number <= low + group.window:
            return f"certificate of {proof.number} out of order or outside {low} … {low + group.window}"
        before = proof.number
        if proof.view >= change.view:
            return f"certificate of view {proof.view}"
        if why := _prepared_shape(group, proof):
            return why
    return _stable_shape(group, change.stable)


def choose(changes: Iterable[ViewChange]) -> tuple[StableProof, list[tuple[int, bytes]]]:
    """What a view must begin with, given the VIEW-CHANGEs it rests on: the checkpoint, and O as (number, digest).

    From the highest stable checkpoint (min-s) to the highest prepared number (max-s) without gaps: the digest that was
    prepared in the HIGHEST view, or a null request where nothing was.
    """
    changes = list(changes)
    stable = max((change.stable for change in changes), key=lambda proof: proof.number)
    best: dict[int, PreparedProof] = {}
    for change in changes:
        for proof in change.prepared:
            known = best.get(proof.number)
            if known is None or proof.view > known.view:
                best[proof.number] = proof
    highest = max((number for number in best if number > stable.number), default=stable.number)
    numbers = range(stable.number + 1, highest + 1)
    return stable, [(number, best[number].digest if number in best else NULL) for number in numbers]


def check_new_view(group: Group, new_view: NewView, known: dict[int, ViewChange]) -> str:
    """A NEW-VIEW against V and O computed from it. `known`: VIEW-CHANGEs by sender that were checked already."""
    view = new_view.view
    if view < 1:
        return "a new view 0"
    senders = [sender for sender, _ in new_view.changes]
    if len(senders) != group.quorum or any(a >= b for a, b in pairwise(senders)):
        return f"rests on view changes of {senders}"
    for _, change in new_view.changes:
        if change.view != view:
            return f"rests on a change to view {change.view}"
    _, expected = choose(change for _, change in new_view.changes)
    if [(proposal.number, proposal.digest) for proposal in new_view.proposals] != expected:
        return "proposes something else than follows from its view changes"
    primary = group.primary(view)
    if not group.verify(primary, new_view_statement(new_view), new_view.signature):
        return "signature"
    for proposal in new_view.proposals:
        statement = pre_prepare_statement(view, proposal.number, proposal.digest)
        if not group.verify(primary, statement, proposal.signature):
            return f"signature of proposal {proposal.number}"
    for sender, change in new_view.changes:
        if known.get(sender) != change and (why := check_view_change(group, sender, change)):
            return f"view change of node {sender}: {why}"
    return ""
