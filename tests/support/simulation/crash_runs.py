"""Runs with crashes and restarts, watched by `OneShotMonitor`; every run ends with `finish`."""

import shutil

from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.restartable_node import CrashPoint
from honeybadger.simulation.search.said_once import OneShotMonitor
from support.byzantine.harness import parameters, verify

POINTS = tuple(CrashPoint)


def crash_cluster(nodes, seed, *, encryption="never", **how):
    """A cluster in which every correct node has transactions."""
    how.setdefault("parameters", parameters(nodes, encryption=encryption, pipeline_depth=1))
    cluster = RestartableCluster(nodes, seed, **how)
    OneShotMonitor(cluster.network, cluster.byzantine)
    for me in cluster.correct:
        cluster.submit(me, [b"tx %d" % me])
    return cluster


def finish(cluster):
    """Everything submitted is committed everywhere, is durable and certified; nobody correct is accused."""
    cluster.run_until_committed(sorted(cluster.submitted))
    cluster.run_until_durable(max(len(ledger.blocks) for ledger in cluster.ledgers.values()))
    verify(cluster)


def crash_in_tick(cluster, me, k, point, pause):
    """Let `me` die in the tick of its k-th `remember`, and come back `pause` steps later."""
    node = cluster.live[me]
    node.crash_at = (node.remembered + k, point)
    crash = node.crash

    def crash_and_plan():
        was_up = node.up
        crash()
        if was_up:
            cluster.at(pause, lambda: cluster.restart(me))

    node.crash = crash_and_plan


class DiskJournal:
    """The journal of a real node, whose process is killed and started again.

    Killed: the files as they are on disk at that moment are all that the next incarnation finds. (Durability "os": the
    process dies, the machine does not.)
    """

    def __init__(self, path, open_journal):
        self._open = open_journal
        self._path = path
        self._incarnation = 0
        self.real = open_journal(path / "0", 1)

    def __getattr__(self, name):
        return getattr(self.real, name)

    def crash(self):
        source, self._incarnation = self._path / str(self._incarnation), self._incarnation + 1
        shutil.copytree(source, self._path / str(self._incarnation))
        self.real.close()
        shutil.rmtree(source)

    def lose(self):
        """All segments are gone, the bound is not."""
        for file in (self._path / str(self._incarnation)).glob("votes-*.log"):
            file.unlink()

    def reopen(self, first_epoch):
        self.real = self._open(self._path / str(self._incarnation), first_epoch)
