"""What implementations of HotStuff got wrong, one test each. The mistakes are in the names."""

import pytest
from msgspec.structs import replace
from support.hotstuff.bench import Bench

from honeybadger.protocols.batching.batch import decode_batch
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.hotstuff.certificates import block_digest
from honeybadger.protocols.hotstuff.messages import (
    BEGINNING,
    Ancestor,
    Certificates,
    Fetch,
    HotStuffFault,
    Proposal,
    Status,
    Timeout,
    Vote,
)


def voted(node):
    """The views of the votes since the last look."""
    return [message.vote.view for _, message in node.said(Vote)]


def test_three_blocks_in_consecutive_views_commit_the_first():
    node = Bench(me=0)
    one, two, three, four = node.chain(1, 2, 3, 5)
    node.propose(one, two, three)
    assert node.committed == []
    node.propose(four)
    assert node.committed == [(b"tx 1",)]


@pytest.mark.parametrize("views", [(1, 2, 5, 6), (1, 3, 5, 6), (1, 3, 4, 5)])
def test_blocks_of_other_views_commit_nothing(views):
    node = Bench(me=0)
    node.propose(*node.chain(*views))
    assert len(voted(node)) == 4
    assert node.committed == []


def test_two_chains_commit_after_two_blocks():
    node = Bench(me=0, chain="two")
    node.propose(*node.chain(1, 2))
    assert node.committed == []
    node.propose(*node.chain(1, 2, 3)[2:])
    assert node.committed == [(b"tx 1",)]
    node = Bench(me=0, chain="two")
    node.propose(*node.chain(1, 3, 5))
    assert node.committed == []


def test_no_vote_below_the_lock():
    """After its vote in view 3 the node is locked on the block of view 1; the rival extends the beginning."""
    node = Bench(me=0)
    node.propose(*node.chain(1, 2, 3))
    assert voted(node) == [1, 2, 3]
    node.propose(node.proposal(5, None, [b"rival"]))
    assert voted(node) == []
    # Of a certificate above the lock, that branch may go on.
    node = Bench(me=0)
    one, two, three = node.chain(1, 2, 3)
    node.propose(one, two, three)
    node.propose(node.proposal(5, one))
    assert voted(node) == [1, 2, 3, 5]


def test_two_chains_follow_the_time_out_certificate():
    """It says which QC N-f nodes knew: the block may not be on an older one."""
    for high, votes in ((0, [1, 2, 5]), (1, [1, 2])):
        node = Bench(me=0, chain="two")
        node.propose(*node.chain(1, 2))
        node.propose(node.proposal(5, None, timed_out=node.timed_out(4, high)))
        assert voted(node) == votes


def test_one_vote_in_a_view_even_after_a_crash():
    node = Bench(me=0)
    one = node.proposal(1, None, [b"one"])
    other = node.proposal(1, None, [b"other"])
    node.propose(one)
    assert voted(node) == [1]
    # Even if it has forgotten what it heard.
    node.protocol._heard.clear()
    node.propose(other)
    assert voted(node) == []
    node.restart()
    node.propose(other)
    assert voted(node) == []
    # Nor in one that it has given up.
    node = Bench(me=0)
    node.submit(b"mine")
    node.expire("view")
    node.propose(one)
    assert voted(node) == []
    node.restart()
    node.propose(one)
    assert voted(node) == []


def test_the_lock_survives_a_crash():
    node = Bench(me=0)
    node.propose(*node.chain(1, 2, 3))
    node.restart()
    node.propose(node.proposal(5, None, [b"rival"], timed_out=node.timed_out(4, 0)))
    assert voted(node) == []


def test_a_leader_does_not_propose_twice_in_a_view_after_a_crash():
    node = Bench(me=1)
    node.submit(b"first")
    assert len(node.said(Proposal)) == 1
    node.restart()
    node.submit(b"second")
    assert node.said(Proposal) == []


def test_what_all_voted_for_is_there_after_all_have_crashed():
    node = Bench(me=0)
    one, two = node.chain(1, 2)
    node.propose(one, two)
    node.restart()
    node.hear(1, Fetch(0, block_digest(one.block)))
    assert node.said(Ancestor) == [(1, Ancestor(0, one.block))]


def test_ancestors_come_before_a_vote():
    node = Bench(me=0)
    one, two, three, four = node.chain(1, 2, 3, 5)
    node.propose(four)
    assert voted(node) == []
    for block in (three.block, two.block, one.block):
        if block is three.block:
            node.expire("fetch")
        (to, asked) = node.said(Fetch)[-1]
        assert asked.block == block_digest(block)
        node.hear(to, Ancestor(0, block))
    assert voted(node) == [5]
    assert node.committed == [(b"tx 1",)]


