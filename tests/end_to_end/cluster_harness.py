"""Real node processes over real sockets, for tests."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zmq

from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.cluster.processes import NodeProcess, free_ports
from honeybadger.ledger.block import Block
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Committed, Status, StatusRequest, Submit
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.parameters import Parameters

PATIENCE_S = 60.0


def run_command(*arguments: str, stdin: bytes = b"", timeout: float = 120) -> subprocess.CompletedProcess[bytes]:
    """Run `honeybadger …` as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "honeybadger.cli.main", *arguments],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
    )


def one_line_error(result: subprocess.CompletedProcess[bytes]) -> str:
    """The error text; fails if the command succeeded, or said more than a line (click's usage hint aside)."""
    text = result.stderr.decode()
    assert result.returncode not in (0, None), f"succeeded: {result.stdout!r}"
    assert "Traceback" not in text, text
    errors = [line for line in text.splitlines() if line.lower().startswith("error:")]
    assert len(errors) == 1, text
    return errors[0]


class Cluster:
    """N node processes on loopback in `directory`, whose links suffer `faults`."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 4,
        runtime: Runtime | None = None,
        faults: Sequence[LinkFault] = (),
        **parameters: int | str,
    ) -> None:
        self.directory = directory
        ports = free_ports(3 * nodes)
        addresses = [("127.0.0.1", ports[2 * i], ports[2 * i + 1]) for i in range(nodes)]
        chosen = Parameters(**{"max_proposal_bytes": 1 << 20, "batch_size": 200, **parameters})
        manifest, keys = make_cluster(
            nodes, (nodes - 1) // 3, chosen, addresses, runtime or Runtime(), http_ports=ports[2 * nodes :]
        )
        self.manifest = manifest.with_faults(faults)
        write_cluster(directory, self.manifest, keys)
        self.processes: dict[int, NodeProcess] = {}
        self._context = zmq.Context()
        self._clients: dict[int, NodeClient] = {}
        self._submissions: list[Submission] = []

    @property
    def manifest_path(self) -> Path:
        return self.directory / "cluster.toml"

    def start(self, *indices: int, **process: tuple[str, ...]) -> None:
        """Start the given nodes, or all; `process` goes to `NodeProcess`."""
        for index in indices or range(len(self.manifest.members)):
            self.processes[index] = NodeProcess(self.directory, index, **process)

    def start_steered(self, *indices: int) -> None:
        """Start the given nodes, or all; the clock of their link faults stands where `steer` puts it, first at 0."""
        if not self._steering.exists():
            self.steer(0)
        self.start(*indices, program=(str(Path(__file__).with_name("steered_node.py")), str(self._steering)))

    def steer(self, second: float) -> None:
        """Move the clock of the link faults of all steered nodes (it also runs by itself)."""
        written = self._steering.with_suffix(".new")
        written.write_text(str(second))
        written.replace(self._steering)

    @property
    def _steering(self) -> Path:
        return self.directory / "steering.txt"

    def client(self, index: int) -> NodeClient:
        if index not in self._clients:
            self._clients[index] = self.new_client(index)
        return self._clients[index]

    def new_client(self, index: int) -> NodeClient:
        """Another client of a node, to be closed by the caller."""
        member = self.manifest.members[index]
        return NodeClient(self._context, member.host, member.client_port, member.public_key)

    def offer(self, index: int, transactions: Sequence[bytes]) -> Submission:
        """Submit without waiting, over a client of its own."""
        submission = Submission(self.new_client(index), transactions)
        self._submissions.append(submission)
        return submission

    def events(self, index: int, *kinds: str) -> list[dict]:
        """What the node has reported, of these kinds (or all); a line that a kill cut short is left out."""
        found = []
        for line in self.processes[index].events.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                try:
                    event = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    continue
                if not kinds or event["event"] in kinds:
                    found.append(event)
        return found

    def accused(self, *indices: int) -> set[tuple[int, int, str, str]]:
        """(by whom, node, kind, detail) of all faults that these nodes (or all) ever recorded."""
        chosen = indices or tuple(self.processes)
        return {
            (index, event["node"], event["kind"], event["detail"])
            for index in chosen
            for event in self.events(index, "fault")
        }

    def height(self, index: int) -> int:
        """The durable height, 0 if the node does not answer."""
        return (self.status(index) or {"height": 0})["height"]

    def status(self, index: int, timeout: float = 1.0) -> dict | None:
        """The node's status; replies to other requests are skipped."""
        client = self.client(index)
        client.send(StatusRequest(0))
        limit = time.monotonic() + timeout
        while (left := limit - time.monotonic()) > 0:
            reply = client.receive(left)
            if isinstance(reply, Status):
                return reply.status
        return None

    def wait_connected(self, *indices: int, peers: int | None = None) -> None:
        """Until each node has connections to all the others that are given."""
        chosen = indices or tuple(range(len(self.manifest.members)))
        wanted = len(chosen) - 1 if peers is None else peers
        for index in chosen:
            wait_until(lambda i=index: (s := self.status(i)) is not None and s["peers_connected"] >= wanted)

    def submit(self, index: int, transactions: Sequence[bytes], request: int = 1) -> dict[int, int]:
        """Submit and wait until all are committed: position → height."""
        client = self.client(index)
        client.send(Submit(request, list(transactions)))
        heights: dict[int, int] = {}
        limit = time.monotonic() + PATIENCE_S
        while len(heights) < len(transactions):
            reply = client.receive(max(0.01, limit - time.monotonic()))
            assert reply is not None, f"{len(transactions) - len(heights)} transactions unanswered"
            if isinstance(reply, Committed) and reply.request == request:
                heights.update(dict.fromkeys(reply.positions, reply.height))
        return heights

    def wait_height(self, height: int, *indices: int) -> None:
        for index in indices or self.processes:
            wait_until(lambda i=index: (s := self.status(i)) is not None and s["height"] >= height)

    def blocks(self, index: int) -> list[Block]:
        """The node's ledger, read from its file."""
        store = SQLiteStore(self.processes[index].data / "ledger.sqlite", read_only=True)
        try:
            return list(store.iter_blocks())
        finally:
            store.close()

    def transactions(self, index: int) -> list[bytes]:
        return [tx for block in self.blocks(index) for tx in block.transactions()]

    def stop(self) -> dict[int, int]:
        """Stop all processes: node → exit status."""
        for client in (*self._clients.values(), *(submission.client for submission in self._submissions)):
            client.close()
        self._clients.clear()
        for process in self.processes.values():
            process.terminate()
        return {index: process.wait(30) for index, process in self.processes.items()}


