"""Whole clusters on the in-memory network: schedules, faulty nodes, restarts. Scenario 39."""

import pytest
from support.pbft.replica import cluster, give, settings
from support.pbft.requests import forward

from honeybadger.adversary.pbft import Equivocate
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.pbft import SPECIFICATION
from honeybadger.protocols.pbft.certificates import view_change_statement
from honeybadger.protocols.pbft.messages import (
    Commit,
    NewView,
    Prepare,
    PreparedProof,
    PrePrepare,
    Status,
    ViewChange,
)
from honeybadger.protocols.pbft.requests import Pool
from honeybadger.simulation.cluster import FilteredOutbox, SimulatedCluster, Strategy
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.schedulers import STEP_S, shuffled

#: N = 3f+1, and the largest N of the same f: N-f and 2f+1 are the same, or not
SIZES = [4, 6]
EVERY_SIZE = [*SIZES, *(pytest.param(nodes, marks=pytest.mark.soak) for nodes in (5, 7))]


def views(made):
    return [node.view for node in made.nodes.values()]


def run(made, given, steps=150_000):
    made.start()
    made.run_until_committed(given, steps)
    made.check()


@pytest.mark.parametrize("nodes", [1, 2, 3, *EVERY_SIZE])
def test_all_correct(nodes):
    made = cluster(nodes)
    run(made, give(made, 12 if nodes > 3 else 60))
    assert not made.network.faults
    assert all(node.settled >= 4 for node in made.nodes.values()), "checkpoints became stable"


class Puppet(Strategy):
    """An honest replica whose messages `lie(node, recipient, message)` changes."""

    def __init__(self, lie=lambda node, recipient, message: [message]):
        self._lie = lie

    def start(self, node):
        def change(recipient, message):
            return [message] if recipient == node.me else self._lie(node, recipient, message)

        self.protocol = node.honest(FilteredOutbox(node.outbox, node.context.quorums.nodes, change))
        self.protocol.poke()

    def receive(self, node, sender, message):
        self.protocol.handle(sender, message)


def forge(node, recipient, message):
    """A VIEW-CHANGE that claims that something was prepared in a high view."""
    if not isinstance(message, ViewChange):
        return [message]
    votes = [(n, bytes(64)) for n in range(node.context.quorums.quorum - 1)]
    proof = PreparedProof(message.stable.number + 1, message.view - 1, b"x" * 32, bytes(64), votes)
    unsigned = ViewChange(0, message.view, message.stable, [proof], bytes(64))
    signature = node.context.signing_key.sign(node.context.chain_id + view_change_statement(unsigned))
    return [ViewChange(0, message.view, message.stable, [proof], signature)]


def leave_gaps(node, recipient, message):
    """As the primary, says nothing about every third number, nor votes for it."""
    return [] if isinstance(message, PrePrepare) and message.epoch % 3 == 1 else [message]


def starve_one(node, recipient, message):
    """As the primary, keeps batches from one node, which has to fetch them."""
    return [] if isinstance(message, PrePrepare) and recipient == 2 else [message]


def stop_half_way(node, recipient, message):
    """As the primary, proposes and then says nothing more: numbers are prepared at some nodes only."""
    return [] if isinstance(message, Commit | NewView) or (recipient == 1) else [message]


#: None: the named strategy
LIES = {
    "silent": lambda node, recipient, message: [],
    "equivocate": None,
    "forge": forge,
    "gaps": leave_gaps,
    "starve one": starve_one,
    "half way": stop_half_way,
    "no new view": lambda node, recipient, message: [] if isinstance(message, NewView | PrePrepare) else [message],
}


@pytest.mark.parametrize("nodes", EVERY_SIZE)
@pytest.mark.parametrize("name", LIES)
def test_faulty_primary(nodes, name):
    """Scenario 39: safe whatever the first primary does, and live afterwards."""
    lie = LIES[name]
    made, given = restartable(nodes, 5, byzantine={0: Puppet(lie) if lie else Simulated(Equivocate)})
    run(made, given)
    assert {fault.node for fault in made.network.faults} <= {0}
    if name in ("silent", "no new view", "gaps"):
        assert min(views(made)) >= 1
    more = [b"after"]
    made.submit(nodes - 1, more)
    made.poke(nodes - 1)
    made.run_until_committed(more, 100_000)
    made.check()


