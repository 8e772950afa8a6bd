"""The mistakes that implementations of PBFT are known for, one test or more for each; docs/scenarios.md lists them."""

from random import Random

import msgspec
import pytest
from support.pbft.replica import Replica
from support.pbft.requests import forward, relay

from honeybadger.protocols.batching.batch import decode_batch
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.pbft.certificates import NULL, check_view_change, choose
from honeybadger.protocols.pbft.messages import (
    AskView,
    Batch,
    Checkpoint,
    Commit,
    Fetch,
    Forward,
    NewView,
    PBFTFault,
    Prepare,
    PrePrepare,
    PromisedView,
    Relay,
    Status,
    ViewChange,
)
from honeybadger.simulation.cluster import SimulatedApplication
from honeybadger.simulation.journals import JournalModel
from honeybadger.transactions import Transactions


def faults(replica):
    return [kind for _, kind in replica.faults]


def suspicious(me):
    """A node whose client waits for b"mine", and whose patience with the primary of view 0 is over."""
    r = Replica(me)
    r.submit(b"mine")
    r.lose_patience()
    assert r.said(ViewChange, view=1)
    return r


def enter(r, view, proofs=()):
    """A NEW-VIEW of the others' VIEW-CHANGEs, each with these certificates."""
    new_view = r.new_view(view, {n: r.view_change(n, view, proofs) for n in range(4) if n != r.me})
    r.hear(view % 4, new_view)
    return new_view


def decide(r, proposal, prepares=(), commits=()):
    """Others PREPARE and COMMIT this."""
    for node in prepares:
        r.hear(node, r.prepare(node, proposal))
    for node in commits:
        r.hear(node, r.commit(proposal))


def reproposed(number, view, digest):
    """What a NEW-VIEW proposes, to vote for."""
    return PrePrepare(number, view, digest, bytes(64), b"")


# -- prepared certificates


def test_the_primarys_prepare_does_not_count():
    r = Replica(1)
    proposal = r.pre_prepare(1)
    r.hear(0, proposal)
    r.hear(0, r.prepare(0, proposal))
    assert not r.said(Commit) and r.faults == [(0, PBFTFault.UNEXPECTED_VOTE)]
    r.hear(2, r.prepare(2, proposal))
    assert r.said(Commit), "own PREPARE and that of node 2: 2f"


def test_a_prepare_counts_once():
    r = Replica(1)
    proposal = r.pre_prepare(1)
    r.hear(0, proposal)
    own = r.said(Prepare)[0]
    r.hear(1, own)
    r.hear(1, own)
    assert not r.said(Commit)
    seven = Replica(1, 7)
    proposal = seven.pre_prepare(1)
    seven.hear(0, proposal)
    for _ in range(5):
        seven.hear(2, seven.prepare(2, proposal))
    assert not seven.said(Commit)


def test_prepares_of_another_view_or_digest_do_not_count():
    r = Replica(1)
    proposal = r.pre_prepare(1)
    r.hear(0, proposal)
    r.hear(2, r.prepare(2, proposal, digest=b"x" * 32))
    r.hear(3, r.prepare(3, proposal, view=4))
    assert not r.said(Commit)
    # Neither does one that claims the right digest with a signature for another.
    forged = msgspec.structs.replace(r.prepare(3, proposal, digest=b"x" * 32), digest=proposal.digest)
    r.hear(3, forged)
    assert not r.said(Commit) and (3, PBFTFault.BAD_SIGNATURE) in r.faults


def test_commits_for_another_digest_do_not_count_and_early_votes_do():
    r = Replica(1)
    proposal = r.pre_prepare(1)
    r.hear(2, r.prepare(2, proposal), r.commit(proposal))
    r.hear(3, Commit(1, 0, b"x" * 32))
    r.hear(0, proposal)
    assert r.said(Commit) and not r.executed
    r.hear(0, r.commit(proposal))
    assert [block[0] for block in r.executed] == [1]


# -- view change


def test_the_certificate_of_the_highest_view_is_chosen():
    r = Replica(1)
    old, new = r.pre_prepare(1, 0), r.pre_prepare(1, 4, r.batch(0, b"other"))
    changes = [r.view_change(n, 5, [r.proof(p)]) for n, p in ((0, old), (2, new), (3, old))]
    for order in (changes, changes[::-1], [changes[1], changes[0], changes[2]]):
        assert choose(order)[1] == [(1, new.digest)]


