"""A node that sends anything, among three that go on: they commit the same, accuse nobody else, and keep little."""

import time

import msgspec
import pytest
from support.clock import Clock
from support.fuzz import memory_nodes
from support.fuzz.forger import EVIL, Cluster
from support.fuzz.memory_nodes import MemoryNode


def commit_all(cluster: Cluster, wanted: set[bytes], turns: int) -> None:
    """Turns without attack until the honest ledgers hold all of `wanted`."""
    for _ in range(turns):
        if all(wanted <= committed(node) for node in cluster.honest):
            return
        cluster.turn(0)
    missing = [len(wanted - committed(node)) for node in cluster.honest]
    raise AssertionError(f"transactions missing at the honest nodes: {missing}")


def committed(node: MemoryNode) -> set[bytes]:
    return {tx for block in node.store.iter_blocks() for tx in block.transactions()}


def check(cluster: Cluster) -> None:
    """Same blocks, blame for node 3 only, little stored."""
    heights = [node.chain.height for node in cluster.honest]
    chains = [[header.hash for header in node.store.headers()] for node in cluster.honest]
    assert all(chain[: min(heights)] == chains[0][: min(heights)] for chain in chains)
    for node in cluster.honest:
        assert {accused for accused, _ in node.faults} <= {EVIL}
        assert {peer for peer, _ in node.told.refusals} <= {EVIL}
        node.check_bounds()


def run(seed: int, inputs: int, until: float = float("inf"), forged: int = 40) -> Cluster:
    """Attack while clients submit to the honest nodes; then wait for their transactions."""
    clock = Clock()
    cluster = Cluster(seed, clock)
    wanted: set[bytes] = set()
    turn = 0
    while cluster.inputs < inputs and time.monotonic() < until:
        if turn % 8 == 0:
            batches = [[b"%d-%d-%d" % (turn, node.me, i) for i in range(4)] for node in cluster.honest]
            for node, batch in zip(cluster.honest, batches, strict=True):
                node.submit(batch)
                wanted.update(batch)
        cluster.turn(forged)
        turn += 1
        if turn % 200 == 0:
            check(cluster)
    commit_all(cluster, wanted, 5000)
    check(cluster)
    return cluster


def test_honest_nodes_agree_and_go_on_under_hostile_frames(seed: int) -> None:
    attacked = run(seed, 10_000)
    assert min(node.chain.height for node in attacked.honest) > 10
    # Guards against a fuzzer whose inputs are all thrown away at the door.
    kinds = {kind.name for node in attacked.honest for _, kind in node.faults}
    assert {"BAD_FRAME", "NOT_A_MEMBER", "FUTURE_EPOCH", "EQUIVOCATION"} <= kinds, kinds
    assert len(attacked.kinds) == 6
    attacked.close()


@pytest.mark.parametrize("broadcast", ["avid", "bracha"])
def test_with_another_broadcast(seed: int, broadcast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = msgspec.structs.replace(memory_nodes.PARAMETERS, broadcast=broadcast)
    monkeypatch.setattr(memory_nodes, "PARAMETERS", chosen)
    attacked = run(seed, 1_000)
    assert min(node.chain.height for node in attacked.honest) > 2
    kinds = {kind.name for node in attacked.honest for _, kind in node.faults}
    assert {"BAD_FRAME", "EQUIVOCATION"} <= kinds, kinds
    attacked.close()


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_long_hostile_run(seed: int) -> None:
    run(seed, 2_000_000, time.monotonic() + 600).close()