def test_a_block_that_nobody_asked_for_is_not_taken():
    node = Bench(me=0)
    one, two = node.chain(1, 2)
    node.propose(two)
    another = node.proposal(1, None, [b"another"]).block
    node.hear(2, Ancestor(0, another), Fetch(0, block_digest(another)))
    assert voted(node) == [] and node.said(Ancestor) == []
    node.hear(2, Ancestor(0, one.block))
    assert voted(node) == [2]


def test_transactions_of_an_orphaned_block_wait_again():
    """The next leader extends an old certificate."""
    node = Bench(me=1)
    node.submit(b"mine")
    assert node.application.transactions_waiting == 0
    node.propose(*node.chain(2, 3, 4, 6, parent=None))
    assert node.committed == [(b"tx 2",)]
    assert node.application.transactions_waiting == 1
    node.propose(node.proposal(7, node.chain(2, 3, 4, 6)[-1]), node.proposal(8, node.chain(2, 3, 4, 6, 7)[-1]))
    for other in (0, 2, 3):
        node.hear(other, Vote(0, node.vote(other, node.chain(2, 3, 4, 6, 7, 8)[-1].block)))
    (_, proposal) = node.said(Proposal)[-1]
    assert decode_batch(proposal.block.batch, node.parameters, 4)[1] == [b"mine"]


def test_a_dead_leader_does_not_cost_the_block_before_it():
    """The votes for it come with the time-outs; node 3, the leader of view 3, forms its certificate from them."""
    node = Bench(me=3)
    one = node.proposal(1, None, [b"tx"])
    node.propose(one)
    for other in (0, 1):
        node.hear(other, node.timeout(other, 1, vote=node.vote(other, one.block)))
    # Two others have given up: so does this node. With its vote there is a QC, and view 2 begins.
    assert [message.view for _, message in node.said(Timeout)] == [1]
    assert node.protocol.status()["view"] == 2
    assert node.protocol.status()["high"] == {"view": 1, "height": 1}
    node.expire("view")
    high = node.quorum(one.block, [0, 1, 3])
    for other in (0, 1):
        node.hear(other, node.timeout(other, 2, high))
    (_, proposal) = node.said(Proposal)[-1]
    assert (proposal.block.view, proposal.justify.view, proposal.timed_out.view) == (3, 1, 2)


def test_one_liar_ends_no_view():
    node = Bench(me=0)
    one = node.proposal(1, None, [b"tx"])
    node.hear(2, node.timeout(2, 1))
    assert node.said(Timeout) == []
    node.propose(one)
    assert voted(node) == [1]


def test_patience_doubles_until_a_block_is_committed():
    node = Bench(me=0)
    node.submit(b"mine")
    assert node.timers["view"] == 1
    for view in (1, 2, 3):
        node.hear(1, Certificates(0, BEGINNING, node.timed_out(view)))
    assert node.timers["view"] == 8
    node.propose(*node.chain(5, 6, 7, 9))
    assert node.committed == [(b"tx 5",)]
    assert node.protocol.status()["patience_s"] == 1


def test_a_node_that_is_behind_is_told():
    node = Bench(me=0)
    one, two = node.chain(1, 2)
    node.propose(one, two)
    node.hear(3, node.timeout(3, 1), Status(0, 1, False))
    assert node.said(Certificates) == [(3, Certificates(0, two.justify, node.protocol._memory.timed_out))]


def test_a_certificate_counts_distinct_nodes_and_binds_its_view():
    one = Bench(me=0).chain(1)[0]
    for wrong in ([0, 1], [0, 1, 1], [1, 0, 2], [0, 1, 2, 3]):
        node = Bench(me=0)
        node.hear(3, Certificates(0, node.quorum(one.block, wrong), node.timed_out(1)))
        assert node.faults == [(3, HotStuffFault.INVALID_CERTIFICATE)]
        assert node.protocol.status()["view"] == 1
        node.hear(3, Certificates(0, BEGINNING, node.timed_out(1, nodes=wrong)))
        assert node.protocol.status()["view"] == 1
    node = Bench(me=0)
    good = node.quorum(one.block)
    forged = [replace(good, view=9), replace(good, height=9), replace(good, block=bytes(32))]
    node.hear(3, *(Certificates(0, bad, node.timed_out(1)) for bad in forged))
    assert len(node.faults) == 3
    node.hear(3, Certificates(0, BEGINNING, replace(node.timed_out(1), view=9)))
    assert node.protocol.status()["view"] == 1


def test_an_equivocating_leader_is_reported_and_gets_one_vote():
    node = Bench(me=0)
    node.propose(node.proposal(1, None, [b"one"]), node.proposal(1, None, [b"other"]))
    assert voted(node) == [1]
    assert node.faults == [(1, FaultKind.EQUIVOCATION)]