def test_gaps_become_null_requests_that_are_executed():
    r = Replica(2)
    third = r.pre_prepare(3, 0)
    r.hear(0, third)
    changes = {0: r.view_change(0, 1), 1: r.view_change(1, 1, [r.proof(third)]), 3: r.view_change(3, 1)}
    new_view = r.new_view(1, changes)
    assert [(p.number, p.digest) for p in new_view.proposals] == [(1, NULL), (2, NULL), (3, third.digest)]
    r.hear(1, new_view)
    for number in (1, 2, 3):
        digest = third.digest if number == 3 else NULL
        assert r.said(Prepare, epoch=number, view=1, digest=digest)
        decide(r, reproposed(number, 1, digest), (0, 3), (0, 1, 3))
    assert [(n, proposers) for n, proposers, _ in r.executed] == [(1, ()), (2, ()), (3, (0,))]


def spoiled_changes(r):
    """VIEW-CHANGEs of node 3 to view 2 that are all wrong, by name."""
    good = r.pre_prepare(1)
    proof = r.proof(good)
    change = msgspec.structs.replace
    other_key = r.pre_prepare(1, signer=2)
    forged = [(n, bytes(64)) for n, _ in proof.prepares]
    yield "signature", change(r.view_change(3, 2), signature=bytes(64))
    yield "another's signature", r.view_change(2, 2)
    yield "too few prepares", r.view_change(3, 2, [r.proof(good, [1])])
    yield "prepare of the primary", r.view_change(3, 2, [r.proof(good, [0, 1])])
    yield "one backup twice", r.view_change(3, 2, [r.proof(good, [1, 1])])
    yield "forged prepares", r.view_change(3, 2, [change(proof, prepares=forged)])
    yield "prepares of another digest", r.view_change(3, 2, [change(proof, digest=b"x" * 32)])
    yield "prepares of another number", r.view_change(3, 2, [change(proof, number=2)])
    yield "pre-prepare of a backup", r.view_change(3, 2, [r.proof(other_key)])
    yield "null without certificate", r.view_change(3, 2, [change(proof, digest=NULL)])
    yield "view not left yet", r.view_change(3, 2, [r.proof(r.pre_prepare(1, 2))])
    yield "out of order", r.view_change(3, 2, [r.proof(r.pre_prepare(2)), proof])
    yield "twice", r.view_change(3, 2, [proof, proof])
    yield "above the water mark", r.view_change(3, 2, [r.proof(r.pre_prepare(9))])
    yield "below the checkpoint", r.view_change(3, 2, [proof], r.stable(4))
    yield "too few checkpoints", r.view_change(3, 2, [], r.stable(4, (0, 1)))
    yield "one checkpoint twice", r.view_change(3, 2, [], r.stable(4, (0, 1, 1)))
    yield "no checkpoint number", r.view_change(3, 2, [], r.stable(5))
    yield "forged checkpoint", r.view_change(3, 2, [], change(r.stable(4), digest=b"x" * 32))
    yield "beginning with a digest", r.view_change(3, 2, [], change(r.stable(4), number=0))
    yield "stranger", r.view_change(3, 2, [change(proof, prepares=[(1, forged[0][1]), (77, forged[0][1])])])


NAMES = [name for name, _ in spoiled_changes(Replica(1))]


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_view_change_is_validated(name):
    r = Replica(1)
    bad = dict(spoiled_changes(r))[name]
    assert check_view_change(r.group, 3, bad)
    r.hear(3, bad)
    assert r.faults == [(3, PBFTFault.BAD_VIEW_CHANGE)]
    # Nor may a primary build on it.
    changes = {0: r.view_change(0, 2), 2: r.view_change(2, 2), 3: bad}
    r.hear(2, r.new_view(2, changes))
    assert r.faults[1:] == [(2, PBFTFault.BAD_NEW_VIEW)] and r.protocol.status()["primary"] == 0
    # It counts for nothing: one more for view 2 is not f+1.
    r.hear(0, changes[0])
    assert not r.said(ViewChange)


