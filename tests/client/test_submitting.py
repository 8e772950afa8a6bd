"""Submitting through nodes that lie, refuse, are silent, flood, die or return: what is confirmed is true."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from support.client import Chain, Script, ScriptedNodes, frame, scripted_cluster, silent
from support.requests import committed, refused, submitted

from honeybadger.client import ClientError, Cluster, ClusterError, Refused, Undecided
from honeybadger.client import cluster as cluster_module
from honeybadger.client import submission as submission_module
from honeybadger.network.client_protocol import (
    LONGEST_ANSWER,
    NO_SUCH_BLOCK,
    REQUEST_TRANSACTIONS,
    NoBlock,
    Reply,
    Status,
)
from honeybadger.network.client_protocol import Committed as CommittedReply

CHAIN = Chain([], [1, 2, 3, 4])


def commits(height: int) -> Script:
    """Commits everything at this height."""
    return lambda r: [committed(r.request, height, 1, list(range(len(submitted(r)))))]  # type: ignore[union-attr]


def refuses(reason: str) -> Script:
    return lambda r: [refused(r.request, reason, list(range(len(submitted(r)))))]  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def requests_begin_with_node_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a client that has begun with node 0 before."""
    monkeypatch.setattr(submission_module.random, "randrange", lambda n: 0)


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """By which patience is measured."""
    clock = Clock()
    monkeypatch.setattr(submission_module, "time", clock)
    return clock


def watch(cluster: Cluster, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """To which node the cluster sends a request, and when: a list that grows."""
    sent: list[tuple[float, int]] = []
    connections = cluster.submission._connections
    send = connections.send
    monkeypatch.setattr(connections, "send", lambda node, it: sent.append((clock.now, node)) or send(node, it))
    return sent


def step_until(cluster: Cluster, done: Callable[[], bool]) -> None:
    """However long it takes the nodes to answer."""
    for _ in range(1000):
        if done():
            return
        cluster.submission.step(0.05)
    pytest.fail("waited too long")


@contextmanager
def submitting(*scripts: Script, **options: Any) -> Any:
    with scripted_cluster(CHAIN, *scripts, **{"patience_s": 0.3, **options}) as both:
        yield both


def asked(nodes: ScriptedNodes) -> list[int]:
    """How many requests each node got."""
    return [len(seen) for seen in nodes.seen]


def test_f_plus_one_nodes_confirm() -> None:
    with submitting(*[commits(7)] * 4) as (cluster, nodes):
        assert cluster.submit([b"a", b"b"]) == [7, 7]
        assert sorted(asked(nodes)) == [0, 0, 1, 1], "not more than f+1 are asked while they answer"
        assert cluster.submit([]) == []
        many = [b"%d" % i for i in range(40 * REQUEST_TRANSACTIONS)]
        assert cluster.submit(many) == [7] * len(many)
        assert all(nodes.seen) and cluster.liars == {}


def test_positions_and_heights_are_kept_apart() -> None:
    def node(request: Any) -> list[Reply]:
        even = [p for p in range(len(submitted(request))) if p % 2 == 0]
        odd = [p for p in range(len(submitted(request))) if p % 2]
        return [committed(request.request, 5, 1, odd), committed(request.request, 6, 0, even)]

    with submitting(*[node] * 4) as (cluster, _):
        for _ in range(3):
            assert cluster.submit([b"0", b"1", b"2", b"3"]) == [6, 5, 6, 5]


def test_a_wrong_height_is_outvoted_and_named() -> None:
    with submitting(commits(7), commits(9), commits(7), commits(7)) as (cluster, nodes):
        assert cluster.submit([b"a"] * 3) == [7] * 3
        assert cluster.liars == {1: "it says that a transaction is in block 9, which is in block 7"}
        before = asked(nodes)[1]
        assert cluster.submit([b"b"]) == [7] and asked(nodes)[1] == before


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (lambda r: [b"\xc1"], "it sends what no node sends"),
        (lambda r: [frame(committed(r.request, 0, 1, [0]))], "it sends what no node sends"),
        (lambda r: [CommittedReply(r.request, 9, 1, b"\0\0\0")], "it sends what no node sends"),
        (lambda r: [committed(r.request, 9, 1, [0])] * 5000, "it answers more than it was asked"),
        (lambda r: [committed(r.request, 9, 1, [])], "it answers more than it was asked"),
        (lambda r: [Status(0, {})], "it answers what it was not asked"),
        (lambda r: [NoBlock(0, NO_SUCH_BLOCK)] * 5000, "it answers what it was not asked"),
        (silent, ""),
        (refuses("full"), ""),
        (lambda r: [bytes(LONGEST_ANSWER + 1)], ""),
        (lambda r: [committed(r.request + 10**6, 9, 1, [0])], None),
        (lambda r: [committed(r.request, 9, 1, [60_000])], None),
        (lambda r: [committed(r.request, 9, 1, [65_535])], None),
    ],
    ids=[
        *("malformed", "height 0", "half a position", "floods", "empty", "status", "floods with others"),
        *("silent", "full", "too long", "of another request", "of no position", "of the last position"),
    ],
)
def test_others_are_asked_in_the_place_of_a_liar_and_of_one_that_does_not_confirm(
    node: Script, why: str | None
) -> None:
    """`why`: it is called a liar; "": it is not; None: it may be, for in the end it answers more than it was asked."""
    with submitting(commits(7), node, commits(7), commits(7)) as (cluster, _):
        for number in range(4):
            assert cluster.submit([b"%d" % number]) == [7]
        assert why is None or cluster.liars == ({1: why} if why else {})


