"""Nodes whose client ports answer as a test says, and a certified chain for them to serve."""

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import zmq

from honeybadger.client import Cluster
from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.manifest import Manifest, Member, Runtime
from honeybadger.ledger import Block
from honeybadger.ledger.certificates import block_statement, signed_certificate
from honeybadger.network.client_protocol import (
    BLOCK_PART_BYTES,
    NO_SUCH_BLOCK,
    BlockPart,
    BlockQuery,
    Locate,
    Located,
    NoBlock,
    Reply,
    Request,
    Status,
    Submit,
    encoder,
    request_decoder,
)
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from support.ledger import chain_of_blocks
from support.requests import committed, submitted

HOST = "127.0.0.1"
#: what a scripted node does with a request: replies, or frames as they go over the wire; None is no reply
Script = Callable[[Request], Iterable[Reply | bytes | None]]


def frame(reply: Reply | bytes) -> bytes:
    """As it goes over the wire."""
    return reply if isinstance(reply, bytes) else encoder.encode(reply)


class ScriptedNodes:
    """One node for each script, on loopback, in one thread. `seen`: each node's requests. A script may be replaced."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.scripts = list(scripts)
        self.seen: list[list[Request]] = [[] for _ in scripts]
        self._context: Any = zmq.Context()
        self._sockets = [self._context.socket(zmq.ROUTER) for _ in scripts]
        self.members = []
        poller = zmq.Poller()
        for server in self._sockets:
            server.linger = 0
            self.members.append(Member(HOST, 1, server.bind_to_random_port(f"tcp://{HOST}"), "x" * 40))
            poller.register(server, zmq.POLLIN)
        self._running = True
        self._thread = threading.Thread(target=self._serve, args=(poller,))
        self._thread.start()

    def _serve(self, poller: zmq.Poller) -> None:
        while self._running:
            for server, _ in poller.poll(20):
                node = self._sockets.index(server)
                client, data = server.recv_multipart()
                request = request_decoder.decode(data)
                self.seen[node].append(request)
                for reply in self.scripts[node](request):
                    if reply is not None:
                        server.send_multipart([client, frame(reply)])

    def close(self) -> None:
        self._running = False
        self._thread.join()
        for server in self._sockets:
            server.close(0)
        self._context.term()


@contextmanager
def scripted(*scripts: Script) -> Iterator[tuple[ScriptedNodes, list[Member]]]:
    """Nodes that answer as their scripts say, and where they are."""
    nodes = ScriptedNodes(scripts)
    try:
        yield nodes, nodes.members
    finally:
        nodes.close()


def silent(request: Request) -> list[Reply]:
    """Answers nothing."""
    return []


def node_status(height: int) -> dict[str, Any]:
    """What a node at this height says of itself."""
    return {
        "height": height,
        "epoch": height + 1,
        "tip": "ab",
        "protocol": "honeybadger",
        "peers_connected": 3,
        "mempool": 7,
        "mempool_bytes": 700,
        "uptime_s": 1.5,
        "faults": [],
        "connections_cut": {},
    }


class Chain:
    """A cluster of `nodes` whose members are at `ports`, and a certified chain of it with `contents`."""

    def __init__(self, contents: list[list[bytes]], ports: Sequence[int], *, recovery: bool = True) -> None:
        faults = (len(ports) - 1) // 3
        addresses = [(HOST, 20_000 + node, port) for node, port in enumerate(ports)]
        runtime = Runtime(curve=False, recovery=recovery)
        self.manifest, self.keys = make_cluster(len(ports), faults, HoneyBadgerParameters(), addresses, runtime)
        self.blocks = chain_of_blocks(contents, self.manifest.chain_id)
        self.certificates = {block.header.height: self.certify(block) for block in self.blocks}

    def certify(self, block: Block) -> bytes:
        """A certificate that holds."""
        key, statement = self.manifest.public_keys.certificate, block_statement(block.header.hash)
        secrets = [keys.secret_keys.certificate for keys in self.keys[: key.threshold]]
        proof, _ = key.combine(statement, {i: secret.sign_share(statement) for i, secret in enumerate(secrets)})
        assert proof is not None
        return signed_certificate(proof)

    def forged(self, contents: list[list[bytes]]) -> list[Block]:
        """Blocks that could be the chain's, but are not."""
        return chain_of_blocks(contents, self.manifest.chain_id)


class Honest:
    """A script: a node with these blocks, by height, that commits nothing more; `certificates` by height."""

    def __init__(self, blocks: Sequence[Block], certificates: dict[int, bytes]) -> None:
        self.blocks = {block.header.height: block for block in blocks}
        self.certificates = certificates
        self._tickets = 0
        self._heights = {tx: block.header.height for block in blocks for tx in block.transactions()}

    def __call__(self, request: Request) -> list[Reply | None]:
        if isinstance(request, BlockQuery):
            return [self.part(request)]
        if isinstance(request, Locate):
            return [self.locate(request)]
        if isinstance(request, Submit):
            return [*self.submit(request)]
        status = self.status()
        return [] if status is None else [Status(request.request, status)]

    def status(self) -> dict[str, Any] | None:
        return node_status(max(self.blocks, default=0))

    def locate(self, query: Locate) -> Reply | None:
        return Located(query.request, self._heights.get(query.transaction, 0))

    def submit(self, request: Submit) -> list[Reply]:
        """Only what is committed already is answered."""
        heights = [self._heights.get(transaction) for transaction in submitted(request)]
        return [committed(request.request, height, 0, [p]) for p, height in enumerate(heights) if height]

    def part(self, query: BlockQuery) -> BlockPart | NoBlock | None:
        block = self.blocks.get(query.height)
        if block is None:
            return NoBlock(query.request, NO_SUCH_BLOCK)
        self._tickets += 1
        return BlockPart(
            query.request,
            query.height,
            query.offset,
            self._tickets,
            block.header.encode(),
            self.certificates.get(query.height, b""),
            len(block.body),
            block.body[query.offset : query.offset + BLOCK_PART_BYTES],
        )


def reached_at(manifest: Manifest, members: list[Member]) -> Manifest:
    """The same cluster with its members at other addresses."""
    manifest = copy.copy(manifest)
    manifest.members = members
    return manifest


@contextmanager
def scripted_cluster(chain: Chain, *scripts: Script, **options: Any) -> Iterator[tuple[Cluster, ScriptedNodes]]:
    """The cluster of `chain` as a client sees it, whose nodes answer as their scripts say."""
    with (
        scripted(*scripts) as (nodes, members),
        Cluster(reached_at(chain.manifest, members), curve=False, **options) as cluster,
    ):
        yield cluster, nodes
