"""What implementations of Zab get wrong, one test each. The mistakes are in the names."""

import pytest
from support.crash_faults.lone import Lone, batch

from honeybadger.protocols.replicated_log.messages import (
    Accepted,
    Append,
    Commit,
    Forward,
    Heartbeat,
    LogFault,
    Rejected,
)
from honeybadger.protocols.zab import SPECIFICATION
from honeybadger.protocols.zab.messages import AckEpoch, FollowerInfo, Look, NewEpoch


def node_of(me=0, nodes=3, **how):
    return Lone(SPECIFICATION, me=me, nodes=nodes, **how)


def append(number, epoch, *, previous=None, entry=None, committed=0):
    entry = epoch if entry is None else entry
    previous = (entry if number > 1 else 0) if previous is None else previous
    return Append(number, epoch, previous, entry, committed, batch(b"entry %d of %d" % (number, entry)))


def terms(node):
    log = node.protocol._log
    return [log.term_at(number) for number in range(log.base + 1, log.last + 1)]


def state(node):
    status = node.protocol.status()
    return status["phase"], status["accepted_epoch"], status["current_epoch"]


def others(node):
    """As many as make a majority with it."""
    return [other for other in range(node.nodes) if other != node.me][: node.quorums.quorum - 1]


def last_look(node):
    return node.said(Look)[-1][1]


def elect(node, *accepted):
    """All others vote for it and want to follow it."""
    vote = last_look(node)
    for other in others(node):
        node.hear(other, vote)
    for other, epoch in zip(others(node), accepted or [0] * node.nodes, strict=False):
        node.hear(other, FollowerInfo(0, epoch))


def leading(me=2, nodes=3, **how):
    """A leader of epoch 1, established."""
    node = node_of(me, nodes, **how)
    elect(node)
    for other in others(node):
        node.hear(other, AckEpoch(0, 1, 0, 0, 0, 0))
    for other in others(node):
        node.hear(other, Accepted(0, 1, 0))
    assert state(node) == ("broadcast", 1, 1)
    node.sent.clear()
    return node


def following(leader=2, epoch=1, me=0, nodes=3, **how):
    """A follower in an epoch that has begun."""
    node = node_of(me, nodes, **how)
    node.hear(leader, Heartbeat(0, epoch, 0, 0, 0))
    assert state(node) == ("broadcast", epoch, epoch)
    node.sent.clear()
    return node


# -- election


def test_the_newest_history_is_voted_for():
    """The later current epoch, then the higher zxid, then the higher index."""
    node = following(me=1, nodes=5)
    node.hear(2, append(1, 1), append(2, 1))
    node.expire("leader")
    own = last_look(node)
    assert own == Look(0, own.round, 1, 1, 2, 1)
    for worse in (Look(0, own.round, 1, 1, 1, 4), Look(0, own.round, 0, 0, 9, 4), Look(0, own.round, 1, 1, 2, 0)):
        node.hear(0, worse)
        assert not node.said(Look)
    for better in ((1, 1, 2, 3), (1, 1, 3, 0), (2, 2, 1, 0)):
        node.hear(0, Look(0, own.round, *better))
        assert node.said(Look) == [(None, Look(0, own.round, *better))]


def test_a_vote_of_an_earlier_round_does_not_count():
    """Its candidate may be gone, and would be elected for ever."""
    node = node_of()
    ghost = Look(0, last_look(node).round, 9, 9, 9, 2)
    node.expire("leader")
    own = last_look(node)
    node.hear(1, ghost)
    assert node.said(Look) == [(1, own)], "the sender learns of the round"
    node.hear(1, Look(0, 7, 0, 0, 0, 1))
    assert [look.round for _, look in node.said(Look)][-1] == 7


def test_a_majority_elects():
    node = node_of(nodes=5)
    vote = Look(0, 1, 1, 1, 1, 4)
    node.hear(4, vote)
    assert not node.said(FollowerInfo)
    node.hear(3, Look(0, 1, 0, 0, 0, 3))
    assert not node.said(FollowerInfo)
    node.hear(1, vote)
    assert node.said(FollowerInfo) == [(4, FollowerInfo(0, 0))]


# -- discovery


def test_a_new_epoch_is_greater_than_any_that_a_majority_has_accepted():
    node = node_of(me=4, nodes=5)
    vote = last_look(node)
    node.hear(0, vote)
    node.hear(1, vote)
    node.hear(0, FollowerInfo(0, 3))
    assert not node.said(NewEpoch), "not a majority"
    node.hear(1, FollowerInfo(0, 7))
    assert node.said(NewEpoch) == [(0, NewEpoch(0, 8)), (1, NewEpoch(0, 8))]
    node.restart()
    assert state(node)[1] == 8, "and it never proposes the same one again"


def choosing(me=0, leader=2, **how):
    node = node_of(me, **how)
    node.hear(leader, Look(0, 1, 9, 9, 9, leader))
    assert node.said(FollowerInfo)
    return node


