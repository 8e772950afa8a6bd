"""Random trouble for minutes, from a seed: nodes killed and restarted, sometimes all, on links that fail in every way.

HONEYBADGER_SOAK_MINUTES: how long (5); HONEYBADGER_SOAK_SEED: the same schedule again. Threads, disks and sockets are
not in the schedule, so the same seed gives the same trouble, not the same run.
"""

import os
import random
import time

import pytest
from support.nodes.cluster_harness import Cluster, Submission, random_transactions, wait_until

from honeybadger.network.fault_schedule import LinkFault

MINUTES = float(os.environ.get("HONEYBADGER_SOAK_MINUTES", "5"))
#: seconds at the start without trouble, and between two looks at the load
QUIET_S, LOOK_S = 5.0, 0.2

#: (at second, nodes to kill, seconds that they are down)
Kill = tuple[float, tuple[int, ...], float]


def kills(rng: random.Random, nodes: int, seconds: float) -> list[Kill]:
    """One after the other: one node, a few, or all."""
    planned: list[Kill] = []
    at = QUIET_S
    while (at := at + rng.uniform(1, 6)) < seconds:
        count = nodes if rng.random() < 0.15 else rng.randint(1, (nodes - 1) // 3 + 1)
        down = rng.uniform(0.1, 4)
        planned.append((at, tuple(sorted(rng.sample(range(nodes), count))), down))
        at += down
    return planned


def link_faults(rng: random.Random, nodes: int, seconds: float) -> list[LinkFault]:
    """One after the other, with pauses; none lasts beyond `seconds`."""
    planned: list[LinkFault] = []
    at = QUIET_S
    while (at := at + rng.uniform(0, 4)) < seconds - 1:
        end = min(seconds, at + rng.uniform(1, 6))
        some = tuple(sorted(rng.sample(range(nodes), rng.randint(1, nodes - 1))))
        details = rng.choice(
            [
                {"kind": "partition", "groups": (some,)},
                {"kind": "one-way", "senders": some[:1]},
                {"kind": "one-way", "receivers": some[:1]},
                {"kind": "slow", "receivers": some[:1], "every_s": rng.uniform(0.02, 0.5)},
                {"kind": "reset", "every_s": rng.uniform(0.2, 1)},
                {"kind": "drop", "probability": rng.uniform(0.001, 0.05)},
                {"kind": "delay", "delay_s": (delay := rng.uniform(0.005, 0.1)), "jitter_s": rng.uniform(0, delay)},
            ]
        )
        planned.append(LinkFault(start_s=at, end_s=end, **details))
        at = end
    return planned


class Load:
    """A little from one client of each node; what is lost with a killed node is submitted again."""

    def __init__(self, cluster: Cluster, nodes: int) -> None:
        self._cluster = cluster
        self.open: list[Submission | None] = [None] * nodes
        self.acknowledged: list[bytes] = []

    def step(self, *, more: bool = True) -> None:
        for index, submission in enumerate(self.open):
            if submission is not None and not submission.unanswered():
                self.acknowledged += submission.transactions
                submission.client.close()
                submission = self.open[index] = None
            if submission is None and more:
                self.open[index] = self._cluster.offer(index, random_transactions(10))

    def submit_again(self, nodes: tuple[int, ...]) -> None:
        for index in nodes:
            if (submission := self.open[index]) is not None:
                submission.submit()

    def drained(self) -> bool:
        self.step(more=False)
        return not any(self.open)


@pytest.mark.soak
@pytest.mark.processes
@pytest.mark.timeout(60 * MINUTES + 400)
@pytest.mark.parametrize("nodes", [4, 7])
def test_random_trouble_loses_nothing_and_accuses_nobody(tmp_path, nodes, capsys):
    seed = os.environ.get("HONEYBADGER_SOAK_SEED") or str(random.SystemRandom().randrange(10**9))
    with capsys.disabled():
        print(f"\nHONEYBADGER_SOAK_SEED={seed} HONEYBADGER_SOAK_MINUTES={MINUTES:g}, {nodes} nodes", flush=True)
    rng = random.Random(f"{seed} {nodes}")
    seconds = 60 * MINUTES
    planned = kills(rng, nodes, seconds)
    cluster = Cluster(tmp_path / "c", nodes, faults=link_faults(rng, nodes, seconds))
    try:
        zero = time.time()
        cluster.start(extra=("--schedule-start", str(zero)))
        load = Load(cluster, nodes)
        for at, victims, down in planned:
            while time.time() < zero + at:
                load.step()
                time.sleep(LOOK_S)
            for index in victims:
                cluster.processes[index].kill()
            while time.time() < zero + at + down:
                load.step()
                time.sleep(LOOK_S)
            for index in victims:
                cluster.processes[index].restart()
            load.submit_again(victims)
        while time.time() < zero + seconds:
            load.step()
            time.sleep(LOOK_S)
        assert all(process.exit_status is None for process in cluster.processes.values())
        cluster.wait_connected()
        wait_until(load.drained)
        chain = cluster.finish([*load.acknowledged, *cluster.commit(0)])
        with capsys.disabled():
            print(f"{len(planned)} kills, {len(chain)} blocks, {len(load.acknowledged)} transactions", flush=True)
    finally:
        cluster.stop()
