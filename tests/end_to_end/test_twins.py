"""Two processes with one identity and the same keys: to the others a faulty node, which must do no harm.

Source: Bano, Sonnino, Chursin, Perelman, Li, Ching, Malkhi: "Twins: BFT Systems Made Robust" (OPODIS 2021).
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager

import msgspec
import pytest
from cluster_harness import Cluster, CuttingProxy, random_transactions, running, same_prefix, wait_until

from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.processes import NodeProcess, free_ports
from honeybadger.network.fault_schedule import LinkFault

pytestmark = pytest.mark.processes

TWINNED = 3
OTHERS = (0, 1, 2)
#: the connections to and from the twins are made anew all the time, and each time the other one may be the first
RESTLESS = (LinkFault(kind="reset", every_s=0.3),)


def with_address(manifest: Manifest, **ports: int) -> Manifest:
    """The same chain with the twinned node at other ports."""
    members = list(manifest.members)
    members[TWINNED] = msgspec.structs.replace(members[TWINNED], http_port=0, **ports)
    return Manifest(manifest.consensus, members, manifest.runtime, manifest.faults)


@contextmanager
def twins(cluster: Cluster):
    """The others run; yields how to start a twin, each in a home of its own, and the proxy in front of both."""
    ports = free_ports(4)
    proxy = CuttingProxy(ports[0], ports[2])
    own = [
        with_address(cluster.manifest, port=ports[2 * number], client_port=ports[2 * number + 1]) for number in (0, 1)
    ]
    cluster.manifest = with_address(cluster.manifest, port=proxy.port)
    cluster.manifest.save(cluster.manifest_path)
    started: list[NodeProcess] = []

    def start(number: int, data=None) -> NodeProcess:
        home = cluster.directory / f"twin-{number}"
        place = home / f"node-{TWINNED}"
        place.mkdir(parents=True)
        shutil.copy(cluster.directory / f"node-{TWINNED}" / "keys.toml", place)
        if data is not None:
            shutil.copytree(data, place / "data")
        own[number].with_faults(RESTLESS).save(home / "cluster.toml")
        started.append(NodeProcess(home, TWINNED))
        return started[-1]

    try:
        yield start, proxy, own
    finally:
        for process in started:
            process.kill()
        proxy.close()
        cluster.stop()


def blocks_of(cluster: Cluster, process: NodeProcess):
    """The ledger of a process that is none of the cluster's own."""
    cluster.processes[TWINNED] = process
    return cluster.blocks(TWINNED)


@pytest.mark.parametrize("copied", [False, True], ids=["own data", "copied data"])
def test_twins_cannot_part_the_others(tmp_path, copied):
    """Both speak to all; whose messages are heard, and who hears, changes several times a second.

    With copied data (the journal's lock is per directory) the second twin has the first's votes up to some epoch.
    """
    cluster = Cluster(tmp_path / "c")
    with twins(cluster) as (start, proxy, own):
        cluster.start(*OTHERS)
        pair = [start(0)]
        data = None
        if copied:
            sent = random_transactions(100)
            cluster.submit(0, sent)
            wait_until(lambda: len(blocks_of(cluster, pair[0])) > 0)
            pair[0].terminate()
            assert pair[0].wait(30) == 0
            data = pair[0].data
            pair.append(start(1, data))
            pair[0].restart()
        else:
            sent = []
            pair.append(start(1))
        cluster.processes.pop(TWINNED, None)
        # The twins have transactions of their own, so they propose different things in the same epoch.
        temptations = []
        for manifest in own:
            member = manifest.members[TWINNED]
            cluster.manifest.members[TWINNED] = member
            temptations.append(cluster.offer(TWINNED, random_transactions(200)))
        # A node does not listen again to the incarnation that it heard before the present one, so a twin may be shut
        # out early; what twins could do if they were not is tried in the simulation.
        for turn in range(25):
            submission = cluster.offer(OTHERS[turn % 3], random_transactions(20))
            submission.wait()
            submission.client.close()
            sent += submission.transactions
            proxy.cut()
            assert [twin.exit_status for twin in pair] == [None, None]
        tempted = {tx for temptation in temptations for tx in temptation.transactions}
        top = max(cluster.height(index) for index in OTHERS)
        cluster.wait_height(top, *OTHERS)
        accused = cluster.accused(*OTHERS)
        assert {node for _, node, _, _ in accused} <= {TWINNED}
        stopped = cluster.stop()
        assert set(stopped.values()) == {0}
        for twin in pair:
            twin.terminate()
            assert twin.wait(30) == 0
        chains = [cluster.blocks(index) for index in OTHERS]
        assert same_prefix(chains) >= top
        for index in OTHERS:
            committed = cluster.transactions(index)
            assert len(set(committed)) == len(committed)
            assert set(sent) <= set(committed) <= {*sent, *tempted}
        # Each twin runs the protocol, so it cannot be led apart either, and has nobody to accuse.
        for twin in pair:
            same_prefix([chains[0], blocks_of(cluster, twin)])
            assert {node for _, node, _, _ in cluster.accused(TWINNED)} <= {TWINNED}


