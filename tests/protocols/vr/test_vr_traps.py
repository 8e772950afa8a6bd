"""What implementations of Viewstamped Replication get wrong, one test each. The mistakes are in the names."""

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
from honeybadger.protocols.vr import SPECIFICATION
from honeybadger.protocols.vr.messages import DoViewChange, Recovery, RecoveryResponse, StartViewChange


def backup(me=0, **how):
    """Of view 1, whose primary is node 1."""
    return Lone(SPECIFICATION, me=me, **how)


def append(number, view, *, previous=None, entry=None, committed=0):
    entry = view if entry is None else entry
    previous = (entry if number > 1 else 0) if previous is None else previous
    return Append(number, view, previous, entry, committed, batch(b"entry %d of %d" % (number, entry)))


def terms(node):
    log = node.protocol._log
    return [log.term_at(number) for number in range(log.base + 1, log.last + 1)]


def state(node):
    status = node.protocol.status()
    return status["status"], status["view"], status["normal_view"]


def offer(view, normal, last, last_term, committed=0):
    return DoViewChange(0, view, normal, last, last_term, committed)


def test_the_first_view_begins_by_itself_and_a_majority_commits():
    primary = Lone(SPECIFICATION, me=1, nodes=5)
    primary.submit(b"a")
    primary.hear(0, Accepted(0, 1, 1))
    assert primary.committed == []
    primary.hear(0, Accepted(0, 1, 1))
    assert primary.committed == [], "one node counts once"
    primary.hear(2, Accepted(0, 1, 1))
    assert primary.committed == [(b"a",)]
    assert [message.number for _, message in primary.said(Commit)] == [1]


def test_a_log_is_not_offered_before_a_majority_has_left_the_old_view():
    """Else a node that lost its journal could forget that it offered its log, and nobody would know."""
    node = Lone(SPECIFICATION, me=0, nodes=5)
    node.hear(4, StartViewChange(0, 2))
    assert state(node) == ("view_change", 2, 1)
    assert [message.view for _, message in node.said(StartViewChange)] == [2]
    node.hear(4, StartViewChange(0, 2))
    assert not node.said(DoViewChange)
    node.hear(3, StartViewChange(0, 2))
    assert node.said(DoViewChange) == [(2, offer(2, 1, 0, 0))]


def test_who_has_left_a_view_accepts_nothing_more_in_it_even_after_a_crash():
    node = backup()
    node.hear(1, append(1, 1))
    node.expire("view")
    node.said(Accepted)
    for _ in range(2):
        node.hear(1, append(2, 1), Heartbeat(0, 1, 2, 1, 2), Commit(0, 1, 1))
        assert (terms(node), node.committed, node.said(Accepted)) == ([1], [], [])
        node.restart()
        assert state(node) == ("view_change", 2, 1)


def test_a_primary_of_the_past_leads_nobody():
    """It still believes in itself, and hears of the next view only from its primary."""
    old = Lone(SPECIFICATION, me=1)
    old.submit(b"never")
    old.hear(0, Accepted(0, 2, 1))
    assert old.committed == []
    old.hear(2, Heartbeat(0, 2, 0, 0, 0))
    assert state(old) == ("normal", 2, 2)
    assert terms(old) == [], "what a minority has seen is cut off"
    assert old.said(Accepted) == [(2, Accepted(0, 2, 0))]
    old.restart()
    assert terms(old) == [], "for good"


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([(1, 3, 1), (2, 1, 2)], 1),  # the later view, though shorter
        ([(2, 2, 2), (2, 3, 2)], 1),  # of one view the longer
        ([(1, 1, 1), (1, 2, 1)], None),  # the own one
    ],
)
def test_the_log_of_the_last_normal_view_is_chosen_and_of_these_the_longest(others, chosen):
    node = Lone(SPECIFICATION, me=4, nodes=5)
    node.hear(1, append(1, 1), append(2, 1), append(3, 1))
    node.expire("view")
    node.expire("view")  # no majority: it does not run ahead
    assert state(node)[1] == 2
    node.hear(0, StartViewChange(0, 4))
    for sender, (normal, last, last_term) in zip((0, 2), others, strict=True):
        assert not node.said(Rejected)
        node.hear(sender, offer(4, normal, last, last_term))
    asked = [recipient for recipient, _ in node.said(Rejected)]
    assert asked == ([] if chosen is None else [(0, 2)[chosen]])
    assert state(node)[0] == ("normal" if chosen is None else "view_change")


