"""Real nodes against a member that has real keys and no manners, and against strangers (scenarios 22 and 23)."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psutil
import pytest
import zmq
from support.network import Speaker
from support.nodes.cluster_harness import Cluster, running, wait_until
from support.requests import submit

from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Runtime
from honeybadger.network.arrivals import Arrivals
from honeybadger.network.client_protocol import Committed, StatusRequest, encoder, reply_decoder
from honeybadger.network.codec import DATA, FORGET, HELLO, Codec, Header, Hello
from honeybadger.network.security import (
    NODES_DOMAIN,
    Credentials,
    ZapHandler,
    secure_client,
    secure_peer,
    secure_server,
)
from honeybadger.node.block_messages import BLOCK_MESSAGES, BlockRequest, BlockShare, CertificateRequest
from honeybadger.protocols.honey_badger.messages import Aux, BVal, Ready, Term
from honeybadger.protocols.wire import Message

pytestmark = pytest.mark.processes

EVIL = 3
HONEST = (0, 1, 2)
#: an attack goes on while clients are served, and so long at least; with as much growth of an honest node
#: a peer may have 64 MiB wait here unread
ATTACKS_S = [(0.3, 96 << 20), pytest.param(5.0, 96 << 20, marks=pytest.mark.soak)]


class HostileMember:
    """Node 3: one thread that owns its sockets, greets, and repeats the attack it was given to every honest node."""

    def __init__(self, cluster: Cluster) -> None:
        manifest = cluster.manifest
        keys = NodeKeys.load(cluster.directory / f"node-{EVIL}" / "keys.toml", manifest)
        public = [member.public_key for member in manifest.members]
        self._credentials = Credentials(EVIL, public[EVIL], keys.curve_secret_key, public, True)
        self._members = manifest.members
        self.codec = Codec((*manifest.specification.message_types, *BLOCK_MESSAGES), manifest.sizes.message)
        self.greeting = self.codec.encode_hello(Hello(manifest.chain_id, manifest.settings))
        self.rng = random.Random(3)
        #: the honest nodes' sessions, the own ones, and the entries sent in them
        self.theirs: dict[int, int] = {}
        self.mine: dict[int, int] = {}
        self.entries: dict[int, int] = {}
        self.sent = 0
        self.attack: Callable[[HostileMember, int], Sequence[bytes]] | None = None
        self._failure: BaseException | None = None
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def new_session(self) -> int:
        return self.rng.getrandbits(62) + 1

    def hello(self, node: int, session: int, settings: dict[str, str] | None = None) -> list[bytes]:
        """The right greeting, or that of another chain with these settings."""
        self.mine[node], self.entries[node] = session, 0
        greeting = self.greeting if settings is None else self.codec.encode_hello(Hello(bytes(32), settings))
        return [Header(HELLO, session, 1, 1, 0, 0, 9, 0).encode(), greeting]

    def data(self, node: int, *entries: bytes, ack: int = 0, horizon: int = 9, durable: int = 0) -> list[bytes]:
        """In sequence, so that it is taken."""
        first = self.entries[node] + 1
        self.entries[node] += len(entries)
        head = Header(DATA, self.mine[node], first, 1, self.theirs.get(node, 0), ack, horizon, durable)
        return [head.encode(), *entries]

    def _run(self) -> None:
        context: Any = zmq.Context()
        zap = ZapHandler(context, self._credentials)
        router = context.socket(zmq.ROUTER)
        secure_server(router, self._credentials, NODES_DOMAIN)
        router.bind(f"tcp://127.0.0.1:{self._members[EVIL].port}")
        arrivals = Arrivals(router, self._credentials)
        speakers: dict[int, Speaker] = {}

        def step() -> None:
            zap.serve()
            self._listen(router, arrivals)

        current = None
        try:
            while self._running:
                step()
                for node in HONEST:
                    if node not in speakers or speakers[node].gone():
                        if node in speakers:
                            speakers.pop(node).close()
                        speakers[node] = self._connect(context, node).open(step)
                        if current is not None:
                            speakers[node].send(*self.hello(node, self.new_session()))
                if self.attack is not current:
                    current = self.attack
                    for node, speaker in speakers.items():
                        speaker.send(*self.hello(node, self.new_session()))
                for node, speaker in speakers.items():
                    if current is not None and speaker.socket.poll(1, zmq.POLLOUT):
                        speaker.send(*current(self, node))
                        self.sent += 1
                if current is None:
                    time.sleep(0.001)
        except BaseException as error:
            self._failure = error
        finally:
            context.destroy(0)

    def _connect(self, context: Any, node: int) -> Speaker:
        return Speaker(context, self._credentials, node, self._members[node].port, sndhwm=50)

    def _listen(self, router: Any, arrivals: Arrivals) -> None:
        while router.poll(0):
            name, *frames = router.recv_multipart(copy=False)
            arrived = arrivals.take(name.bytes, frames)
            if arrived is not None and arrived[1][0]:
                self.theirs[arrived[0]] = Header.decode(arrived[1][0]).session


def wild(value: object) -> bytes:
    """An entry that no codec of ours would make."""
    return msgspec.msgpack.encode([value])


def extreme_numbers(evil: HostileMember, node: int) -> Sequence[bytes]:
    edge = (0, 1, FORGET - 1, FORGET, FORGET + 1, 2**63 - 1, 2**63)
    return evil.data(node, ack=evil.rng.choice(edge), horizon=evil.rng.choice(edge), durable=evil.rng.choice(edge))


def one_epoch(evil: HostileMember, node: int) -> Sequence[bytes]:
    """Messages that are in order, each many times, for whatever epochs the node is in."""
    rng = evil.rng
    epoch, proposer, number = rng.randrange(60), rng.randrange(4), rng.randrange(121)
    messages: list[Message] = [BVal(epoch, proposer, number, value) for value in (True, False)]
    messages += [Aux(epoch, proposer, number, True), Ready(epoch, proposer, bytes(32)), Term(epoch, proposer, False)]
    return evil.data(node, evil.codec.encode(messages * 20))


QUESTIONS = [BlockRequest(0, 1, 4), BlockRequest(0, 2**32 - 1, 4), CertificateRequest(0, 2**32 - 1)] * 20
ATTACKS: dict[str, Callable[[HostileMember, int], Sequence[bytes]]] = {
    "random frames": lambda evil, node: [evil.rng.randbytes(evil.rng.randrange(200)) for _ in range(3)],
    "random entries": lambda evil, node: evil.data(node, *[evil.rng.randbytes(60) for _ in range(20)]),
    "declared lengths": lambda evil, node: evil.data(node, b"\xdd\xff\xff\xff\xff", b"\x91\xc6\xff\xff\xff\xff"),
    "oversized": lambda evil, node: evil.data(node, bytes(evil.codec.longest_part + 100)),
    "thousands of parts": lambda evil, node: evil.data(node, *[b"\x90"] * 5000),
    "wrong greeting": lambda evil, node: evil.hello(node, 9, {"é\n": "\x1b[2J" * 9}),
    "changing greetings": lambda evil, node: evil.hello(node, evil.new_session(), {str(evil.rng.random()): "x"}),
    "changing sessions": lambda evil, node: evil.hello(node, evil.new_session()),
    "extreme numbers": extreme_numbers,
    "empty messages": lambda evil, node: evil.data(node),
    "one epoch": one_epoch,
    "block requests": lambda evil, node: evil.data(node, evil.codec.encode(QUESTIONS)),
    "certificate shares": lambda evil, node: evil.data(
        node, *[evil.codec.encode([BlockShare(1, height, bytes(32), bytes(48))] * 20) for height in (1, 64, 2**32 - 1)]
    ),
    "huge counts": lambda evil, node: evil.data(
        node, wild([102, 0, 1, 2**32]), wild([102, 0, 2**32, 1]), wild([5, 2**53 + 1, 0, 0, True]), wild([103, -1, b""])
    ),
}


@contextmanager
def raw_client(cluster: Cluster, name: bytes) -> Iterator[Any]:
    """A client socket with the right keys that gives itself a name, for requests that `NodeClient` would not send."""
    member, context = cluster.manifest.members[0], zmq.Context()
    client: Any = context.socket(zmq.DEALER)
    client.setsockopt(zmq.ROUTING_ID, name)
    secure_client(client, member.public_key, True)
    client.connect(f"tcp://127.0.0.1:{member.client_port}")
    try:
        yield client
    finally:
        context.destroy(0)


def submit_everywhere(cluster: Cluster) -> None:
    for node in HONEST:
        cluster.commit(node, 10)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # What is kept for a peer that acknowledges nothing is no growth that this test is about.
    runtime = Runtime(held_bytes_per_peer=24 << 20)
    with running(tmp_path_factory.mktemp("hostile") / "c", start=HONEST, runtime=runtime) as made:
        submit_everywhere(made)
        yield made
        assert {made.processes[node].exit_status for node in HONEST} == {None}


def check(cluster: Cluster, accused: set[int]) -> None:
    """All alive, nobody else accused."""
    for node in HONEST:
        assert cluster.processes[node].exit_status is None, cluster.processes[node].last_words
        status = cluster.status(node, timeout=30)
        assert status is not None
        assert {fault[0] for fault in status["faults"]} <= accused


@pytest.fixture(scope="module")
def evil(cluster: Cluster) -> Iterator[HostileMember]:
    made = HostileMember(cluster)
    wait_until(lambda: set(HONEST) <= made.theirs.keys())
    yield made
    made.stop()


def test_strangers_get_nowhere(cluster: Cluster) -> None:
    """Before anything else happens on this cluster: nothing of this costs anybody a fault."""
    context: Any = zmq.Context()
    member = cluster.manifest.members[0]
    public, secret = zmq.curve_keypair()
    noise = random.Random(1)
    greeting = Header(HELLO, 5, 1, 1, 0, 0, 2**63, 2**63).encode()
    handshake = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE"
    for port in (member.port, member.client_port):
        for first in (b"GET / HTTP/1.1\r\n\r\n", handshake, b"\xff" * 4096, noise.randbytes(9999)):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(first)
        for curve in (False, True) if port == member.port else (False,):
            stranger = context.socket(zmq.DEALER)
            stranger.linger = 0
            stranger.setsockopt(zmq.ROUTING_ID, b"1")
            if curve:
                secure_peer(stranger, Credentials(1, public.decode(), secret.decode(), [member.public_key], True), 0)
            else:
                stranger.plain_username, stranger.plain_password = b"1", b"x"
            stranger.connect(f"tcp://127.0.0.1:{port}")
            for _ in range(20):
                stranger.send_multipart([greeting, noise.randbytes(50)])
            if port == member.port and curve:
                wait_until(lambda: "refused a connection from" in cluster.processes[0].log.read_text())
            elif port != member.port:
                stranger.send(encoder.encode(StatusRequest(1)))
                assert not stranger.poll(500), "answered without CURVE"
            stranger.close()
    context.term()
    submit_everywhere(cluster)
    check(cluster, set())


def test_a_client_cannot_take_over_the_name_of_another(cluster: Cluster) -> None:
    with raw_client(cluster, b"the same") as first:
        first.send(encoder.encode(StatusRequest(1)))
        assert first.poll(30_000)
        first.recv()
        with raw_client(cluster, b"the same") as second:
            second.send(encoder.encode(StatusRequest(1)))
            assert not second.poll(1000)
            first.send(encoder.encode(submit(5, [b"mine " + os.urandom(20)])))
            assert first.poll(30_000)
            assert isinstance(reply_decoder.decode(first.recv()), Committed)
            assert not second.poll(0)


def test_malformed_requests_of_clients(cluster: Cluster) -> None:
    lengths = (b"\x93\x01\x01\xc6\xff\xff\xff\xff", b"\x93\x01\x01\xc4\x04\xff\xff\xff\xff")
    with raw_client(cluster, b"malformed") as client:
        for body in (b"", *lengths, b"\x91" * 100_000, b"\xc1"):
            client.send(body)
        client.send_multipart([b""] * 5000)
        client.send_multipart([encoder.encode(StatusRequest(1)), b""])
        client.send(encoder.encode(submit(2, [b"", b"x" * 70_000])))
        client.send(encoder.encode(StatusRequest(3)))
        numbers = []
        while 3 not in numbers:
            assert client.poll(30_000)
            numbers.append(reply_decoder.decode(client.recv()).request)
        assert set(numbers) == {2, 3}
    submit_everywhere(cluster)
    check(cluster, set())


@pytest.mark.parametrize(("seconds", "growth"), ATTACKS_S, ids=["short", "long"])
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_of_a_member(cluster: Cluster, evil: HostileMember, name: str, seconds: float, growth: int) -> None:
    """While the attack goes on, clients of all three are served; then memory and logs have hardly grown."""

    honest = [cluster.processes[node] for node in HONEST]

    def sizes() -> list[tuple[int, int]]:
        """Resident bytes, and those of the log, of each."""
        return [(psutil.Process(each.pid).memory_info().rss, each.log.stat().st_size) for each in honest]

    before, sent = sizes(), evil.sent
    evil.attack = ATTACKS[name]
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until or evil.sent < sent + 30:
            submit_everywhere(cluster)
    finally:
        evil.attack = None
    check(cluster, {EVIL})
    for (memory, log), (memory_before, log_before) in zip(sizes(), before, strict=True):
        assert memory - memory_before < growth and log - log_before < 20_000