def test_one_idle_cluster_with_a_single_client_deposes_a_dead_primary():
    made = cluster(4, 4, byzantine={0: Puppet(LIES["silent"])})
    made.submit(3, [b"alone"])
    run(made, [b"alone"])
    assert min(views(made)) >= 1


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (0, 2, 3, 4, 5))])
def test_forged_view_changes_beside_a_dead_primary(seed):
    """N = 7: node 0 is dead, node 6 claims certificates that it does not have; batches in progress survive."""
    made, given = restartable(7, seed, byzantine={0: Puppet(stop_half_way), 6: Puppet(forge)})
    run(made, given)
    assert {fault.node for fault in made.network.faults} <= {0, 6}


def leader_delay(reach, patience_s):
    """Delays what the primaries say: those of the highest view that any correct node is in, by more than all of the
    patience that nodes have then."""

    def schedule(step, sender, recipient, message, rng):
        made = reach()
        key = shuffled(step, sender, recipient, message, rng)
        if made is None or not made.nodes:
            return key
        views = {node.view for node in made.nodes.values()} if hasattr(made.nodes[1], "view") else {step // 3000}
        late = sender in {view % made.quorums.nodes for view in (*views, max(views) + 1)} and sender != recipient
        return key + (patience_s(made) / STEP_S if late else 0)

    return schedule


def test_a_scheduler_that_delays_the_leader_stalls_pbft_but_not_honey_badger():
    """Scenario 39: as long as the delays grow with the patience, views change and nothing is ordered; they may not."""
    box = []
    patience = lambda made: 20.0 * max(node.status()["patience_s"] for node in made.nodes.values())  # noqa: E731
    made = cluster(4, 6, scheduler=leader_delay(lambda: box[0] if box else None, patience))
    box.append(made)
    given = give(made, 4)
    made.start()
    with pytest.raises(Stalled):
        made.run_until_committed(given, 6_000)
    assert not any(application.transactions for application in made.applications.values())
    assert min(views(made)) >= 3, "it keeps changing views"
    made.check()

    other = []
    honey = SimulatedCluster(
        4,
        6,
        scheduler=leader_delay(lambda: other[0] if other else None, lambda made: 20.0),
        parameters=HoneyBadgerParameters(batch_size=16, max_proposal_bytes=1 << 17, encryption="never"),
    )
    other.append(honey)
    given = give(honey, 4)
    honey.start()
    honey.run_until_committed(given, 60_000)
    honey.check()


def test_pbft_goes_on_when_the_delays_end():
    box, on = [], [True]
    made = cluster(4, 6, scheduler=leader_delay(lambda: box[0] if box and on[0] else None, lambda made: 5.0))
    box.append(made)
    given = give(made, 4)
    made.start()
    with pytest.raises(Stalled):
        made.run_until_committed(given, 400)
    on[0] = False
    made.run_until_committed(given, 100_000)
    made.check()
    more = [b"afterwards"]
    made.submit(1, more)
    made.nodes[1].poke()
    made.run_until_committed(more, 50_000)


def restartable(nodes, seed, **how):
    made = RestartableCluster(nodes, seed, specification=SPECIFICATION, parameters=settings(), **how)
    return made, give(made, 10)


@pytest.mark.parametrize("nodes", [4, pytest.param(7, marks=pytest.mark.soak)])
def test_a_partition_heals(nodes):
    """The side with the primary has no quorum: the others go on, and it catches up."""
    made, given = restartable(nodes, 9)
    faults = (nodes - 1) // 3
    made.start()
    made.network.cut([range(faults), range(faults, nodes)])
    made.at(6_000, made.network.heal)
    made.run_until_committed(given, 200_000)
    made.check()
    assert not made.network.faults
    assert min(node.protocol.view for node in made.live.values() if node.me >= faults) >= 1


def test_floods_cost_a_bounded_amount():
    """A backup forwards without end, and votes in all views and numbers: nothing grows, nothing breaks."""
    made = cluster(4, 8, byzantine={3: Strategy()})
    given = give(made, 4)
    outbox = made.byzantine[3].outbox
    made.start()
    for k in range(3000):
        outbox.send(0, forward(k % 7, [b"junk %d %d" % (k, j) for j in range(20)]))
        outbox.broadcast(Prepare(1 + k % 8, k, b"x" * 32, bytes(64)))
        outbox.broadcast(Commit(1 + k % 8, k, b"x" * 32))
        outbox.broadcast(Status(0, 0, 0, True))
    made.submitted.update(b"junk %d %d" % (k, j) for k in range(3000) for j in range(20))
    made.run_until_committed(given, 100_000)
    made.check()
    for node in made.nodes.values():
        status = node.status()
        assert status["early_messages"] <= 3 * 8 and len(node.held_bytes().epochs) <= 8
        assert status["forwarded_bytes"] <= 4 * Pool(settings()).limit
    assert {fault.node for fault in made.network.faults} <= {3}