def new_primary():
    """Node 2 has chosen the log of node 1 for view 2: two entries of which it lacks the second."""
    node = Lone(SPECIFICATION, me=2)
    node.hear(1, append(1, 1))
    node.expire("view")
    node.hear(1, StartViewChange(0, 2), offer(2, 1, 2, 1))
    assert node.said(Rejected) == [(1, Rejected(0, 2, 0))]
    return node


def test_a_view_does_not_begin_before_its_log_is_there():
    node = new_primary()
    assert not node.said(Heartbeat)
    node.hear(1, append(1, 2, entry=1))
    assert state(node) == ("view_change", 2, 1)
    node.hear(1, append(2, 2, entry=1))
    assert state(node) == ("normal", 2, 2)
    assert node.said(Heartbeat) == [(None, Heartbeat(0, 2, 2, 1, 0))]
    node.hear(0, Accepted(0, 2, 2))
    assert len(node.committed) == 2, "entries of earlier views count in this one"


def test_a_primary_that_forgot_which_log_it_chose_begins_another_view():
    """Else it could choose another one, and the same entry of the same view would be two."""
    node = new_primary()
    node.restart()
    assert state(node) == ("view_change", 3, 1)


def test_a_primary_that_forgot_what_others_want_begins_another_view():
    node = Lone(SPECIFICATION, me=1)
    node.submit(b"a")
    node.restart()
    assert state(node) == ("view_change", 2, 1)
    assert terms(node) == [1]


def test_who_has_a_part_of_the_log_of_a_view_does_not_count_in_it():
    """Neither for the primary nor in the choice of the next log, where a part of a newer log would win over the whole
    of an older one."""
    node = backup(nodes=5)
    node.hear(1, append(1, 1))
    node.said(Accepted)
    node.hear(2, Heartbeat(0, 2, 3, 2, 0))
    assert node.said(Rejected) == [(2, Rejected(0, 2, 0))]
    node.hear(2, append(1, 2, entry=1), append(2, 2, previous=1, entry=2))
    assert not node.said(Accepted)
    node.restart()
    node.hear(3, StartViewChange(0, 3))
    node.hear(4, StartViewChange(0, 3))
    assert node.said(DoViewChange) == [(3, offer(3, 1, 2, 2))]
    node = backup(nodes=5)
    node.hear(2, Heartbeat(0, 2, 2, 1, 0), append(1, 2, entry=1), append(2, 2, entry=1))
    assert node.said(Accepted)[-1] == (2, Accepted(0, 2, 2))
    assert state(node) == ("normal", 2, 2)


def test_what_is_not_in_the_log_of_a_view_goes_before_its_node_counts():
    node = backup()
    node.hear(1, append(1, 1), append(2, 1), append(3, 1))
    node.hear(2, Heartbeat(0, 2, 1, 1, 0))
    for _ in range(2):
        assert (terms(node), state(node)) == ([1], ("normal", 2, 2))
        node.restart()
    node.hear(2, append(2, 2, previous=1))
    assert terms(node) == [1, 2]
    node.restart()
    assert terms(node) == [1, 2]


def test_a_late_heartbeat_cuts_nothing_off():
    node = backup()
    node.hear(2, Heartbeat(0, 2, 0, 0, 0), append(1, 2, previous=0), append(2, 2))
    node.hear(2, Heartbeat(0, 2, 0, 0, 0))
    assert terms(node) == [2, 2]
    node.restart()
    node.hear(2, Heartbeat(0, 2, 1, 2, 0))
    assert terms(node) == [2, 2]


def test_a_node_that_is_cut_off_does_not_run_ahead():
    node = backup(nodes=5)
    for _ in range(5):
        node.expire("view")
    assert state(node) == ("view_change", 2, 1)
    for other in (3, 4):
        node.hear(other, StartViewChange(0, 2))
    before = node.timers["view"]
    node.expire("view")
    assert state(node) == ("view_change", 3, 1)
    assert node.timers["view"] > before, "a view that did not begin gets more time"


def lost(me=0, nodes=5, **how):
    return Lone(SPECIFICATION, me=me, nodes=nodes, silent_through=3, **how)


def answer(node, view, last=0, last_term=0, nonce=None):
    nonce = nonce or node.said(Recovery)[-1][1].nonce
    return RecoveryResponse(0, view, nonce, last, last_term, 0)


def test_who_has_lost_its_journal_takes_part_in_nothing():
    node = lost()
    node.hear(3, StartViewChange(0, 2), StartViewChange(0, 9), Recovery(0, bytes(16)), offer(5, 1, 0, 0))
    node.hear(4, StartViewChange(0, 2))
    node.hear(1, append(1, 1), Heartbeat(0, 1, 1, 1, 1), Rejected(0, 0, 0))
    assert {type(message) for _, message in node.sent} == {Recovery}
    assert terms(node) == [] and node.committed == []