def test_an_epoch_is_accepted_from_one_node_only_even_after_a_crash():
    node = choosing()
    node.hear(2, NewEpoch(0, 3))
    assert node.said(AckEpoch) == [(2, AckEpoch(0, 3, 0, 0, 0, 0))]
    node.restart()
    node.hear(1, Look(0, 2, 9, 9, 9, 1))
    assert node.said(FollowerInfo) == [(1, FollowerInfo(0, 3))]
    node.hear(1, NewEpoch(0, 3), NewEpoch(0, 2))
    assert not node.said(AckEpoch)
    node.hear(1, NewEpoch(0, 4))
    assert node.said(AckEpoch) == [(1, AckEpoch(0, 4, 0, 0, 0, 0))]


def test_who_accepted_an_epoch_hears_no_leader_of_an_earlier_one():
    """And tells it, so that it does not lead any more; after a crash too."""
    node = following()
    node.hear(2, append(1, 1))
    node.expire("leader")
    node.hear(1, Look(0, 9, 9, 9, 9, 1), NewEpoch(0, 2))
    for _ in range(2):
        node.sent.clear()
        node.hear(2, append(2, 1), Heartbeat(0, 1, 1, 1, 1), Commit(0, 1, 1))
        assert (terms(node), node.committed, node.said(Accepted)) == ([1], [], [])
        assert node.said(FollowerInfo) == [(2, FollowerInfo(0, 2))]
        node.restart()
    old = leading()
    old.hear(0, FollowerInfo(0, 1))
    assert state(old)[0] == "broadcast"
    old.hear(0, FollowerInfo(0, 2))
    assert state(old)[0] == "election"


@pytest.mark.parametrize(
    ("histories", "chosen"),
    [
        ([(1, 3, 1), (2, 1, 2)], 1),  # the later current epoch, though shorter
        ([(2, 2, 2), (2, 3, 2)], 1),  # of one epoch the longer
        ([(1, 1, 1), (1, 2, 1)], None),  # the own one
    ],
)
def test_the_newest_history_of_a_majority_is_taken(histories, chosen):
    node = following(leader=3, me=4, nodes=5)
    node.hear(3, append(1, 1), append(2, 1), append(3, 1))
    node.expire("leader")
    elect(node, 1, 1)
    for sender, (current, last, last_term) in zip((0, 1), histories, strict=True):
        assert not node.said(Rejected) and not node.said(Heartbeat)
        node.hear(sender, AckEpoch(0, 2, current, last_term, last, 0))
    assert [recipient for recipient, _ in node.said(Rejected)] == ([] if chosen is None else [chosen])
    assert state(node)[2] == (2 if chosen is None else 1)


# -- synchronisation


def test_an_epoch_does_not_begin_before_its_history_is_there():
    node = node_of(me=2)
    elect(node)
    node.hear(0, AckEpoch(0, 1, 0, 0, 2, 0))
    assert not node.said(Heartbeat)
    node.hear(0, append(1, 1, entry=0), append(2, 1, entry=0))
    assert state(node) == ("synchronisation", 1, 1)
    assert [message.last for _, message in node.said(Heartbeat)] == [2]


def test_a_history_is_shown_to_the_leader_that_was_accepted_and_to_nobody_else():
    node = following()
    node.hear(2, append(1, 1))
    node.expire("leader")
    node.hear(1, Look(0, 9, 9, 9, 9, 1), NewEpoch(0, 2))
    node.hear(2, Rejected(0, 2, 0))
    assert not node.said(Append)
    node.hear(1, Rejected(0, 2, 0))
    assert [(to, message.epoch, message.term, message.entry_term) for to, message in node.said(Append)] == [
        (1, 1, 2, 1)
    ]


def test_nothing_is_proposed_before_a_majority_has_the_history():
    node = node_of(me=4, nodes=5)
    node.submit(b"a")
    elect(node)
    for other in (0, 1):
        node.hear(other, AckEpoch(0, 1, 0, 0, 0, 0))
    node.hear(0, Accepted(0, 1, 0))
    node.hear(0, Accepted(0, 1, 0))
    node.hear(1, Rejected(0, 1, 0))
    assert terms(node) == []
    node.hear(1, Accepted(0, 1, 0))
    assert terms(node) == [1]


def test_what_an_old_leader_proposed_to_a_minority_is_cut_off():
    """TRUNC, also of the old leader itself, and for good."""
    node = leading()
    node.submit(b"never")
    assert terms(node) == [1]
    node.hear(0, Heartbeat(0, 2, 0, 0, 0))
    assert node.said(Accepted) == [(0, Accepted(0, 2, 0))]
    for _ in range(2):
        assert (terms(node), state(node)[1:]) == ([], (2, 2))
        node.restart()
    node.hear(0, Heartbeat(0, 2, 0, 0, 0), append(1, 2))
    assert terms(node) == [2]
    node.restart()
    assert terms(node) == [2]