@pytest.mark.parametrize("node", [lambda r: [b"\xc1"], lambda r: [Status(0, {})], refuses("full")])
def test_nobody_waits_for_a_liar_nor_for_one_that_refuses(node: Script, clock: Clock) -> None:
    """The clock stands still, so nobody's patience ends."""
    with submitting(commits(7), node, commits(7), commits(7)) as (cluster, _):
        for number in range(4):
            assert cluster.submit([b"%d" % number]) == [7]


def test_a_silent_node_is_asked_last_from_then_on(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    with submitting(commits(7), silent, commits(7), commits(7), patience_s=1.0) as (cluster, _):
        sent = watch(cluster, clock, monkeypatch)
        cluster.submission.add([b"a"])
        step_until(cluster, lambda: bool(cluster.submission._batches and cluster.submission._batches[0].heights))
        assert sent == [(0.0, 1), (0.0, 2)]
        clock.now = 1.5
        step_until(cluster, lambda: not cluster.submission.busy)
        # The clock stands still: what was sent to the silent node now would never be confirmed.
        for number in range(8):
            assert cluster.submit([b"%d" % number]) == [7]
        assert [node for _, node in sent].count(1) == 1


def test_a_node_that_returns_is_asked_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """All were dead and have forgotten what they were sent."""
    with submitting(*[silent] * 4, patience_s=1.0) as (cluster, nodes):
        sent = watch(cluster, clock, monkeypatch)
        cluster.submission.add([b"a"])
        for second in range(20):
            clock.now = second
            cluster.submission.step(0.0)
        assert [at for at, _ in sent] == [0, 0, 1, 2, 4, 6, 8, 10, 14, 18], "at longer and longer intervals"
        assert [node for _, node in sent] == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2] and cluster.submission.undecided == 1
        step_until(cluster, lambda: sum(asked(nodes)) == len(sent))
        nodes.scripts[0] = nodes.scripts[3] = commits(7)
        for clock.now in (22.0, 26.0):
            cluster.submission.step(0.0)
        step_until(cluster, lambda: not cluster.submission.busy)
        assert cluster.submission.outcomes == {0: 7} and [node for _, node in sent[10:]] == [3, 0]


def test_if_too_few_take_it_it_is_refused() -> None:
    with submitting(commits(7), refuses("full"), refuses("silent"), refuses("full")) as (cluster, _):
        with pytest.raises(Refused, match=r"1 transaction refused: (full|silent)") as caught:
            cluster.submit([b"a"])
        assert len(caught.value.outcomes) == 1 and caught.value.outcomes[0] in ("full", "silent")