def test_a_new_view_must_propose_exactly_what_follows():
    r = Replica(2)
    proposal = r.pre_prepare(1)
    changes = {0: r.view_change(0, 1), 1: r.view_change(1, 1, [r.proof(proposal)]), 3: r.view_change(3, 1)}
    wrong = [
        r.new_view(1, changes, []),
        r.new_view(1, changes, [(1, NULL)]),
        r.new_view(1, changes, [(1, b"x" * 32)]),
        r.new_view(1, changes, [(1, proposal.digest), (2, NULL)]),
        r.new_view(1, dict(list(changes.items())[:2])),
        r.new_view(1, changes, signer=3),
        r.new_view(1, {**changes, 3: r.view_change(3, 5)}),
        msgspec.structs.replace(r.new_view(1, changes), changes=[(0, changes[0])] * 3),
    ]
    for new_view in wrong:
        r.hear(1, new_view)
    assert faults(r) == [PBFTFault.BAD_NEW_VIEW] * len(wrong)
    r.hear(1, r.new_view(1, changes))
    assert r.protocol.status()["primary"] == 1


def test_nothing_is_executed_twice_after_a_view_change():
    r = Replica(2)
    proposal = r.order(1)
    assert len(r.executed) == 1
    enter(r, 1, [r.proof(proposal)])
    assert r.said(Prepare, view=1, epoch=1), "it takes part all the same: others may need it"
    decide(r, reproposed(1, 1, proposal.digest), (0, 3), (0, 1, 3))
    assert r.said(Commit, view=1, epoch=1) and len(r.executed) == 1
    # The same transaction in a later batch changes nothing, either.
    r.order(2, 1, r.batch(1, b"tx 1", b"new"))
    assert r.executed[1][2] == (b"new",)


def test_a_batch_that_is_known_by_digest_only_is_fetched():
    r = Replica(2)
    proposal = r.pre_prepare(1)
    enter(r, 1, [r.proof(proposal)])
    assert not r.said(Prepare), "no vote for what this node does not have"
    asked = []
    for _ in range(4):
        r.expire("fetch")
        asked.append(r.sent[-1])
    assert {node for node, _ in asked} == {0, 1, 3} and all(m == Fetch(0, proposal.digest) for _, m in asked)
    r.hear(3, Batch(0, r.batch(0, b"something else")))
    assert not r.said(Prepare)
    r.hear(3, Batch(0, proposal.batch))
    assert r.said(Prepare, digest=proposal.digest)
    r.expire("fetch")
    assert "fetch" not in r.timers
    r.hear(0, Fetch(0, proposal.digest))
    assert r.sent[-1] == (0, Batch(0, proposal.batch))


# -- water marks and checkpoints


def test_a_primary_cannot_go_beyond_the_water_mark():
    r = Replica(1)
    r.hear(0, r.pre_prepare(8))
    assert r.said(Prepare, epoch=8) and r.protocol.horizon == 8
    r.hear(0, r.pre_prepare(9))
    assert faults(r) == [FaultKind.FUTURE_EPOCH] and not r.said(Prepare, epoch=9)


def test_the_water_mark_moves_by_stable_checkpoints_only():
    r = Replica(1)
    for number in range(1, 5):
        r.order(number)
    own = r.said(Checkpoint)
    assert [c.number for c in own] == [4] and r.protocol.horizon == 8
    r.hear(2, r.checkpoint(2, 4, own[0].digest))
    r.hear(2, r.checkpoint(2, 4, own[0].digest))
    r.hear(3, r.checkpoint(3, 4, b"x" * 32))
    r.hear(0, msgspec.structs.replace(r.checkpoint(0, 4, own[0].digest), signature=bytes(64)))
    assert r.protocol.horizon == 8 and faults(r) == [PBFTFault.BAD_SIGNATURE]
    r.hear(0, r.checkpoint(0, 4, own[0].digest))
    assert r.protocol.horizon == 12 and r.protocol.settled == 4
    r.hear(0, r.pre_prepare(4, batch=r.batch(0, b"late")))
    assert not r.said(Prepare)[4:], "at or below h nothing is accepted"


