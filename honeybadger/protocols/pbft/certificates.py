"""Pure functions over what other nodes claim: certificates, VIEW-CHANGEs, and what a new view has to propose.

Every check returns "" or, for the fault log, the first thing that is wrong.

Source: Castro, Liskov: "Practical Byzantine Fault Tolerance" (OSDI 1999), section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.messages import NewView, PreparedProof, StableProof, ViewChange
from honeybadger.protocols.pbft.statements import (
    NULL,
    checkpoint_statement,
    new_view_statement,
    pre_prepare_statement,
    prepare_statement,
    view_change_statement,
)

#: the beginning of the chain needs no proof
GENESIS = StableProof(0, NULL, [])


def check_stable(group: Group, proof: StableProof) -> str:
    """2f+1 distinct nodes signed this checkpoint; or it is the beginning."""
    if why := _stable_shape(group, proof):
        return why
    if proof.number and not group.verify_all(
        proof.signatures, checkpoint_statement(group.chain_id, proof.number, proof.digest)
    ):
        return "signatures of a checkpoint"
    return ""


def check_prepared(group: Group, proof: PreparedProof) -> str:
    """The primary and N-f-1 distinct backups signed the same view, number and digest."""
    if why := _prepared_shape(group, proof):
        return why
    primary = group.primary(proof.view)
    address = (group.chain_id, proof.view, proof.number, proof.digest)
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
    if not group.verify(sender, view_change_statement(group.chain_id, change), change.signature):
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
    if not group.verify(primary, new_view_statement(group.chain_id, new_view), new_view.signature):
        return "signature"
    for proposal in new_view.proposals:
        statement = pre_prepare_statement(group.chain_id, view, proposal.number, proposal.digest)
        if not group.verify(primary, statement, proposal.signature):
            return f"signature of proposal {proposal.number}"
    for sender, change in new_view.changes:
        if known.get(sender) != change and (why := check_view_change(group, sender, change)):
            return f"view change of node {sender}: {why}"
    return ""