def test_a_double_vote_counts_once():
    node = Bench(me=2)
    one, other = (node.proposal(1, None, [tx]) for tx in (b"one", b"other"))
    node.propose(one)
    node.hear(3, Vote(0, node.vote(3, other.block)), Vote(0, node.vote(3, one.block)))
    assert node.faults == [(3, FaultKind.EQUIVOCATION)]
    node.hear(0, Vote(0, node.vote(3, one.block)))
    assert node.faults[1:] == [(0, HotStuffFault.BAD_SIGNATURE)]
    assert node.protocol.status()["view"] == 1
    node.hear(0, Vote(0, node.vote(0, one.block)))
    node.hear(1, Vote(0, node.vote(1, one.block)))
    assert node.protocol.status()["view"] == 2


def test_what_no_correct_leader_proposes_is_refused():
    good = Bench(me=0).chain(1, 2)[1]
    block = good.block
    for bad in (
        replace(good, epoch=9),
        replace(good, block=replace(block, height=3), epoch=3),
        replace(good, block=replace(block, parent=bytes(32))),
        replace(good, block=replace(block, parent_view=0)),
        replace(good, block=replace(block, batch=b"\xff")),
        replace(good, block=replace(block, view=6)),
    ):
        node = Bench(me=0)
        node.hear(2, bad)
        assert node.faults == [(2, HotStuffFault.BAD_PROPOSAL)]
        assert node.protocol.status()["view"] == 1
    node = Bench(me=0)
    node.hear(3, good)
    assert node.faults == [(3, HotStuffFault.NOT_THE_LEADER)]


def test_an_idle_cluster_falls_silent():
    node = Bench(me=2)
    one = node.chain(1)[0]
    assert "view" not in node.timers
    node.propose(one)
    for other in (0, 1):
        node.hear(other, Vote(0, node.vote(other, one.block)))
    # An empty block, since the one before it is not committed.
    assert [proposal.block.batch for _, proposal in node.said(Proposal)] == [b""]
    node = Bench(me=1)
    node.propose(*node.chain(2, 3, 4))
    for other in (0, 2, 3):
        node.hear(other, Vote(0, node.vote(other, node.chain(2, 3, 4)[-1].block)))
    assert node.committed == [(b"tx 2",)]
    assert node.said(Proposal) == []
    # The others hear why.
    assert [message.high.view for _, message in node.said(Certificates)] == [4]
    assert "view" not in node.timers


def test_a_node_with_transactions_gets_its_turn():
    node = Bench(me=0)
    node.submit(b"mine")
    assert node.said(Status)[-1] == (None, Status(0, 1, True))
    assert "view" in node.timers
    leader = Bench(me=1)
    leader.hear(0, Status(0, 1, True))
    assert [proposal.block.batch for _, proposal in leader.said(Proposal)] == [b""]


def test_a_node_without_its_journal_does_not_vote_until_it_is_safe():
    for chain, votes in (("three", [8]), ("two", [])):
        node = Bench(me=0, silent_through=2, chain=chain)
        node.submit(b"mine")
        proposals = node.chain(1, 2, 3, 5, 6, 7, 8)
        node.propose(*proposals[:6])
        assert voted(node) == [] and node.said(Timeout) == [] and "view" not in node.timers
        node.hear(1, node.timeout(1, 7, proposals[5].justify))
        node.hear(2, node.timeout(2, 7, proposals[5].justify))
        assert node.said(Timeout) == []
        # Views 5, 6 and 7 are consecutive: block 4 and all below it are committed.
        node.propose(proposals[6])
        assert voted(node) == votes
        node.journal.sync()
        node.restart(first_epoch=5)
        node.propose(*node.chain(1, 2, 3, 5, 6, 7, 8, 9)[4:])
        assert voted(node) == ([9] if votes else [])


def test_a_promise_outlives_what_the_journal_forgets():
    """A runtime forgets records up to what is settled, again and again."""
    node = Bench(me=0, epoch_window=1)
    proposals = node.chain(1, 2, 3)
    node.propose(*proposals)
    node.protocol.skip_to(60)
    node._loop()
    node.journal.prune(node.protocol.settled)
    node.restart(first_epoch=60)
    assert (node.protocol._memory.vote.view, node.protocol._memory.lock) == (3, 1)


def test_a_restarted_node_asks_again_where_the_others_are():
    """They may have told its earlier life a moment ago."""
    node = Bench(me=0)
    node.said(Status)
    node.expire("again")
    assert node.said(Status) == [(None, Status(0, 1, False))]