def test_a_checkpoint_waits_for_the_disk():
    class SlowDisk(SimulatedApplication):
        durable_epoch = 0

    r = Replica(1, application=SlowDisk(8, Random(0)))
    for number in range(1, 5):
        r.order(number)
    r.poke()
    assert not r.said(Checkpoint)
    r.application.durable_epoch = 4
    r.poke()
    assert r.said(Checkpoint, number=4)


def test_state_is_never_taken_from_one_replica():
    """State transfer is the ledger's: blocks certified by f+1. Here: one node's word moves nothing."""
    r = Replica(1)
    r.hear(0, r.checkpoint(0, 100), r.checkpoint(0, 104))
    assert r.protocol.epoch == 1 and r.protocol.horizon == 8
    # A proof is believed, but the marks follow only where the blocks are.
    for node in (0, 2, 3):
        r.hear(node, r.checkpoint(node, 100))
    assert r.protocol.horizon == 8
    r.skip_to(102)
    assert r.protocol.epoch == 102 and r.protocol.horizon == 108


# -- messages of other views


def test_messages_of_a_view_that_has_not_begun_are_kept():
    r = Replica(2)
    early = r.pre_prepare(1, 1)
    r.hear(1, early)
    r.hear(3, r.prepare(3, early), r.commit(early))
    r.hear(0, r.prepare(0, early), r.commit(early))
    assert r.said(Status), "it asks for the NEW-VIEW that it has missed"
    assert not r.said(Prepare)
    enter(r, 1)
    r.expire("fetch")
    r.hear(3, Batch(0, early.batch))
    assert r.said(Prepare, view=1) and r.said(Commit, view=1) and len(r.executed) == 1


def test_who_has_missed_a_new_view_is_told():
    r = Replica(2)
    new_view = enter(r, 1)
    r.hear(3, Status(0, 0, 0, False))
    assert r.sent[-1] == (3, new_view)
    count = len(r.sent)
    r.hear(3, Status(0, 0, 0, False))
    assert len(r.sent) == count, "once in a while only"
    r.expire("tidy")
    r.hear(3, r.view_change(3, 1))
    assert r.sent[-1] == (3, new_view)


# -- clients and timers


def test_backups_forward_and_suspect_a_primary_that_ignores_them():
    r = Replica(1)
    r.submit(b"mine")
    assert r.sent[-1] == (0, forward(0, [b"mine"])) and r.timers["request"] == 0.5
    r.expire("request")
    assert r.said(Relay) == [relay([b"mine"])] and not r.said(ViewChange)
    r.expire("request")
    assert r.said(ViewChange, view=1)


def test_a_primary_whose_proposals_are_not_decided_gives_up_its_view():
    """With a liar that helped one node only, and a node that waits for the next view, nobody else would."""
    r = suspicious(0)
    assert r.said(ViewChange, view=1)


@pytest.mark.parametrize("me", [0, 3])
def test_who_waits_for_a_view_alone_lets_everybody_know_what_its_clients_wait_for(me):
    """The primary that it still follows may ignore its requests, or be itself."""
    r = suspicious(me)
    relayed = len(r.said(Relay))
    r.submit(b"later")
    r.expire("resend")
    assert r.said(Relay)[relayed:] == [relay([b"mine" if me else b"later"])], "the oldest; the primary proposed its"


def test_what_several_nodes_forward_is_proposed_once():
    """Also what is executed already: after a change of views every node forwards again what was on its way."""
    r = Replica(0)

    r.hear(1, forward(0, [b"a", b"b"]))
    r.poke()
    r.hear(2, forward(0, [b"b", *(b"c%d" % k for k in range(8))]))
    r.poke()
    proposals = r.said(PrePrepare)
    assert len(proposals) == 2, "a full batch goes out while the first is in progress"
    for proposal in proposals:
        decide(r, proposal, (1, 2, 3), (1, 2, 3))
    r.hear(3, forward(0, [b"a", b"c0", b"d"]))
    r.poke()
    contents = [decode_batch(m.batch, r.context.parameters, 4)[1] for m in r.said(PrePrepare)]
    assert contents == [[b"a", b"b"], [b"c%d" % k for k in range(8)], [b"d"]]


