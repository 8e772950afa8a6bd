"""Two processes with one identity and the same keys: to the others a faulty node, which must do no harm.

Source: Bano, Sonnino, Chursin, Perelman, Li, Ching, Malkhi: "Twins: BFT Systems Made Robust" (OPODIS 2021).
"""

import shutil
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from support.nodes.cluster_harness import Cluster, CuttingProxy, random_transactions, running, same_prefix, wait_until

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
    members[TWINNED] = msgspec.structs.replace(members[TWINNED], **ports)
    return Manifest(manifest.consensus, members, manifest.runtime, manifest.faults)


def run_elsewhere(home: Path, cluster: Cluster, manifest: Manifest, data: Path | None = None) -> NodeProcess:
    """The twinned node as the manifest has it, in a home of its own, which may begin with a copy of `data`."""
    place = home / f"node-{TWINNED}"
    place.mkdir(parents=True)
    shutil.copy(cluster.directory / f"node-{TWINNED}" / "keys.toml", place)
    if data is not None:
        shutil.copytree(data, place / "data")
    manifest.save(home / "cluster.toml")
    return NodeProcess(home, TWINNED)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    with running(tmp_path_factory.mktemp("four") / "c") as cluster:
        yield cluster


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

    def start(number: int, data: Path | None = None) -> NodeProcess:
        home = cluster.directory / f"twin-{number}"
        started.append(run_elsewhere(home, cluster, own[number].with_faults(RESTLESS), data))
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


@pytest.mark.parametrize("copied", [pytest.param(False, marks=pytest.mark.soak), True], ids=["own data", "copied data"])
def test_twins_cannot_part_the_others(tmp_path, copied):
    """Both speak to all; whose messages are heard, and who hears, changes several times a second.

    With copied data (the journal's lock is per directory) the second twin has the first's votes up to some epoch.
    """
    cluster = Cluster(tmp_path / "c")
    with twins(cluster) as (start, proxy, own):
        cluster.start(*OTHERS)
        pair, sent = [start(0)], []
        if copied:
            sent += cluster.commit(0, 100)
            wait_until(lambda: len(blocks_of(cluster, pair[0])) > 0)
            pair[0].terminate()
            assert pair[0].wait(30) == 0
            pair.append(start(1, pair[0].data))
            pair[0].restart()
        else:
            pair.append(start(1))
        cluster.processes.pop(TWINNED, None)
        # The twins have transactions of their own, so they propose different things in the same epoch.
        tempted: set[bytes] = set()
        for manifest in own:
            cluster.manifest.members[TWINNED] = manifest.members[TWINNED]
            tempted.update(cluster.offer(TWINNED, random_transactions(200)).transactions)
        # A node does not listen again to the incarnation that it heard before the present one, so a twin may be shut
        # out early; what twins could do if they were not is tried in the simulation.
        for turn in range(15):
            sent += cluster.commit(OTHERS[turn % 3])
            proxy.cut()
            assert [twin.exit_status for twin in pair] == [None, None]
        chain = cluster.finish(sent, *OTHERS, liars=[TWINNED])
        assert {tx for block in chain for tx in block.transactions()} <= {*sent, *tempted}
        for twin in pair:
            twin.terminate()
            assert twin.wait(30) == 0
        # Each twin runs the protocol, so it cannot be led apart either, and has nobody to accuse.
        for twin in pair:
            same_prefix([chain, blocks_of(cluster, twin)])
            assert {node for _, node, _, _ in cluster.accused(TWINNED)} <= {TWINNED}


def test_a_clone_that_ran_elsewhere_for_seconds(four, tmp_path):
    """Its greetings once took the place of the node's, which was not listened to again until it was restarted."""
    sent = four.commit(TWINNED)
    ports = free_ports(2)
    clone = run_elsewhere(tmp_path, four, with_address(four.manifest, port=ports[0], client_port=ports[1]))
    line = f"two processes use the keys of node {TWINNED}"

    def commit_until_all_have_noticed() -> bool:
        nonlocal sent
        sent += four.commit(OTHERS[len(sent) % 3])
        return all(line in four.said(index) for index in range(4))

    try:
        wait_until(commit_until_all_have_noticed)
    finally:
        clone.kill()
    sent += four.commit(TWINNED)
    chain = four.agree(sent, liars=[TWINNED])
    assert {kind for _, _, kind, _ in four.accused()} == {"KEYS_USED_TWICE"}
    assert {tx for block in chain for tx in block.transactions()} == set(sent)


def test_an_old_copy_of_all_data_put_back(four, tmp_path):
    """What the journal cannot notice: the node runs epochs again that it has voted in, and may contradict itself.

    It is then one of the f faulty nodes. The others have certified those epochs, so it takes over their blocks, and
    from then on it is as good as any.
    """
    four.mark()
    node = four.processes[TWINNED]
    sent = four.commit(TWINNED)
    node.kill()
    shutil.copytree(node.data, tmp_path / "old")
    node.restart()
    four.wait_connected()
    load = four.offer(0, random_transactions(1000))
    wait_until(lambda: load.unanswered() < 500)
    node.kill()
    shutil.rmtree(node.data)
    shutil.copytree(tmp_path / "old", node.data)
    node.restart()
    load.wait()
    four.wait_connected()
    four.wait_height(four.height(0), TWINNED)
    four.finish(sent + load.transactions + four.commit(TWINNED), liars=[TWINNED])
