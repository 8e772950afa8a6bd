"""What implementations of Raft got wrong, one test each. The mistakes are in the names."""

import pytest
from support.crash_faults.lone import Lone, batch

from honeybadger.protocols.raft import SPECIFICATION
from honeybadger.protocols.raft.messages import RequestVote, Vote
from honeybadger.protocols.replicated_log.messages import (
    Accepted,
    Append,
    Commit,
    Forward,
    Heartbeat,
    LogFault,
    Rejected,
)


def follower(**how):
    return Lone(SPECIFICATION, **how)


def elected(me=1, nodes=3, **how):
    """A node that leads."""
    node = Lone(SPECIFICATION, me=me, nodes=nodes, **how)
    stand(node)
    return node


def stand(node):
    """Let it win an election with the vote of one other node, or of as many as it takes."""
    others = [other for other in range(node.nodes) if other != node.me][: node.quorums.quorum - 1]
    node.expire("election")
    term = node.protocol.status()["term"]
    for other in others:
        node.hear(other, Vote(0, term + 1, True, True))
    for other in others:
        node.hear(other, Vote(0, term + 1, True, False))
    assert node.protocol.status()["role"] == "leader"


def append(number, term, *, previous=None, entry=None, committed=0, tx=None):
    entry = term if entry is None else entry
    previous = (entry if number > 1 else 0) if previous is None else previous
    content = batch(tx or b"entry %d of %d" % (number, entry))
    return Append(number, term, previous, entry, committed, content)


def terms(node):
    log = node.protocol._log
    return [log.term_at(number) for number in range(log.base + 1, log.last + 1)]


def test_an_old_entry_at_a_majority_is_not_committed():
    """Figure 8: an entry of term 1 is at a majority under the leader of term 3, and another leader could replace it."""
    node = follower(nodes=5)
    node.hear(0, append(1, 1))
    node.hear(0, Heartbeat(0, 1, 1, 1, 0))
    node.expire("lease")
    node.hear(2, RequestVote(0, 2, 1, 1, False))
    stand(node)
    assert terms(node) == [1, 3]
    for other in (0, 2):
        node.hear(other, Accepted(0, 3, 1))
    assert node.committed == []
    for other in (0, 2):
        node.hear(other, Accepted(0, 3, 2))
    assert len(node.committed) == 2


def test_one_vote_in_a_term_even_after_a_crash():
    node = follower()
    node.hear(0, RequestVote(0, 5, 0, 0, False))
    assert node.said(Vote) == [(0, Vote(0, 5, True, False))]
    node.restart()
    node.hear(2, RequestVote(0, 5, 0, 0, False))
    assert node.said(Vote) == [(2, Vote(0, 5, False, False))]
    node.hear(0, RequestVote(0, 5, 0, 0, False))
    assert node.said(Vote) == [(0, Vote(0, 5, True, False))]


def test_a_candidate_votes_for_itself():
    node = follower()
    node.expire("election")
    node.hear(0, Vote(0, 1, True, True))
    node.hear(2, RequestVote(0, 1, 0, 0, False))
    assert node.said(Vote) == [(2, Vote(0, 1, False, False))]
    node.restart()
    node.hear(2, RequestVote(0, 1, 0, 0, False))
    assert node.said(Vote) == [(2, Vote(0, 1, False, False))]


@pytest.mark.parametrize(("last", "last_term", "granted"), [(1, 2, False), (3, 1, False), (2, 2, True), (1, 3, True)])
def test_no_vote_for_a_log_that_lacks_entries(last, last_term, granted):
    node = follower()
    node.hear(0, append(1, 1), append(2, 2, previous=1))
    node.expire("lease")
    for pre in (True, False):
        node.hear(2, RequestVote(0, 4, last, last_term, pre))
        assert [vote.granted for _, vote in node.said(Vote)] == [granted]


def test_a_vote_asked_for_beforehand_changes_nothing():
    node = follower()
    node.hear(0, RequestVote(0, 9, 0, 0, True))
    assert node.said(Vote) == [(0, Vote(0, 9, True, True))]
    assert node.protocol.status()["term"] == 0
    node.hear(2, RequestVote(0, 9, 0, 0, True))
    assert node.said(Vote) == [(2, Vote(0, 9, True, True))]


def test_who_hears_a_leader_disturbs_it_for_nobody():
    """A node that was cut off comes back with a high term."""
    node = follower()
    node.hear(0, append(1, 1))
    for pre in (True, False):
        node.hear(2, RequestVote(0, 7, 9, 6, pre))
        assert node.said(Vote) == [(2, Vote(0, 1, False, pre))]
    assert node.protocol.status() | {"term": 1, "leader": 0} == node.protocol.status()