@pytest.mark.parametrize(
    "encoded",
    {
        "nothing": b"",
        "no transaction": Transactions.of([]).encode(),
        "empty transaction": Transactions.of([b"a", b""]).encode(),
        "long transaction": Transactions.of([bytes(1 << 20)]).encode(),
        "ends beyond the end": Transactions.of([b"ab"]).encode()[:-1],
        "endless": b"\xff" * 8,
    }.values(),
)
def test_malformed_requests_of_peers_go_nowhere(encoded):
    r = Replica(0)
    r.hear(1, Forward(0, 0, encoded), Relay(0, encoded))
    r.hear(2, relay([b"%d" % k for k in range(17)]))
    assert [(node, kind) for node, kind, *_ in r.faults] == [(n, PBFTFault.BAD_REQUEST) for n in (1, 1, 2)]
    r.poke()
    assert not r.said(PrePrepare) and r.protocol.status()["relayed"] == 0


def test_ordering_other_transactions_does_not_save_a_censoring_primary():
    r = Replica(1)
    r.submit(b"mine")
    r.expire("request")
    r.order(1)
    assert r.timers["request"] == 0.5
    r.expire("request")
    assert r.said(ViewChange, view=1)


def test_a_relayed_transaction_is_forwarded_and_watched_by_idle_nodes():
    r = Replica(1)
    r.hear(2, relay([b"theirs"]))
    assert r.sent[-1] == (0, forward(0, [b"theirs"])) and "request" in r.timers
    r.order(1, batch=r.batch(0, b"theirs"))
    assert "request" not in r.timers
    r.hear(3, relay([b"theirs"]))
    assert "request" not in r.timers, "it is executed already: never a reason to wait"
    r.hear(3, relay([b"%d" % k for k in range(16)]), relay([b"more"]))
    assert r.protocol.status()["relayed"] == 16, "bounded for each sender"


def test_the_timer_stops_for_a_client_that_sends_different_things_to_different_nodes():
    """The same transaction through another node, or in another form: what this node waits for was executed or not."""
    r = Replica(1)
    r.submit(b"twice")
    r.order(1, batch=r.batch(0, b"twice"))
    assert "request" not in r.timers
    r.hear(2, relay([b"twice"]))
    assert "request" not in r.timers
    r.submit(b"one form")
    assert "request" in r.timers
    r.order(2, batch=r.batch(0, b"other form", b"one form"))
    assert "request" not in r.timers and not r.said(ViewChange)


def test_patience_doubles_with_each_failed_view_and_is_reset_by_progress():
    r = suspicious(3)
    waits = []
    for view in (1, 2, 4):
        for node in (0, 1, 2):
            r.hear(node, r.view_change(node, view))
        waits.append(r.timers["new-view"])
        if view < 4:
            r.expire("new-view")
    assert waits[:2] == [1, 2] and waits[2] > 2
    enter(r, 4)
    assert r.timers["request"] > 1
    r.order(1, 4, r.batch(0, b"mine"))
    r.submit(b"next")
    assert r.timers["request"] == 0.5


def test_no_storm_the_wait_for_a_view_begins_when_enough_want_it():
    r = suspicious(3)
    r.hear(0, r.view_change(0, 1))
    assert "new-view" not in r.timers, "2 of the 3 that are needed: it stays where it is"
    r.expire("resend")
    assert len(r.said(ViewChange, view=1)) == 2 and not r.said(ViewChange, view=2)
    r.hear(1, r.view_change(1, 1))
    assert r.timers["new-view"] == 1


def test_who_wants_a_higher_view_counts_when_nodes_wait_for_one():
    """A liar had node 2 believe that enough want view 1; it has waited for it, and gone on. The others must follow,
    though they have never heard, or have forgotten, that it wanted view 1."""
    r = suspicious(3)
    r.hear(1, r.view_change(1, 1))
    assert "new-view" not in r.timers
    r.hear(2, r.view_change(2, 2))
    assert not r.said(ViewChange, view=2)
    r.expire("new-view")
    assert r.said(ViewChange, view=2)


def test_a_proposal_that_was_kept_from_this_node_only_is_waited_for():
    """f+1 others vote for it; one may be a liar. It may be this node's VIEW-CHANGE that is missing in the end."""
    r = Replica(2)
    proposal = r.pre_prepare(1)
    r.hear(1, r.prepare(1, proposal), r.commit(proposal))
    assert "request" not in r.timers
    r.hear(3, r.commit(proposal))
    r.lose_patience()
    assert r.said(ViewChange, view=1)