def test_a_time_out_tells_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_only(request: Any) -> list[Reply]:
        return [committed(request.request, 4, 1, [0])]

    with submitting(first_only, first_only, first_only, silent) as (cluster, nodes):
        clock, step = Clock(), cluster.submission.step

        def wait(wait_s: float) -> bool:
            # Time passes as soon as there is something to tell, as fast as it is waited for.
            clock.now += wait_s if cluster.submission.outcomes else 0.0
            return step(0.01)

        monkeypatch.setattr(cluster_module, "time", clock)
        monkeypatch.setattr(cluster.submission, "step", wait)
        with pytest.raises(Undecided, match=r"1 transaction not confirmed within 0.5 s") as caught:
            cluster.submit([b"a", b"b"], timeout_s=0.5)
        assert caught.value.outcomes == [4, None] and clock.now == pytest.approx(0.5)
        assert isinstance(caught.value, TimeoutError)
        # What comes late is of no harm to the next.
        nodes.scripts[:] = [commits(8)] * 4
        assert cluster.submit([b"c"]) == [8] and cluster.liars == {}


def test_late_answers_are_nobodys() -> None:
    """The answers to a call that has timed out do not answer the next one."""
    first: list[int] = []

    def late(request: Any) -> list[Reply]:
        if submitted(request) == [b"a"]:
            first.append(request.request)
            return []
        return [committed(first[0], 3, 1, [0])]

    with submitting(*[late] * 4) as (cluster, _):
        for transaction in (b"a", b"b"):
            with pytest.raises(Undecided):
                cluster.submit([transaction], timeout_s=0.5)
        assert cluster.liars == {}


def test_with_too_few_left_it_gives_up() -> None:
    with submitting(*[lambda r: [b"\xc1"]] * 4) as (cluster, _):
        with pytest.raises(ClientError, match="those left are too few"):
            cluster.submit([b"a"])
        assert len(cluster.liars) >= 3


def test_a_trusted_node_confirms_alone() -> None:
    with submitting(silent, silent, commits(3), silent, nodes=[2], confirmations=1) as (cluster, nodes):
        assert cluster.submit([b"a"]) == [3] and asked(nodes) == [0, 0, 1, 0]


def test_what_no_node_takes_is_not_sent() -> None:
    with submitting(*[silent] * 4) as (cluster, nodes):
        for transaction in (b"", bytes(CHAIN.manifest.parameters.max_tx_bytes + 1)):
            with pytest.raises(ValueError, match="65536 are allowed"):
                cluster.submit([b"a", transaction])
        assert not any(nodes.seen)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nodes": [4]}, "node 4 is not in the manifest"),
        ({"nodes": [-1]}, "node -1 is not in the manifest"),
        ({"nodes": [1]}, "1 node cannot give 2 confirmations"),
        ({"nodes": [1, 1]}, "1 node cannot give 2 confirmations"),
        ({"nodes": []}, "0 nodes cannot give 2"),
        ({"confirmations": 0}, "cannot give 0 confirmations"),
        ({"confirmations": 5}, "4 nodes cannot give 5"),
    ],
)
def test_misuse_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ClusterError, match=says):
        Cluster(CHAIN.manifest, **options)


def test_memory_is_bounded_whoever_is_silent() -> None:
    """What cannot be sent yet waits here, once; a node's queue holds as many requests as are open."""
    with submitting(*[silent] * 4, patience_s=0.01) as (cluster, _):
        cluster.submission.add([b"%d" % i for i in range(50 * REQUEST_TRANSACTIONS)])
        for _ in range(50):
            cluster.submission.step(0.01)
        assert len(cluster.submission._batches) == submission_module.WINDOW and cluster.submission.full
        assert all(
            cluster.submission._connections.client(node).socket.sndhwm == submission_module.WINDOW for node in range(4)
        )
