"""A seeded soak: crashes, restarts, partitions, delays and lies, drawn from one seed.

`HONEYBADGER_SOAK_SEED=<seed>` repeats one run exactly; `HONEYBADGER_SOAK_ROUNDS=<n>` says how many to make.
"""

import os
import random

import pytest
from byzantine.agreement import COIN_SHARE_KINDS, BadCoinShares, Contradictor, NoVoter, TermSpam
from byzantine.broadcast import EchoReplay, Equivocator, NonCodeword, TwoRoots
from byzantine.harness import accused, parameters
from byzantine.proposals import Copier, EarlyShares, Replayer
from byzantine.puppet import Puppet, Silent
from crash_runs import POINTS, crash_cluster, crash_in_tick, finish

from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.schedulers import delayed, fifo, lifo, shuffled
from honeybadger.simulation.twins import Twins

ROUNDS = int(os.environ.get("HONEYBADGER_SOAK_ROUNDS", "50"))
LIES = {
    "silent": Silent,
    "puppet": Puppet,
    "equivocator": Equivocator,
    "two roots": TwoRoots,
    "no codeword": NonCodeword,
    "echo replay": EchoReplay,
    "no voter": NoVoter,
    "contradictor": lambda: Contradictor(True),
    "term spam": lambda: TermSpam(None),
    "bad coin": lambda: BadCoinShares(COIN_SHARE_KINDS[0]),
    "early shares": EarlyShares,
    "replayer": Replayer,
    "copier": lambda: Copier(0, 1),
    "twins": lambda: Twins(7),
}


def random_run(seed):
    """One run; every choice comes from the seed. Returns what happened, for comparison."""
    print(f"HONEYBADGER_SOAK_SEED={seed}")
    rng = random.Random(f"soak {seed}")
    nodes = rng.choice([4, 4, 4, 5, 7])
    f = Quorums.largest_faults(nodes)
    liars = sorted(rng.sample(range(nodes), rng.randrange(f + 1)))
    names = {me: rng.choice(sorted(LIES)) for me in liars}
    name, scheduler = rng.choice(
        [("fifo", fifo), ("lifo", lifo), ("shuffled", shuffled), ("delayed", delayed(rng.randrange(100, 3_000)))]
    )
    settings = parameters(
        nodes,
        encryption=rng.choice(["never", "never", "always", "every:2"]),
        coin_schedule=rng.choice(["fixed-fixed-coin", "every-round"]),
        pipeline_depth=rng.randint(1, 3),
    )
    print(f"{nodes} nodes, {names}, {name}, {settings.encryption}, {settings.coin_schedule}")
    cluster = crash_cluster(
        nodes,
        seed,
        byzantine={me: LIES[names[me]]() for me in liars},
        forgetful=[me for me in liars if rng.random() < 0.5],
        scheduler=scheduler,
        parameters=settings,
    )
    disk = random.Random(f"disk {seed}")
    eagerness = rng.choice([1.0, 0.1, 0.01])
    cluster.disk = lambda node, epoch: disk.random() < eagerness
    cluster.certify = lambda node, epoch: disk.random() < eagerness
    trail = []
    for _ in range(rng.randrange(1, 6)):
        plan(cluster, rng, trail)
    cluster.at(rng.randrange(1_500, 2_500), lambda: hurry(cluster))
    cluster.start()
    finish_in_time(cluster)
    assert accused(cluster) <= set(liars)
    return trail, cluster.network.steps, [ledger.blocks for ledger in cluster.ledgers.values()]


def hurry(cluster):
    """Disks are quick from now on, so that the run ends."""
    cluster.disk = cluster.certify = lambda node, epoch: True


def finish_in_time(cluster):
    """All that was planned happens, however early the transactions are committed."""
    cluster.run(lambda: not cluster._events)
    finish(cluster)


def plan(cluster, rng, trail):
    """One event at a random moment: a crash of one or of all, in a tick or between two, or a partition; and its end."""
    steps, pause = rng.randrange(20, 900), rng.randrange(1, 300)
    kind = rng.choice(["crash", "crash", "in a tick", "all crash", "partition"])
    trail.append((kind, steps, pause))
    print(f"  {kind} after {steps} for {pause}")
    victims = list(cluster.correct) if kind == "all crash" else [rng.choice(cluster.correct)]
    if kind == "partition":
        order = list(range(cluster.quorums.nodes))
        rng.shuffle(order)
        size = rng.randrange(1, len(order))
        cluster.at(steps, lambda: cluster.network.cut([order[:size], order[size:]]))
        cluster.at(steps + pause, cluster.network.heal)
    elif kind == "in a tick":
        crash_in_tick(cluster, victims[0], rng.randrange(1, 60), rng.choice(POINTS), pause)
    else:
        for me in victims:
            cluster.at(steps, cluster.live[me].crash)
        for me in victims:
            cluster.at(steps + pause, lambda me=me: cluster.restart(me))


def given_seed(default):
    """The seed from the environment, or the default."""
    return int(os.environ.get("HONEYBADGER_SOAK_SEED", default))


@pytest.mark.parametrize("seed", [given_seed(1)] if "HONEYBADGER_SOAK_SEED" in os.environ else [1, 2, 3])
def test_random_run(seed):
    random_run(seed)


def test_a_seed_repeats_its_run():
    assert random_run(4) == random_run(4)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_random_runs_for_long():
    if "HONEYBADGER_SOAK_SEED" in os.environ:
        random_run(given_seed(0))
        return
    first = random.SystemRandom().randrange(10**9)
    for seed in range(first, first + ROUNDS):
        random_run(seed)