class Submission:
    """Transactions on their way through one node; what it answers is looked at when asked. For one thread."""

    _numbers = itertools.count(1)

    def __init__(self, client: NodeClient, transactions: Sequence[bytes]) -> None:
        self.client = client
        self.transactions = list(transactions)
        #: transaction → height, of those that were acknowledged
        self.committed: dict[bytes, int] = {}
        self._requests: dict[int, list[bytes]] = {}
        self.submit()

    def submit(self) -> None:
        """Send what is not acknowledged (again: a node that was killed has forgotten it)."""
        left = [tx for tx in self.transactions if tx not in self.committed]
        if left:
            number = next(self._numbers)
            self._requests[number] = left
            self.client.send(Submit(number, left))

    def unanswered(self) -> int:
        """How many transactions are not acknowledged yet."""
        while (reply := self.client.receive_now()) is not None:
            if isinstance(reply, Committed) and reply.request in self._requests:
                sent = self._requests[reply.request]
                self.committed.update((sent[position], reply.height) for position in reply.positions)
        return len(self.transactions) - len(self.committed)

    def wait(self) -> int:
        """Until all are acknowledged; the highest block that holds one."""
        wait_until(lambda: not self.unanswered())
        return max(self.committed.values())


@contextmanager
def steered(
    directory: Path, nodes: int, faults: Sequence[LinkFault], runtime: Runtime | None = None, **parameters: int | str
) -> Iterator[Cluster]:
    """A cluster whose nodes are running and connected, and whose link faults begin and end when the test says so."""
    cluster = Cluster(directory, nodes, runtime, faults, **parameters)
    try:
        cluster.start_steered()
        cluster.wait_connected()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def running(
    directory: Path,
    nodes: int = 4,
    start: Sequence[int] | None = None,
    runtime: Runtime | None = None,
    **parameters: int | str,
) -> Iterator[Cluster]:
    """A cluster whose nodes (or those in `start`) are running and connected."""
    cluster = Cluster(directory, nodes, runtime, **parameters)
    try:
        cluster.start(*(start or ()))
        cluster.wait_connected(*(start or ()))
        yield cluster
    finally:
        cluster.stop()


def wait_until(condition: Callable[[], bool], timeout: float = PATIENCE_S) -> None:
    """Fail if `condition` does not come true in time."""
    limit = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.05)


def random_transactions(count: int, size: int = 100) -> list[bytes]:
    return [os.urandom(size) for _ in range(count)]


def same_prefix(chains: Sequence[list[Block]]) -> int:
    """Height up to which all ledgers have the same blocks; fails if two differ where both have one."""
    shortest = min(map(len, chains))
    for height in range(shortest):
        assert len({chain[height].header.hash for chain in chains}) == 1, f"ledgers differ at height {height + 1}"
    return shortest


def edited_manifest(manifest: Manifest, path: Path, **changes: object) -> Path:
    """A copy of a manifest with consensus settings changed."""
    changed = Manifest(msgspec.structs.replace(manifest.consensus, **changes), manifest.members, manifest.runtime)
    changed.save(path)
    return path


class CuttingProxy:
    """A TCP proxy on loopback that can cut every connection it carries, at any byte; targets take turns."""

    def __init__(self, *target_ports: int) -> None:
        self._targets = itertools.cycle(target_ports)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = True
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Close all connections; returns how many."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        return len(pairs)

    def close(self) -> None:
        self._open = False
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while self._open:
            try:
                inner, _ = self._server.accept()
            except OSError:
                return
            try:
                outer = socket.create_connection(("127.0.0.1", next(self._targets)))
            except OSError:
                inner.close()
                continue
            self._pairs.append((inner, outer))
            for source, sink in ((inner, outer), (outer, inner)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.carried += len(data)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
