"""Real node processes over real sockets, for tests."""

from __future__ import annotations

import io
import itertools
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
import zmq

from honeybadger.cli.main import main
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Runtime
from honeybadger.cluster.processes import NodeProcess, WatchProcess, free_ports
from honeybadger.ledger.block import Block
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Committed, Reply, Status, StatusRequest
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.registry import find_protocol
from support.requests import positions_of, submit

PATIENCE_S = 60.0
#: of requests to nodes
_numbers = itertools.count(1)
PROGRAM = (sys.executable, "-m", "honeybadger.cli.main")


def run_command(*arguments: str, stdin: bytes = b"", timeout: float = 120) -> subprocess.CompletedProcess[bytes]:
    """Run `honeybadger …` as a user would."""
    return subprocess.run([*PROGRAM, *arguments], input=stdin, capture_output=True, timeout=timeout, check=False)


def quick_command(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`run_command` in this process, for the many commands that take less time than an interpreter needs to start."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    with TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        argv = ["honeybadger", *arguments]
        with (
            patch.multiple(sys, argv=argv, stdin=io.TextIOWrapper(file), stdout=out, stderr=err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    err.flush()
    return subprocess.CompletedProcess(argv, ended.value.code, out.buffer.getvalue(), err.buffer.getvalue())


def failing(failure: str, *arguments: object) -> tuple[str, ...]:
    """The program of a node that fails on purpose, as failing_node.py says."""
    return (str(Path(__file__).with_name("failing_node.py")), failure, *map(str, arguments))


def local_summary(*options: str, timeout: float = 120) -> dict[str, Any]:
    """What `honeybadger local … --json` prints about a run that succeeds."""
    result = run_command("local", "--json", *options, timeout=timeout)
    assert result.returncode == 0, result.stderr
    return msgspec.json.decode(result.stdout)


@contextmanager
def background_command(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`honeybadger …` while the test goes on, with `options` of Popen; killed in the end if need be."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen([*PROGRAM, *arguments], **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


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
        ports = free_ports(2 * nodes)
        addresses = [("127.0.0.1", ports[2 * i], ports[2 * i + 1]) for i in range(nodes)]
        record = find_protocol(str(parameters.get("protocol", "honeybadger"))).parameters
        chosen = record(**{"max_proposal_bytes": 1 << 20, "batch_size": 200, **parameters})
        manifest, keys = make_cluster(nodes, (nodes - 1) // 3, chosen, addresses, runtime or Runtime())
        self.manifest = manifest.with_faults(faults)
        write_cluster(directory, self.manifest, keys)
        self.processes: dict[int, NodeProcess] = {}
        self._context = zmq.Context()
        self._clients: dict[int, NodeClient] = {}
        self._submissions: list[Submission] = []
        #: where `mark` was called: lengths of logs and events, and the height
        self._read: dict[Path, int] = {}
        self._passed = 0
        self._steering = directory / "steering.txt"
        self.steered_to = 0.0

    @property
    def manifest_path(self) -> Path:
        return self.directory / "cluster.toml"

    # -- processes -----------------------------------------------------------------------------------------

    def start(self, *indices: int, **process: tuple[str, ...]) -> None:
        """Start the given nodes, or all; `process` goes to `NodeProcess`."""
        if self._steering.exists():
            process = {"program": failing("steered", self._steering), **process}
        for index in indices or range(len(self.manifest.members)):
            self.processes[index] = NodeProcess(self.directory, index, **process)

    def watch(self) -> WatchProcess:
        """Start the watcher; to be closed by the caller."""
        return WatchProcess(self.directory, free_ports(1)[0], curve=True)

    def steer(self, second: float) -> None:
        """Move the clock of the link faults of all nodes that are started after the first call. It also runs by
        itself."""
        self.steered_to = second
        written = self._steering.with_suffix(".new")
        written.write_text(str(second))
        written.replace(self._steering)

    def mend(self) -> None:
        """Start the nodes that have ended, and wait until all are connected and have the same ledger."""
        for index, process in self.processes.items():
            if process.exit_status is not None:
                self.start(index)
        self.wait_connected()
        self.wait_height(max(map(self.height, self.processes)))

    def go_on(self, sent: Iterable[bytes]) -> list[Block]:
        """`mend`; then every node commits something, and all `agree`."""
        self.mend()
        return self.agree([*sent, *(tx for index in self.processes for tx in self.commit(index, 5))])

    def stop(self, *indices: int) -> dict[int, int]:
        """Stop these processes, or all and their clients: node → exit status."""
        if not indices:
            for client in (*self._clients.values(), *(submission.client for submission in self._submissions)):
                client.close()
            self._clients.clear()
        chosen = indices or tuple(self.processes)
        for index in chosen:
            self.processes[index].terminate()
        return {index: self.processes[index].wait(30) for index in chosen}

    # -- clients -------------------------------------------------------------------------------------------

    def client(self, index: int) -> NodeClient:
        if index not in self._clients:
            self._clients[index] = self._new_client(index)
        return self._clients[index]

    def _new_client(self, index: int) -> NodeClient:
        member = self.manifest.members[index]
        return NodeClient(self._context, member.host, member.client_port, member.public_key)

    def offer(self, index: int, transactions: Sequence[bytes]) -> Submission:
        """Submit without waiting, over a client of its own."""
        submission = Submission(self._new_client(index), transactions)
        self._submissions.append(submission)
        return submission

    def submit(self, index: int, transactions: Sequence[bytes]) -> int:
        """Submit and wait until all are committed; the highest block that holds one."""
        return Submission(self.client(index), transactions).wait()

    def commit(self, index: int, count: int = 20, size: int = 100) -> list[bytes]:
        """Submit random transactions, wait until they are committed, and return them."""
        transactions = random_transactions(count, size)
        self.submit(index, transactions)
        return transactions

    def grow(self, blocks: int, *indices: int, count: int = 20, size: int = 100) -> list[bytes]:
        """Commit at all these nodes until the first has that many more blocks; return what was committed."""
        top = self.height(indices[0]) + blocks
        sent: list[bytes] = []
        while self.height(indices[0]) < top:
            offers = [Submission(self.client(index), random_transactions(count, size)) for index in indices]
            for offer in offers:
                offer.wait()
                sent += offer.transactions
        return sent

    def outlive(self, index: int, size: int = 100) -> list[bytes]:
        """Commit at the nodes before this one in turn until it has ended by itself; return what was committed."""
        process, peers = self.processes[index], len(self.manifest.members) - 1

        def begun() -> bool:
            status = self.status(0)
            return process.exit_status is not None or (status is not None and status["peers_connected"] == peers)

        wait_until(begun)
        sent: list[bytes] = []
        while process.exit_status is None:
            sent += self.commit(len(sent) % index, size=size)
        return sent

    def height(self, index: int) -> int:
        """The durable height, 0 if the node does not answer."""
        return (self.status(index) or {"height": 0})["height"]

    def status(self, index: int, timeout: float = 1.0) -> dict | None:
        """The node's status; replies to other requests, such as earlier ones that were not waited for, are skipped."""
        client, number = self.client(index), next(_numbers)
        client.send(StatusRequest(number))
        limit = time.monotonic() + timeout
        while (left := limit - time.monotonic()) > 0:
            reply = client.receive(left)
            if isinstance(reply, Status) and reply.request == number:
                return reply.status
        return None

    def wait_connected(self, *indices: int) -> None:
        """Until each node has connections to all the others that are given."""
        chosen = indices or tuple(range(len(self.manifest.members)))
        for index in chosen:
            wait_until(lambda i=index: (s := self.status(i)) is not None and s["peers_connected"] >= len(chosen) - 1)

    def wait_height(self, height: int, *indices: int) -> None:
        for index in indices or self.processes:
            wait_until(lambda i=index: self.height(i) >= height)

    # -- what nodes have written ---------------------------------------------------------------------------

    def mark(self) -> None:
        """What nodes have said, reported and committed so far is passed over from now on."""
        self._passed = max(map(self.height, self.processes))
        for process in self.processes.values():
            for file in (process.events, process.log):
                self._read[file] = file.stat().st_size

    def said(self, index: int) -> str:
        """The node's log."""
        return self._since_mark(self.processes[index].log).decode()

    def events(self, index: int, *kinds: str) -> list[dict]:
        """What the node has reported, of these kinds (or all); a line that a kill cut short is left out."""
        reported = []
        for line in self._since_mark(self.processes[index].events).splitlines():
            with suppress(msgspec.DecodeError):
                reported.append(msgspec.json.decode(line))
        return [event for event in reported if not kinds or event["event"] in kinds]

    def _since_mark(self, file: Path) -> bytes:
        if not file.exists():
            return b""
        with file.open("rb") as opened:
            opened.seek(self._read.get(file, 0))
            return opened.read()

    def accused(self, *indices: int) -> set[tuple[int, int, str, str]]:
        """(by whom, node, kind, detail) of all faults that these nodes (or all) recorded."""
        chosen = indices or tuple(self.processes)
        return {
            (index, event["node"], event["kind"], event["detail"])
            for index in chosen
            for event in self.events(index, "fault")
        }

    def blocks(self, index: int) -> list[Block]:
        """The node's ledger, read from its file."""
        store = SQLiteStore(self.processes[index].data / "ledger.sqlite", read_only=True)
        try:
            return list(store.iter_blocks(self._passed + 1))
        finally:
            store.close()

    def transactions(self, index: int) -> list[bytes]:
        return [tx for block in self.blocks(index) for tx in block.transactions()]

    def agree(self, sent: Iterable[bytes] = (), *indices: int, liars: Collection[int] = ()) -> list[Block]:
        """These nodes (or all) come to the same ledger, with each of `sent` in it once, and accuse only `liars`; the
        ledger."""
        chosen = indices or tuple(self.processes)
        top = max(map(self.height, chosen))
        self.wait_height(top, *chosen)
        assert {node for _, node, _, _ in self.accused(*chosen)} <= set(liars)
        chains = [self.blocks(index) for index in chosen]
        assert max(same_prefix(chains), self._passed) >= top
        for chain in chains:
            committed = [tx for block in chain for tx in block.transactions()]
            assert len(set(committed)) == len(committed)
            assert set(committed) >= set(sent)
        return chains[0]

    def finish(self, sent: Iterable[bytes] = (), *indices: int, liars: Collection[int] = ()) -> list[Block]:
        """`agree`, and all stop in good order."""
        chain = self.agree(sent, *indices, liars=liars)
        assert set(self.stop().values()) == {0}
        return chain


class Submission:
    """Transactions on their way through one node; what it answers is looked at when asked. For one thread."""

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
            number = next(_numbers)
            self._requests[number] = left
            self.client.send(submit(number, left))

    def unanswered(self) -> int:
        """How many transactions are not acknowledged yet."""
        while (reply := self.client.receive_now()) is not None:
            self._note(reply)
        return len(self.transactions) - len(self.committed)

    def wait(self) -> int:
        """Until all are acknowledged; the highest block that holds one."""
        limit = time.monotonic() + PATIENCE_S
        while left := self.unanswered():
            reply = self.client.receive(max(0, limit - time.monotonic()))
            assert reply is not None, f"{left} transactions unanswered"
            self._note(reply)
        return max(self.committed.values())

    def _note(self, reply: Reply) -> None:
        if isinstance(reply, Committed) and reply.request in self._requests:
            sent = self._requests[reply.request]
            self.committed.update((sent[position], reply.height) for position in positions_of(reply))


@contextmanager
def running(
    directory: Path,
    nodes: int = 4,
    start: Sequence[int] = (),
    runtime: Runtime | None = None,
    faults: Sequence[LinkFault] = (),
    **parameters: int | str,
) -> Iterator[Cluster]:
    """A cluster whose nodes (or those in `start`) are running and connected; its `faults` come when it is steered."""
    cluster = Cluster(directory, nodes, runtime, faults, **parameters)
    try:
        if faults:
            cluster.steer(0)
        cluster.start(*start)
        cluster.wait_connected(*start)
        yield cluster
    finally:
        cluster.stop()


def wait_until(condition: Callable[[], bool], timeout: float = PATIENCE_S) -> None:
    """Fail if `condition` does not come true in time."""
    limit = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.02)


def stays_at(cluster: Cluster, heights: list[int], *indices: int, seconds: float = 1.5) -> None:
    """Fail if one of these nodes gets further within `seconds`."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert [cluster.height(index) for index in indices] == heights
        time.sleep(0.1)


def random_transactions(count: int, size: int = 100) -> list[bytes]:
    return [os.urandom(size) for _ in range(count)]


def same_prefix(chains: Sequence[list[Block]]) -> int:
    """Height up to which all ledgers have the same blocks; fails if two differ where both have one."""
    height = 0
    for blocks in zip(*chains, strict=False):
        height = blocks[0].header.height
        assert len({block.header.hash for block in blocks}) == 1, f"ledgers differ at height {height}"
    return height


class CuttingProxy(socketserver.ThreadingTCPServer):
    """A TCP proxy on loopback that can cut every connection it carries, at any byte; targets take turns."""

    daemon_threads = True

    def __init__(self, *target_ports: int) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.port = self.server_address[1]
        self._targets = itertools.cycle(target_ports)
        self._ends: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def cut(self) -> None:
        """Close all connections."""
        ends, self._ends = self._ends, []
        shut(*ends)

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.cut()

    def finish_request(self, inner: Any, client_address: Any) -> None:
        """Carry one connection; in a thread of its own."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", next(self._targets))) as outer:
            self._ends += inner, outer
            back = threading.Thread(target=pump, args=(outer, inner), daemon=True)
            back.start()
            pump(inner, outer)
            back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    shut(source, sink)


def shut(*ends: socket.socket) -> None:
    """What one end has closed may be shut already."""
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