def test_f_plus_1_view_changes_are_joined_at_the_smallest_of_their_views():
    r = Replica(3)
    r.hear(0, r.view_change(0, 7))
    assert not r.said(ViewChange), "one may be a liar"
    r.hear(2, r.view_change(2, 5))
    assert [c.view for c in r.said(ViewChange)] == [5]
    assert "request" not in r.timers


def test_who_alone_suspects_the_primary_goes_on_as_a_learner():
    r = suspicious(3)
    proposal = r.pre_prepare(1, batch=r.batch(0, b"mine"))
    r.hear(0, proposal)
    decide(r, proposal, (1, 2))
    assert not r.said(Prepare) and not r.said(Commit), "its promise holds"
    decide(r, proposal, (), (0, 1, 2))
    assert len(r.executed) == 1


def test_who_is_behind_does_not_suspect_the_primary_until_it_has_caught_up():
    r = Replica(1)
    r.submit(b"mine")
    for node in (0, 2, 3):
        r.hear(node, r.checkpoint(node, 4))
    for _ in range(3):
        r.expire("request")
    assert not r.said(ViewChange) and not r.said(Relay)
    r.skip_to(5)
    r.lose_patience()
    assert r.said(ViewChange, view=1)


# -- proposals of a faulty primary


def test_proposals_that_no_correct_primary_makes():
    r = Replica(1)
    huge = r.batch(0, b"x" * 70_000)
    many = r.batch(0, *[b"%d" % k for k in range(9)])
    bad = [
        (0, r.pre_prepare(1, batch=r.batch(2))),
        (0, r.pre_prepare(2, batch=huge)),
        (0, r.pre_prepare(3, batch=many)),
        (0, r.pre_prepare(4, batch=b"\xc1")),
        (0, msgspec.structs.replace(r.pre_prepare(5), batch=r.batch(0, b"another"))),
        (0, r.pre_prepare(6, signer=1)),
        (2, r.pre_prepare(7)),
        (0, PrePrepare(8, 0, NULL, bytes(64), b"")),
    ]
    for sender, message in bad:
        r.hear(sender, message)
    assert not r.said(Prepare) and len(r.faults) == len(bad)
    assert {node for node, _ in r.faults} == {0, 2}


def test_a_malformed_batch_is_not_asked_for_again():
    """But for one case: N-f nodes, who follow another NEW-VIEW of a faulty primary, have decided it all the same."""
    r = Replica(1)
    bad = r.pre_prepare(1, batch=r.batch(2))
    r.hear(0, bad)
    assert "fetch" not in r.timers
    decide(r, bad, (), (0, 2, 3))
    r.expire("fetch")
    r.hear(2, Batch(0, bad.batch))
    assert [block[1] for block in r.executed] == [(2,)]


def test_two_proposals_for_one_number():
    r = Replica(1)
    r.hear(0, r.pre_prepare(1))
    r.hear(0, r.pre_prepare(1))
    assert not r.faults
    r.hear(0, r.pre_prepare(1, batch=r.batch(0, b"other")))
    assert faults(r) == [FaultKind.EQUIVOCATION] and len(r.said(Prepare)) == 1


def test_the_new_primary_builds_on_n_minus_f_view_changes():
    r = Replica(1)
    proposal = r.order(1)
    r.hear(0, r.view_change(0, 1))
    r.hear(2, r.view_change(2, 1))
    (own,) = r.said(ViewChange)
    assert [(p.number, p.digest) for p in own.prepared] == [(1, proposal.digest)]
    (new_view,) = r.said(NewView)
    assert [sender for sender, _ in new_view.changes] == [0, 1, 2] and r.protocol.status()["primary"] == 1
    r.submit(b"later")
    assert [p.epoch for p in r.said(PrePrepare)] == [2]


# -- what is derived from a batch belongs to its digest


