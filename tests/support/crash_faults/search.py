"""A random search for schedules that part the nodes of a crash-fault protocol: late, overtaken and repeated messages,
crashes at journal points, restarts, partitions, and, where the protocol tolerates it, a lost journal."""

import random
from collections import Counter
from dataclasses import dataclass, field

from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.restartable_node import CrashPoint
from honeybadger.simulation.schedulers import STEP_S, Late, Starve, fifo, lifo, shuffled

SIZES = (3, 4, 5, 7)
#: seconds of virtual time after which all nodes are up and reach each other
TROUBLE_S = 60


@dataclass
class Result:
    """`trouble`: "" if the nodes agree and have committed everything; `diverged`: whether they do not agree."""

    seed: int
    trouble: str = ""
    diverged: bool = False
    events: Counter = field(default_factory=Counter)


def run(specification, seed, *, loses_journals=False):
    """One schedule, drawn from the seed."""
    rng, result = random.Random(f"search {seed}"), Result(seed)
    nodes = SIZES[seed % len(SIZES)]
    cluster = RestartableCluster(
        nodes,
        seed,
        specification=specification,
        scheduler=_scheduler(rng, nodes),
        parameters=specification.parameters(batch_size=4, max_proposal_bytes=1 << 17, epoch_window=rng.choice([2, 8])),
    )
    for node in range(nodes):
        cluster.submit(node, [b"tx %d %d" % (node, number) for number in range(6)])
    for _ in range(rng.randrange(6)):
        _plan_crash(cluster, rng, result.events)
    if rng.random() < 0.5:
        _plan_partition(cluster, rng, result.events)
    if loses_journals and rng.random() < 0.3:
        _plan_loss(cluster, rng, result.events)
    try:
        cluster.start()
        for node in range(nodes):
            cluster.poke(node)
        cluster.run(lambda: _done(cluster))
        cluster.check()
    except Stalled as error:
        result.trouble = f"stalled: {error}"
    except AssertionError as error:
        result.trouble, result.diverged = str(error), "accused" not in str(error)
    result.events["leaders"] = len({status for node in cluster.live.values() for status in [_term(node)]})
    return result


def _term(node):
    status = node.protocol.status()
    return status.get("term", status.get("view", status.get("accepted_epoch")))


def _scheduler(rng, nodes):
    return rng.choice(
        [
            shuffled,
            fifo,
            lifo,
            Late(800),
            Starve([rng.randrange(nodes)]),
        ]
    )


def _plan_crash(cluster, rng, events):
    node = rng.randrange(cluster.quorums.nodes)
    events["crashes"] += 1
    if rng.random() < 0.4:
        at = rng.randrange(1, 1500)
        cluster.at(at, cluster.live[node].crash)
        cluster.at(at + rng.randrange(1, 3000), lambda: cluster.restart(node))
    else:
        cluster.live[node].crash_at = rng.randrange(1, 25), rng.choice(list(CrashPoint))
        cluster.at(rng.randrange(300, 4000), lambda: cluster.restart(node))


def _plan_partition(cluster, rng, events):
    nodes = cluster.quorums.nodes
    events["partitions"] += 1
    for _ in range(rng.randrange(1, 4)):
        group = rng.sample(range(nodes), rng.randrange(1, nodes))
        at = rng.randrange(1, 2500)
        cluster.at(at, lambda group=group: cluster.network.cut([group]))
        cluster.at(at + rng.randrange(100, 3000), cluster.network.heal)


def _plan_loss(cluster, rng, events):
    """A node comes back without its journal, after it has said something."""
    node, live = rng.randrange(cluster.quorums.nodes), cluster.live
    events["journals lost"] += 1

    def lose():
        if all(other.up for other in live.values()) and live[node].ledger.certified:
            live[node].crash()
            live[node].journal.lose(margin=2)
            cluster.restart(node)

    cluster.at(rng.randrange(300, 1500), lose)


def _done(cluster):
    if cluster.network.clock.now * STEP_S > TROUBLE_S:
        for node, live in cluster.live.items():
            if not live.up:
                cluster.restart(node)
        if cluster.network._groups:
            cluster.network.heal()
    applications = cluster.applications.items()
    return all(cluster.is_up(node) and cluster.submitted <= each._committed for node, each in applications)