def test_a_node_that_is_cut_off_does_not_raise_its_term():
    node = follower()
    for _ in range(5):
        node.expire("election")
    assert node.protocol.status()["term"] == 0


def test_a_leader_that_hears_no_majority_steps_down():
    node = elected(nodes=5)
    node.hear(0, Accepted(0, 1, 1))
    node.hear(2, Accepted(0, 1, 1))
    node.expire("quorum")
    assert node.protocol.status()["role"] == "leader"
    node.hear(0, Accepted(0, 1, 1))
    node.expire("quorum")
    assert node.protocol.status()["role"] == "follower"


def test_what_was_accepted_is_there_after_a_crash():
    node = follower()
    node.hear(0, append(1, 1), append(2, 1))
    node.restart()
    assert terms(node) == [1, 1]


def test_what_a_later_leader_cut_off_stays_off_after_a_crash():
    node = follower()
    node.hear(0, append(1, 1), append(2, 1), append(3, 1))
    node.hear(2, append(2, 2, previous=1))
    assert terms(node) == [1, 2]
    node.restart()
    assert terms(node) == [1, 2]


def test_a_late_copy_cuts_nothing_off():
    node = follower()
    first, second, third = append(1, 1), append(2, 1), append(3, 1)
    node.hear(0, first, second, third, second)
    assert terms(node) == [1, 1, 1]
    assert node.said(Accepted)[-1][1].number == 3


def test_an_entry_after_another_one_is_refused():
    node = follower()
    node.hear(0, append(1, 1), append(2, 1), append(3, 1))
    node.said(Accepted)
    node.hear(2, append(4, 3, previous=2, entry=3))
    assert node.said(Rejected) == [(2, Rejected(0, 3, 0))]
    assert not node.said(Accepted)


def test_only_what_the_leader_has_is_committed():
    """The leader of term 2 has committed 2 entries, of which this node has other ones."""
    node = follower()
    node.hear(0, append(1, 1), append(2, 1))
    node.hear(2, Heartbeat(0, 2, 3, 2, 2), Commit(0, 2, 2))
    assert node.committed == []
    node.hear(2, append(1, 2, entry=1), append(2, 2, previous=1, entry=2), append(3, 2, entry=2, committed=2))
    assert node.committed == [(b"entry 1 of 1",), (b"entry 2 of 2",)]


def test_a_leader_of_the_past_is_told():
    node = follower()
    node.hear(0, append(1, 3))
    node.said(Accepted)
    node.hear(2, append(1, 2), Heartbeat(0, 2, 0, 0, 0))
    assert {message for _, message in node.said(Rejected)} == {Rejected(0, 3, 0)}
    assert not node.said(Accepted)
    old = elected()
    old.hear(0, Rejected(0, 3, 0))
    assert old.protocol.status() | {"role": "follower", "term": 3} == old.protocol.status()


def test_a_follower_that_lacks_entries_gets_them_once():
    node = elected()
    node.submit(b"a")
    node.hear(0, Accepted(0, 1, 1))
    node.submit(b"b")
    node.said(Append)
    node.hear(2, Rejected(0, 1, 0), Rejected(0, 1, 0))
    assert [(to, message.epoch) for to, message in node.said(Append)] == [(2, 1), (2, 2)]
    node.expire("heartbeat")
    node.hear(2, Rejected(0, 1, 1))
    assert [(to, message.epoch) for to, message in node.said(Append)] == [(2, 2)]


def test_blocks_of_other_ledgers_are_not_shown_as_own_entries():
    """What stood at their numbers may be something else; what comes after them was promised."""
    node = follower()
    node.hear(0, append(1, 1), append(2, 1), append(3, 1))
    node.protocol.skip_to(3)
    for _ in range(2):
        assert (node.protocol._log.last, node.protocol._log.term_at(3)) == (3, 1)
        assert [node.protocol._log.entry(number) for number in (1, 2)] == [None, None]
        node.journal.sync()
        node.restart(first_epoch=3)


def test_a_node_without_its_journal_never_votes_and_says_nothing_of_what_it_may_have_lost():
    node = follower(silent_through=2)
    node.expire("election")
    assert not node.said(RequestVote)
    for pre in (True, False):
        node.hear(2, RequestVote(0, 4, 9, 3, pre))
        assert [vote.granted for _, vote in node.said(Vote)] == [False]
    node.hear(0, append(1, 5), append(2, 5), append(3, 5, committed=2))
    assert node.said(Accepted) == [(0, Accepted(0, 5, 3))]
    assert len(node.committed) == 2


def test_two_leaders_of_a_term_are_reported():
    node = follower()
    node.hear(0, append(1, 1))
    node.hear(2, append(1, 1))
    assert node.faults == [(2, LogFault.TWO_LEADERS)]