def test_the_decided_batch_is_executed_whatever_was_proposed_to_this_node():
    """The primary sends one batch to this victim and another to a quorum."""
    r = Replica(3)
    own, decided = r.pre_prepare(1), r.pre_prepare(1, batch=r.batch(0, b"other"))
    r.hear(0, own)
    decide(r, decided, (), (0, 1, 2))
    r.expire("fetch")
    assert r.sent[-1][1] == Fetch(0, decided.digest)
    r.hear(1, Batch(0, decided.batch))
    assert [block[2] for block in r.executed] == [(b"other",)]
    assert r.faults == [(0, FaultKind.EQUIVOCATION)], "nobody else can have signed both"
    r.expire("fetch")
    assert "fetch" not in r.timers, "nobody needs what was not decided"


@pytest.mark.parametrize("withheld", [False, True])
def test_a_proposal_after_the_decision_changes_nothing(withheld):
    """COMMITs and the batch come while an earlier number is missing; then the primary proposes something else."""
    r = Replica(3)
    late, decided = r.pre_prepare(2), r.pre_prepare(2, batch=r.batch(0, b"other"))
    decide(r, decided, (), (0, 1, 2))
    r.expire("fetch")
    r.hear(2, Batch(0, decided.batch))
    r.hear(0, msgspec.structs.replace(late, batch=b"") if withheld else late)
    assert not r.said(Prepare) and r.faults == [(0, FaultKind.EQUIVOCATION)]
    r.order(1)
    assert [block[2] for block in r.executed] == [(b"tx 1",), (b"other",)]


def test_a_decision_outlives_its_view():
    """The batch is kept and executed although the next view begins before the number's turn comes."""
    r = Replica(2)
    decided = r.pre_prepare(2)
    r.hear(0, decided)
    decide(r, decided, (), (0, 1, 3))
    first = r.pre_prepare(1, batch=r.batch(0, b"first"))
    enter(r, 1, [r.proof(first), r.proof(decided)])
    decide(r, reproposed(1, 1, first.digest), (), (0, 1, 3))
    r.expire("fetch")
    r.hear(0, Batch(0, first.batch))
    assert [block[2] for block in r.executed] == [(b"first",), (b"tx 2",)]


def test_a_batch_that_was_voted_for_stays_available():
    """Somebody may hold a certificate for it, which a later view must follow, however few have the batch."""
    r = Replica(2)
    first = r.pre_prepare(1)
    r.hear(0, first)
    enter(r, 1)
    r.hear(1, r.pre_prepare(1, 1, r.batch(1, b"other")))
    assert len(r.said(Prepare)) == 2
    r.hear(3, Fetch(0, first.digest))
    assert r.sent[-1] == (3, Batch(0, first.batch))


def test_no_certificate_without_the_batch():
    """It obliges later views, so its holder must be able to serve it."""
    r = Replica(2)
    proposal = r.pre_prepare(1)
    r.hear(0, msgspec.structs.replace(proposal, batch=b""))
    decide(r, proposal, (1, 3))
    assert not r.said(Commit)
    r.expire("fetch")
    r.hear(3, Batch(0, proposal.batch))
    assert r.said(Prepare) and r.said(Commit)


def test_batches_of_one_number_are_bounded():
    """A faulty primary in each of many views."""
    r = Replica(2)
    for view in range(1, 40):
        if view % 4 != 2:
            enter(r, view)
            r.hear(view % 4, r.pre_prepare(1, view, r.batch(view % 4, b"%d" % view)))
    held = r.protocol.held_bytes()
    assert len(r.said(Prepare)) == 29
    assert held.epochs[1] <= 4 * held.instance and held.epoch_cap == 4 * held.instance_cap


# -- a lost journal


def recovering(me=3, nodes=4, silent_through=4, journal=None):
    """A replica that lost its votes: it has the blocks up to 4, and may have voted and promised anything."""
    r = Replica(me, nodes, journal=journal, silent_through=silent_through)
    r.application.blocks += [(number, (), ()) for number in range(1, 5)]
    r.poke()
    r.skip_to(5)
    for node in [node for node in range(nodes) if node != me]:
        r.hear(node, r.checkpoint(node, 4))
    return r


def answer(r, **views):
    """Answers to its question: node_<n>=view."""
    (nonce,) = {question.nonce for question in r.said(AskView)}
    for name, view in views.items():
        r.hear(int(name[5:]), PromisedView(0, nonce, view))