def test_a_clone_that_ran_elsewhere_for_seconds(tmp_path):
    """Its greetings once took the place of the node's, which was not listened to again until it was restarted."""
    with running(tmp_path / "c") as cluster:
        node = cluster.processes[TWINNED]
        sent = random_transactions(20)
        cluster.submit(TWINNED, sent)
        ports = free_ports(2)
        home = tmp_path / "elsewhere"
        (home / f"node-{TWINNED}").mkdir(parents=True)
        shutil.copy(cluster.directory / f"node-{TWINNED}" / "keys.toml", home / f"node-{TWINNED}")
        with_address(cluster.manifest, port=ports[0], client_port=ports[1]).save(home / "cluster.toml")
        clone = NodeProcess(home, TWINNED)
        try:
            for turn in range(40):
                load = cluster.offer(OTHERS[turn % 3], random_transactions(20))
                load.wait()
                load.client.close()
                sent += load.transactions
                time.sleep(0.2)
        finally:
            clone.kill()
        own = cluster.offer(TWINNED, random_transactions(20))
        cluster.wait_height(own.wait())
        line = f"two processes use the keys of node {TWINNED}"
        assert all(line in process.log.read_text() for process in cluster.processes.values())
        assert {(node, kind) for _, node, kind, _ in cluster.accused()} == {(TWINNED, "KEYS_USED_TWICE")}
        assert node.exit_status is None
        assert set(cluster.stop().values()) == {0}
        assert set(cluster.transactions(TWINNED)) == {*sent, *own.transactions}
        same_prefix([cluster.blocks(index) for index in range(4)])


def test_an_old_copy_of_all_data_put_back(tmp_path):
    """What the journal cannot notice: the node runs epochs again that it has voted in, and may contradict itself.

    It is then one of the f faulty nodes. The others have certified those epochs, so it takes over their blocks, and
    from then on it is as good as any.
    """
    with running(tmp_path / "c") as cluster:
        node = cluster.processes[TWINNED]
        sent = random_transactions(100)
        cluster.submit(TWINNED, sent)
        node.kill()
        shutil.copytree(node.data, tmp_path / "old")
        node.restart()
        cluster.wait_connected()
        load = cluster.offer(0, random_transactions(1000))
        wait_until(lambda: load.unanswered() < 500)
        node.kill()
        shutil.rmtree(node.data)
        shutil.copytree(tmp_path / "old", node.data)
        node.restart()
        load.wait()
        cluster.wait_connected()
        cluster.wait_height(cluster.height(0), TWINNED)
        after = cluster.offer(TWINNED, random_transactions(20))
        top = after.wait()
        cluster.wait_height(top)
        assert {node for _, node, _, _ in cluster.accused()} <= {TWINNED}
        assert set(cluster.stop().values()) == {0}
        assert same_prefix([cluster.blocks(index) for index in range(4)]) >= top
        assert set(cluster.transactions(TWINNED)) >= {*sent, *load.transactions, *after.transactions}
