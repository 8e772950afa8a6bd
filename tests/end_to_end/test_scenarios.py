"""Real nodes whose links and processes fail: as long as N-f can talk they go on; who was cut off takes part again.

Numbers of scenarios: docs/scenarios.md. Faults begin and end when the test says so, never at a time.
"""

import json
import time
from collections.abc import Iterator

import numpy as np
import pytest
from support.nodes.cluster_harness import Cluster, random_transactions, run_command, running, stays_at, wait_until

from bench.measure.observations import read_node
from honeybadger.cluster.manifest import Runtime
from honeybadger.network.fault_schedule import LinkFault

pytestmark = pytest.mark.processes

#: what the links between the nodes of one cluster suffer, one after the other
FAULTS: dict[str, list[dict]] = {
    "partition": [{"kind": "partition", "groups": ((3,),)}],
    "cannot send": [{"kind": "one-way", "senders": (3,)}],
    "cannot hear": [{"kind": "one-way", "receivers": (3,)}],
    "no quorum": [{"kind": "partition", "groups": ((0, 1), (2, 3))}],
    "slow": [{"kind": "slow", "receivers": (3,), "every_s": 1.0}],
    "resets and drops": [{"kind": "reset", "every_s": 0.5}, {"kind": "drop", "probability": 0.01}],
    "delay and resets": [{"kind": "delay", "delay_s": 0.02, "jitter_s": 0.01}, {"kind": "reset", "every_s": 0.4}],
    "bandwidth": [{"kind": "bandwidth", "bytes_per_s": 1e6}],
    "resets": [{"kind": "reset", "every_s": 0.2}],
    "drops": [{"kind": "drop", "probability": 0.02}],
    "delay": [{"kind": "delay", "delay_s": 0.02, "jitter_s": 0.02}],
}
#: seconds on the steered clock that each of them lasts, with as many before it and after it
LASTS_S = 1e6
#: soon less than what the nodes say to each other about blocks of LARGE transactions, with parameters that allow it
SMALL_CAP = Runtime(held_bytes_per_peer=2_000_000)
LARGE = 4000
SMALL = {"epoch_window": 2, "max_tx_bytes": LARGE, "max_proposal_bytes": 100_000}
#: more blocks than the epoch window has epochs
MANY = 6


def begin_s(name: str) -> float:
    return (1 + 2 * list(FAULTS).index(name)) * LASTS_S


@pytest.fixture(scope="module")
def all_faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    faults = [
        LinkFault(start_s=begin_s(name), end_s=begin_s(name) + LASTS_S, **fault)
        for name, some in FAULTS.items()
        for fault in some
    ]
    with running(tmp_path_factory.mktemp("faults") / "c", runtime=SMALL_CAP, faults=faults, **SMALL) as cluster:
        yield cluster
        assert set(cluster.stop().values()) == {0}


@pytest.fixture
def links(all_faults: Cluster) -> Iterator[Cluster]:
    """Four connected nodes with the same ledger, whose links suffer what the test steers to."""
    all_faults.mend()
    all_faults.mark()
    yield all_faults
    end(all_faults)


def begin(cluster: Cluster, name: str) -> None:
    """Time only goes forward, so tests come in the order of FAULTS."""
    cluster.steer(begin_s(name))


def end(cluster: Cluster) -> None:
    """Of the fault that lasts now, if any does."""
    cluster.steer(cluster.steered_to + cluster.steered_to % (2 * LASTS_S))


def at_rest(cluster: Cluster, *indices: int) -> list[int]:
    """The heights of the nodes once none has changed for a second: epochs that had all their messages have ended."""
    heights: list[int] = []
    since = time.monotonic()

    def unchanged() -> bool:
        nonlocal heights, since
        now = [cluster.height(index) for index in indices]
        if now != heights:
            heights, since = now, time.monotonic()
        return time.monotonic() - since > 1

    wait_until(unchanged)
    return heights


def dropped(cluster: Cluster) -> list[int]:
    """What nodes 0 to 2 have given up to keep for node 3."""
    return [cluster.status(index)["memory"]["dropped_entries"].get(3, 0) for index in range(3)]


def more_than_is_kept(cluster: Cluster, given_up: list[int]) -> list[bytes]:
    """Commit MANY blocks, and more until nodes 0 to 2 have given up more for node 3 than before; what was committed."""
    sent = cluster.grow(MANY, 0, 1, 2, count=25, size=LARGE)
    while not all(now > before for now, before in zip(dropped(cluster), given_up, strict=True)):
        assert len(sent) < 10_000, "nothing was given up"
        sent += cluster.grow(1, 0, 1, 2, count=25, size=LARGE)
    return sent