def test_what_no_correct_node_sends_is_refused():
    node = elected()
    node.hear(0, Forward(0, 1, b"\xff"), Accepted(0, 1, 99), Rejected(0, 1, 99))
    assert node.faults == [(0, LogFault.BAD_REQUEST)]
    assert node.committed == []
    node = follower()
    node.hear(0, Append(1, 1, 0, 1, 0, b"\xff\xff"), append(50, 1))
    assert [kind.name for _, kind in node.faults] == ["BAD_BATCH", "FUTURE_EPOCH"]
    assert terms(node) == []


def test_waits_differ_and_a_seed_repeats_them():
    waits = set()
    for seed in range(20):
        node = follower(seed=seed)
        node.expire("election")
        assert 1 <= node.timers["election"] < 2
        waits.add(node.timers["election"])
        assert follower(seed=seed).timers == follower(seed=seed).timers
    assert len(waits) == 20


def test_clients_of_all_nodes_are_served():
    node = elected()
    node.hear(0, Forward(0, 1, batch(b"theirs")[4:]))
    node.hear(0, Accepted(0, 1, 1))
    node.submit(b"mine")
    node.hear(0, Accepted(0, 1, 2), Accepted(0, 1, 3))
    assert node.committed == [(), (b"theirs",), (b"mine",)]


def test_a_follower_asks_the_leader_to_order_what_it_was_given():
    node = follower()
    node.submit(b"mine")
    assert not node.said(Forward)
    node.hear(0, Heartbeat(0, 1, 0, 0, 0))
    assert node.said(Forward) == [(0, Forward(0, 1, batch(b"mine")[4:]))]
    node.hear(2, Heartbeat(0, 2, 0, 0, 0))
    assert node.said(Forward) == [(2, Forward(0, 2, batch(b"mine")[4:]))]


def test_a_promise_outlives_what_the_journal_forgets():
    """A runtime forgets records up to what is settled, again and again."""
    node = follower(epoch_window=4)
    node.hear(0, append(1, 7))
    for number in range(2, 60):
        node.hear(0, append(number, 7, committed=number - 1))
        node.journal.prune(node.protocol.settled)
    node.restart(first_epoch=number)
    assert node.protocol.status()["term"] == 7
    # The newest committed entry is still there: the next one comes after one of its term.
    assert node.protocol._log.term_at(number - 1) == 7


def test_what_fills_the_window_leaves_room_for_the_entry_that_commits_it():
    """A leader may commit entries of earlier terms only with one of its own, and that comes after all of them."""
    node = follower(epoch_window=2)
    node.hear(0, append(1, 1), append(2, 1))
    node.hear(2, append(3, 2, previous=1, entry=2))
    assert terms(node) == [1, 1, 2]
    node.hear(0, append(4, 3, previous=2, entry=3))
    assert terms(node) == [1, 1, 2, 3] and not node.faults


def test_who_has_forwarded_enough_goes_on_when_that_is_committed():
    node = follower()
    node.hear(0, Heartbeat(0, 1, 0, 0, 0))
    first = [b"a" * 40_000, b"b" * 40_000]
    node.submit(*first)
    assert len(node.said(Forward)) == 1
    node.submit(b"later")
    assert not node.said(Forward)
    node.hear(0, Append(1, 1, 0, 1, 0, batch(*first)), Commit(0, 1, 1))
    node.poke()
    assert node.said(Forward) == [(0, Forward(0, 1, batch(b"later")[4:]))]


def test_who_adopted_a_block_still_votes_for_no_log_that_may_lack_it():
    """It had the entry of term 5 on disk, and perhaps it is the one that made a majority."""
    node = follower()
    node.hear(0, append(1, 1), append(2, 5, previous=1))
    node.protocol.skip_to(3)
    for _ in range(2):
        if "lease" in node.timers:
            node.expire("lease")
        for pre in (True, False):
            node.hear(2, RequestVote(0, 6, 2, 1, pre))
            assert [vote.granted for _, vote in node.said(Vote)] == [False]
        node.journal.sync()
        node.restart(first_epoch=3)
    node.hear(2, RequestVote(0, 7, 2, 5, False))
    assert [vote.granted for _, vote in node.said(Vote)] == [True]


def test_a_leader_does_not_show_the_term_of_what_a_block_replaced():
    """A follower may have an entry of that term at the same number, and it may be another one than the block."""
    node = follower()
    node.hear(0, append(1, 1), append(2, 5, previous=1))
    node.protocol.skip_to(3)
    node.journal.sync()
    node.restart(first_epoch=3)
    stand(node)
    ((_, appended),) = node.said(Append)
    assert (appended.epoch, appended.previous_term) == (3, 0)
    assert node.protocol._log.promised_term == 6