def test_after_a_lost_journal_a_replica_stays_out_of_views_that_it_may_have_left():
    """Its VIEW-CHANGE to view 1 may be out, and then nothing that it votes for in view 0 is safe."""
    r = recovering()
    proposal = r.order(5)
    assert not r.said(Prepare) and not r.said(Commit), "it does not know what it promised"
    assert r.executed[-1][0] == 5, "it learns all the same"
    answer(r, node_0=0, node_1=0)
    r.hear(2, PromisedView(0, bytes(16), 0))
    r.hear(0, r.view_change(0, 1))
    r.hear(1, r.view_change(1, 1))
    assert not r.said(ViewChange), "two answers do not show how far others were; one to another question is none"
    answer(r, node_2=0)
    r.order(6)
    assert not r.said(Prepare)
    r.hear(1, r.view_change(1, 1))
    assert r.said(ViewChange, view=1), "it may join the others now"
    changes = {n: r.view_change(n, 1, [r.proof(proposal), r.proof(r.pre_prepare(6))], r.stable(4)) for n in (0, 1, 2)}
    r.hear(1, r.new_view(1, changes))
    assert r.said(Prepare, view=1, epoch=5)


def test_liars_do_not_make_a_replica_wait_for_a_far_view():
    """N = 7, f = 2: one liar beside the one that recovers. What 2f+1 say holds until more is known."""
    r = recovering(6, 7)
    answer(r, node_0=10**9, node_1=3, node_2=3, node_3=2)
    assert r.protocol.status()["lowest_view"] is None
    answer(r, node_4=3)
    assert r.protocol.status()["lowest_view"] == 10**9 + 1
    answer(r, node_5=2, node_0=0)
    assert r.protocol.status()["lowest_view"] == 4, "the second highest of six: the first may be a lie"


def test_who_does_not_know_its_own_promise_tells_nobody():
    r = recovering()
    r.hear(0, AskView(0, b"n" * 16))
    assert not r.said(PromisedView)
    answer(r, node_0=0, node_1=0, node_2=0)
    r.hear(0, AskView(0, b"n" * 16))
    assert r.said(PromisedView) == [PromisedView(0, b"n" * 16, 1)]
    other = Replica(2)
    other.hear(0, other.view_change(0, 3))
    other.hear(1, other.view_change(1, 3))
    other.hear(3, AskView(0, b"m" * 16))
    assert other.sent[-1] == (3, PromisedView(0, b"m" * 16, 3))


def test_the_question_is_repeated_until_all_have_answered():
    r = recovering()
    answer(r, node_0=0, node_1=0)
    r.expire("promise")
    assert len(r.said(AskView)) == 2
    answer(r, node_2=0)
    r.expire("promise")
    assert len(r.said(AskView)) == 2 and "promise" not in r.timers


def test_a_primary_without_a_vote_lets_everybody_know_what_its_clients_wait_for():
    r = recovering(0)
    r.submit(b"mine")
    r.expire("request")
    assert r.said(Relay) == [relay([b"mine"])] and not r.said(PrePrepare)


def test_what_was_learnt_after_a_lost_journal_survives_a_restart_once_it_binds():
    journal = JournalModel()
    r = recovering(journal=journal)
    answer(r, node_0=0, node_1=0, node_2=0)
    again = recovering(journal=journal)
    assert again.said(AskView), "it has neither voted nor promised anything since"
    answer(again, node_0=0, node_1=0, node_2=0)
    again.hear(1, again.new_view(1, {n: again.view_change(n, 1, [], again.stable(4)) for n in (0, 1, 2)}))
    third = recovering(journal=journal)
    assert not third.said(AskView) and third.protocol.status()["lowest_view"] == 0


def test_a_view_change_after_a_lost_journal_proves_a_checkpoint_above_all_that_was_forgotten():
    """It may have sent COMMIT for numbers up to the bound, and has no certificates to show for them."""
    r = recovering(silent_through=6)
    answer(r, node_0=0, node_1=0, node_2=0)
    r.skip_to(9)
    for node in (0, 1):
        r.hear(node, r.view_change(node, 1))
    assert not r.said(ViewChange)
    for node in (0, 1, 2):
        r.hear(node, r.checkpoint(node, 8))
    r.hear(1, r.view_change(1, 1))
    assert [change.stable.number for change in r.said(ViewChange)] == [8]