@pytest.mark.parametrize("name", ["partition", "cannot send", "cannot hear"])
def test_one_node_cut_off_catches_up_and_takes_part_again(links, name):
    """Scenario 29: more blocks are missed than the epoch window has epochs, and more bytes than are kept for a peer."""
    hears = name == "cannot send"
    sent = links.commit(3)
    given_up = dropped(links)
    begin(links, name)
    # A node that hears but cannot be heard follows; the others do not need it.
    lost = at_rest(links, 3)[0]
    own = links.offer(3, random_transactions(20))
    sent += links.grow(MANY, 0, 1, 2) if hears else more_than_is_kept(links, given_up)
    assert own.unanswered() == 20
    assert hears or links.height(3) == lost
    end(links)
    own.wait()
    links.wait_height(links.height(0), 3)
    assert hears or links.events(3, "adopted")
    after = links.offer(3, random_transactions(20))
    after.wait()
    blocks = {block.header.height: block for block in links.agree(sent + own.transactions + after.transactions)}
    assert any(3 in blocks[height].header.proposers for height in after.committed.values())


@pytest.mark.parametrize("up", [(0, 1), (0, 1, 2, 3)], ids=["f+1 nodes down", "partition"])
def test_without_a_quorum_all_stop_and_lose_nothing(links, up):
    """Scenarios 25, with `kill -9` in the middle of load, and 30."""
    before = links.offer(0, random_transactions(1000))
    wait_until(lambda: before.unanswered() < 1000)
    down = {2, 3} - set(up)
    if down:
        for index in down:
            links.processes[index].kill()
    else:
        begin(links, "no quorum")
    stopped = at_rest(links, *up)
    during = [links.offer(index, random_transactions(50)) for index in up]
    stays_at(links, stopped, *up)
    assert [submission.unanswered() for submission in during] == [50] * len(up)
    if down:
        # One of them is enough.
        links.processes[2].restart()
    else:
        end(links)
    for submission in (before, *during):
        submission.wait()
    links.mend()
    links.agree([tx for submission in (before, *during) for tx in submission.transactions] + links.commit(3))


def test_a_slow_node_holds_up_nobody_and_costs_its_cap(links):
    """Scenario 31: what is held for it is dropped beyond the cap, so it must take over blocks."""
    sent = links.commit(3)
    given_up = dropped(links)
    begin(links, "slow")
    sent += more_than_is_kept(links, given_up)
    assert links.height(3) + SMALL["epoch_window"] < links.height(0)
    end(links)
    sent += links.commit(3)
    links.wait_height(links.height(0), 3)
    usage = [event for index in range(3) for event in links.events(index, "usage")]
    assert max(held for event in usage for held in event["held_bytes"].values()) <= SMALL_CAP.held_bytes_per_peer
    assert links.events(3, "adopted")
    links.agree(sent)


@pytest.mark.parametrize(
    "name",
    [
        *list(FAULTS)[5:8],
        *(pytest.param(name, marks=pytest.mark.soak) for name in list(FAULTS)[8:]),
    ],
)
def test_bad_links_lose_and_double_nothing(links, name):
    """Scenario 32, and links that are late."""
    begin(links, name)
    submissions = [links.offer(index, random_transactions(50)) for _ in range(8) for index in range(4)]
    for submission in submissions:
        submission.wait()
    if any(fault["kind"] in ("reset", "drop") for fault in FAULTS[name]):
        broken = [event for index in range(4) for event in links.events(index, "connection") if not event["up"]]
        assert len(broken) > 10, "the test needs broken connections"
    end(links)
    links.agree([tx for submission in submissions for tx in submission.transactions])


def test_latency_is_of_everything_that_was_offered(tmp_path):
    """Of a node whose proposals come too late, transactions wait; the summary of the run must not hide that."""
    out = tmp_path / "run"
    options = ("--rate", "20", "--duration", "2", "--warmup", "0.5", "--delay", "3:200ms", "--seed", "5")
    result = run_command("local", *options, "--out", str(out))
    assert result.returncode == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text())
    window = summary["window"]
    slow = read_node(out / "node-3" / "events.jsonl")
    # Only node 3 has what was sent to it, so that waits for the next block with a proposal of node 3.
    times = [slow.durable_at[h] for h, block in slow.block.items() if 3 in block["proposers"]]
    in_window = [at for at in times if window["start"] <= at < window["end"]]
    after = min(at for at in times if at >= window["end"])
    batches = json.loads((out / "client-0" / "load.json").read_text())["batches"]
    offered_at = [
        float(at)
        for at, (_, _, node) in zip(np.load(out / "client-0" / "transactions.npy")[0], batches, strict=True)
        if node == 3 and window["start"] <= at < window["end"]
    ]
    longest = max(min(at for at in times if at >= offered) - offered for offered in offered_at)
    assert summary["latency_s"]["max"] >= longest - 0.1, "a node writes its events after it has answered"

    latency, row = summary["latency_s"], summary["per_node"][3]
    assert summary["offered_tx"] == pytest.approx(40, abs=2)
    assert summary["offered_committed_tx"] == summary["offered_tx"] and summary["latency_at_least"] == []
    assert summary["drain_s"] >= after - window["end"] - 0.1
    assert row["blocks_with_proposal"] == len(in_window)
    only = f"only {len(in_window)} of {summary['epochs']}" if in_window else f"none of the {summary['epochs']}"
    missing = f"node 3's proposals are in {only} blocks"
    assert any(missing in line for line in summary["warnings"]) == (len(in_window) < summary["epochs"] / 2)
    text = result.stdout.decode()
    assert "backlog" in text and f"{latency['p99'] * 1000:,.1f}" in text