def test_recovery_needs_f_plus_1_answers_and_the_newest_primary_among_them():
    node = lost()
    old = answer(node, 1)
    node.hear(1, old)
    node.hear(1, old)
    assert state(node)[0] == "recovering", "one node counts once"
    node.hear(3, answer(node, 2, nonce=old.nonce))
    node.hear(4, answer(node, 2, nonce=old.nonce))
    assert state(node)[0] == "recovering", "the primary of view 1 is not that of view 2"
    node.hear(2, answer(node, 1, nonce=old.nonce))
    assert not node.said(Rejected), "and that of view 2 has not heard of it"
    node.hear(2, answer(node, 2, last=1, last_term=1, nonce=old.nonce))
    assert state(node)[0] == "recovering", "it has no log yet"
    assert node.said(Rejected) == [(2, Rejected(0, 2, 0))]
    assert not node.said(Accepted)
    node.hear(2, append(1, 2, entry=1))
    assert state(node) == ("normal", 2, 2)
    assert node.said(Accepted)[-1] == (2, Accepted(0, 2, 1))
    node.restart()
    assert state(node) == ("normal", 2, 2), "it has a journal again"


def test_an_answer_to_an_earlier_life_counts_for_nothing():
    node = lost(seed=1)
    first = node.said(Recovery)[0][1].nonce
    node.seed = 2
    node.restart()
    for sender in (1, 2, 3):
        node.hear(sender, answer(node, 1, nonce=first))
    assert state(node)[0] == "recovering"


def test_recovery_starts_over_when_the_primary_goes_before_its_log_is_here():
    """A view change during the recovery: what was answered before it is out of date."""
    node = lost(nodes=3)
    nonce = node.said(Recovery)[0][1].nonce
    for sender in (2, 1):
        node.hear(sender, answer(node, 1, last=2, last_term=1, nonce=nonce))
    node.hear(1, append(1, 1))
    node.expire("view")
    again = node.said(Recovery)[-1][1].nonce
    assert again != nonce
    node.hear(1, append(2, 1))
    assert state(node)[0] == "recovering" and terms(node) == [1]
    for sender in (1, 2):
        node.hear(sender, answer(node, 2, last=1, last_term=1, nonce=again))
    assert state(node) == ("normal", 2, 2)


def test_only_who_takes_part_in_a_view_answers():
    node = backup()
    node.hear(2, Recovery(0, bytes(16)))
    assert node.said(RecoveryResponse) == [(2, RecoveryResponse(0, 1, bytes(16), 0, 0, 0))]
    node.expire("view")
    node.hear(2, Recovery(0, bytes(16)))
    assert not node.said(RecoveryResponse)


def test_who_must_be_silent_is_no_primary():
    """The runtime would keep its entries back, and all would wait for them."""
    node = lost(me=2, nodes=3)
    nonce = node.said(Recovery)[0][1].nonce
    for sender in (0, 1):
        node.hear(sender, answer(node, 1, nonce=nonce))
    assert state(node) == ("normal", 1, 1)
    node.hear(0, StartViewChange(0, 2), offer(2, 1, 0, 0))
    assert state(node) == ("view_change", 3, 1)


def test_blocks_of_other_ledgers_bring_nothing_back_that_was_cut_off():
    node = backup()
    node.hear(1, *(append(number, 1) for number in range(1, 6)))
    node.hear(2, Heartbeat(0, 2, 1, 1, 0))
    assert node.protocol._log.last == 1
    node.protocol.skip_to(4)
    node.journal.sync()
    node.journal.prune(node.protocol.settled)
    node.restart(first_epoch=4)
    assert (node.protocol._log.last, state(node)) == (3, ("normal", 2, 2))


def test_what_no_correct_node_sends_is_refused():
    node = backup()
    node.hear(2, Heartbeat(0, 1, 0, 0, 0), Heartbeat(0, 4, 0, 0, 0))
    assert [kind for _, kind in node.faults] == [LogFault.TWO_LEADERS] * 2
    assert state(node) == ("normal", 1, 1)
    node.hear(1, Append(1, 1, 0, 1, 0, b"\xff\xff"), append(50, 1), Forward(0, 1, b"\xff"))
    assert [kind.name for _, kind in node.faults[2:]] == ["BAD_BATCH", "FUTURE_EPOCH", "BAD_REQUEST"]
    assert terms(node) == []