def test_a_prefix_of_what_an_old_leader_proposed_may_stay_and_comes_first():
    """Primary order: nothing of it after something of the new one."""
    node = following(me=1)
    node.hear(2, append(1, 1), append(2, 1), append(3, 1))
    node.hear(0, Heartbeat(0, 2, 2, 1, 0), append(3, 2, previous=1))
    assert terms(node) == [1, 1, 2]
    node.hear(0, Commit(0, 2, 3))
    assert node.committed == [(b"entry 1 of 1",), (b"entry 2 of 1",), (b"entry 3 of 2",)]


def test_who_has_a_part_of_a_history_does_not_count():
    """Neither for the leader nor, as one of the new epoch, in the choice of the next history."""
    node = following(nodes=5)
    node.hear(2, append(1, 1))
    node.sent.clear()
    node.hear(3, Heartbeat(0, 2, 3, 2, 0), append(2, 2, previous=1))
    assert not node.said(Accepted)
    assert state(node) == ("synchronisation", 2, 1)
    node.restart()
    assert (terms(node), state(node)[1:]) == ([1, 2], (2, 1))
    node.hear(3, Heartbeat(0, 2, 3, 2, 0), append(3, 2))
    assert node.said(Accepted)[-1] == (3, Accepted(0, 2, 3))


def test_who_had_the_whole_history_keeps_what_came_after_it():
    """A late heartbeat names less than this node has accepted since."""
    node = following()
    node.hear(2, append(1, 1), append(2, 1))
    for _ in range(2):
        node.hear(2, Heartbeat(0, 1, 1, 1, 0))
        assert terms(node) == [1, 1]
        node.restart()


def test_a_late_node_joins_an_epoch_that_goes_on():
    node = node_of()
    node.hear(2, Heartbeat(0, 4, 1, 4, 1))
    assert node.said(Rejected) == [(2, Rejected(0, 4, 0))]
    node.hear(2, append(1, 4, committed=1))
    assert (state(node), node.committed) == (("broadcast", 4, 4), [(b"entry 1 of 4",)])


# -- broadcast


def test_a_majority_commits():
    node = leading(me=4, nodes=5)
    node.submit(b"a")
    node.hear(0, Accepted(0, 1, 1), Accepted(0, 1, 1))
    assert node.committed == []
    node.hear(1, Accepted(0, 1, 1))
    assert node.committed == [(b"a",)]


def test_a_leader_that_was_started_again_begins_another_epoch():
    node = leading()
    node.submit(b"a")
    node.restart()
    assert state(node) == ("election", 1, 1)
    elect(node, 1)
    assert state(node)[1] == 2


def test_a_leader_that_hears_no_majority_looks_for_one():
    node = leading(me=4, nodes=5)
    node.expire("leader")
    assert state(node)[0] == "broadcast"
    node.hear(0, Accepted(0, 1, 0))
    node.expire("leader")
    assert state(node)[0] == "election"


def test_followers_of_a_leader_that_looks_for_one_look_too():
    node = following()
    node.hear(2, Look(0, 1, 1, 0, 0, 2))
    assert state(node)[0] == "election"
    node = following()
    node.hear(1, Look(0, 9, 9, 9, 9, 1))
    assert state(node)[0] == "broadcast", "but nobody else disturbs them"


def test_a_node_without_its_journal_elects_nobody_and_says_nothing_of_what_it_may_have_lost():
    node = node_of(silent_through=2)
    node.expire("leader")
    node.hear(2, Look(0, 5, 9, 9, 9, 2), NewEpoch(0, 5))
    assert not node.sent
    node.hear(2, Heartbeat(0, 5, 2, 5, 2), append(1, 5), append(2, 5), append(3, 5, committed=2))
    assert node.said(Accepted) == [(2, Accepted(0, 5, 3))]
    assert len(node.committed) == 2


def test_two_leaders_of_an_epoch_are_reported():
    node = following()
    node.hear(1, Heartbeat(0, 1, 0, 0, 0))
    assert node.faults == [(1, LogFault.TWO_LEADERS)]


def test_what_no_correct_node_sends_is_refused():
    node = leading()
    node.hear(0, Forward(0, 1, b"\xff"), Accepted(0, 1, 99), Rejected(0, 1, 99), AckEpoch(0, 1, 9, 9, 9, 9))
    node.hear(0, NewEpoch(0, 1), Look(0, 1, 9, 9, 9, 60_000))
    assert node.faults == [(0, LogFault.BAD_REQUEST)]
    assert state(node) == ("broadcast", 1, 1) and node.committed == []
    node = following()
    node.hear(2, Append(1, 1, 0, 1, 0, b"\xff\xff"), append(50, 1))
    assert [kind.name for _, kind in node.faults] == ["BAD_BATCH", "FUTURE_EPOCH"]
    assert terms(node) == []
