"""What a flood of VIEW-CHANGEs and NEW-VIEWs may cost, and that nothing of a correct node is lost by the limit."""

import pytest
from support.pbft.replica import Replica, cluster, give

from honeybadger.protocols.pbft import view_change
from honeybadger.protocols.pbft.messages import PBFTFault, ViewChange
from honeybadger.simulation.cluster import Strategy

#: a VIEW-CHANGE with all the certificates that fit, at N = 4: its own signature and 8 of a primary and two backups
DEAREST = 1 + 8 * 3


def dear_change(r, node, view, other=b""):
    """A valid VIEW-CHANGE that takes `DEAREST` verifications; with another `other`, other certificates."""
    of_view = view - 1
    primary = of_view % r.nodes
    proposals = [r.pre_prepare(n, of_view, r.batch(primary, b"%d" % n, other or b"-")) for n in range(1, 9)]
    return r.view_change(node, view, [r.proof(proposal) for proposal in proposals])


@pytest.fixture
def r(monkeypatch):
    """A share of 100 signatures for each of 4 nodes."""
    monkeypatch.setattr(view_change, "SIGNATURES_PER_TURN", 400)
    return Replica(1)


def verified(r):
    return r.protocol.status()["signatures_verified"]


def end_turns(r, name, most=40):
    """Let turns pass until nobody owes anything."""
    for _ in range(most):
        if name not in r.timers:
            return
        r.expire(name)
    raise AssertionError("debts without end")


def test_a_flood_of_valid_view_changes_costs_a_share_a_turn(r):
    r.hear(3, *[dear_change(r, 3, view) for view in range(2, 40)])
    assert DEAREST < verified(r) < 100 + DEAREST
    for _ in range(10):
        before = verified(r)
        r.hear(3, *[dear_change(r, 3, view, b"again") for view in range(40, 50)])
        assert verified(r) - before <= 100 + DEAREST
        r.expire("view-changes")
    assert verified(r) < 11 * 100 + 2 * DEAREST
    assert not r.faults and not r.said(ViewChange), "it is one node: nobody joins it"


def test_a_flood_of_bad_view_changes_costs_a_share_a_turn(r):
    good = dear_change(r, 3, 2)
    *most, last = good.prepared
    spoiled = type(last)(
        last.number, last.view, last.digest, last.pre_prepare, [(n, bytes(64)) for n, _ in last.prepares]
    )
    for view in range(2, 60):
        r.hear(3, r.view_change(3, view, [*most, spoiled]))
    assert verified(r) < 100 + DEAREST
    assert 1 < len(r.faults) < 6 and {kind for _, kind in r.faults} == {PBFTFault.BAD_VIEW_CHANGE}


def test_what_is_malformed_costs_no_signature(r):
    good = dear_change(r, 3, 2)
    for k in range(20):
        r.hear(3, r.view_change(3, 2 + k, good.prepared[::-1]))
    assert verified(r) == 0 and len(r.faults) == 20


def test_old_and_repeated_ones_cost_nothing(r):
    change = dear_change(r, 3, 2)
    r.hear(3, change)
    before = verified(r)
    r.hear(3, *[change] * 50)
    assert verified(r) == before
    # The next view's repeats what was verified: only its own signature is new.
    r.hear(3, r.view_change(3, 3, change.prepared))
    assert verified(r) == before + 1


def test_the_newest_is_kept_and_comes_in_its_turn(r):
    """Two nodes have used up their share; what they say then still makes this node join them, later."""
    for node in (0, 3):
        r.hear(node, *[dear_change(r, node, view, b"of %d" % node) for view in range(2 + node, 40 + node)])
    joined = [change.view for change in r.said(ViewChange)]
    assert joined and max(joined) < 10, "what was verified at once"
    end_turns(r, "view-changes")
    assert max(change.view for change in r.said(ViewChange)) == 39, "the smaller of 39 and 42"
    assert not r.faults


def test_a_correct_nodes_view_change_is_not_held_up_by_another_senders_flood(r):
    r.hear(3, *[dear_change(r, 3, view) for view in range(2, 40)])
    r.hear(0, r.view_change(0, 2))
    assert r.said(ViewChange, view=2), "f+1, with what the first of the flood said"


def test_new_views_are_limited_and_the_newest_comes_in_its_turn(r):
    """A liar is the primary of every fourth view and has VIEW-CHANGEs of all nodes for them."""

    def new_view(view):
        changes = {node: dear_change(r, node, view, b"%d" % node) for node in (0, 2, 3)}
        return r.new_view(view, changes)

    r.hear(2, *[new_view(view) for view in range(2, 30, 4)])
    cost = 1 + 8 + 3 * DEAREST
    assert verified(r) <= 100 + cost
    assert r.protocol.status()["primary"] == 2 and r.protocol.view < 26
    end_turns(r, "new-views")
    assert r.protocol.view == 26 and not r.faults


def test_debts_are_bounded_so_that_nobody_waits_for_ever(monkeypatch):
    """A share of 10: this message costs 26, which would take three turns."""
    monkeypatch.setattr(view_change, "SIGNATURES_PER_TURN", 40)
    monkeypatch.setattr(view_change, "MOST_TURNS", 2)
    r = Replica(1)
    r.hear(3, dear_change(r, 3, 2))
    r.expire("view-changes")
    assert "view-changes" in r.timers
    r.expire("view-changes")
    assert "view-changes" not in r.timers


class Flooder(Strategy):
    """Whatever it hears, it wants three views more, with good signatures; it takes part in nothing else."""

    def start(self, node):
        self.node, self.view = node, 1
        self.signer = Replica(node.me)

    def receive(self, node, sender, message):
        for _ in range(3 if sender != node.me else 0):
            self.view += 1
            node.outbox.broadcast(self.signer.view_change(node.me, self.view))


def test_a_cluster_goes_on_under_a_flood_and_changes_its_view(monkeypatch):
    """Node 3 floods; the primary never speaks, so the others need each other's VIEW-CHANGEs: N = 7, f = 2."""
    monkeypatch.setattr(view_change, "SIGNATURES_PER_TURN", 70)
    flooder = Flooder()
    made = cluster(7, 9, byzantine={0: Strategy(), 3: flooder})
    given = give(made, 8)
    made.start()
    made.run_until_committed(given, 100_000)
    made.check()
    assert {fault.node for fault in made.network.faults} <= {3}
    # Some may be on their way to the flooder's view, or back from it, when the last block is complete.
    assert all(node.view > 0 for node in made.nodes.values())
    assert flooder.view > 500
    most = max(node.status()["signatures_verified"] for node in made.nodes.values())
    assert most < flooder.view, "less than one for each"
