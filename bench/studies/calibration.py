"""Measures the table of costs of a simulation on this machine: medians of primitives, and one fit.

What a tick and a message cost is not one call that could be timed. Small clusters with ideal cryptography run in
virtual time, their work measured; tick and message are the two prices that explain best what they took, beside their
blocks. Last, two short runs of a real cluster: what its nodes used beyond all these prices is the price of their loop,
and what its load generator used is the price of a request.
"""

import os
import secrets
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, thread_time
from typing import Any

import msgspec
import numpy as np
import zmq
from blake3 import blake3

from bench.load.client import Result
from bench.load.offers import client_directory
from bench.measure.observations import read_node
from bench.places.hardware import machine, versions
from bench.plan.build_run import run_of
from bench.plan.run_settings import RunSettings
from bench.plan.simulation_settings import SimulationSettings
from bench.plan.workload import Workload
from bench.run.simulated_run import SimulatedRun
from bench.run.single_run import SingleRun
from bench.studies.limit import transport
from bench.studies.suite_costs import suite_costs
from bench.studies.timing import middle, timed
from crypto.erasure import ReedSolomon
from crypto.merkle import MerkleTree
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec
from honeybadger.node.application import NodeApplication
from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.honey_badger.messages import Echo
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.simulation.virtual_time.table import CostTable, Crypto, Line, Node
from honeybadger.transactions import Transactions

SUITE = "bls"
#: clusters whose keys are measured: what grows with f is a line through these two
SMALL_N, LARGE_N = 4, 16
#: clusters that are run for what a tick and a message cost, and for how long, virtual seconds
FITTED_N, FITTED_S = (4, 10, 16), 1.0
#: the real clusters: their batch sizes, and how long they run, seconds
FEW_B, MANY_B, REAL_S = 100, 10_000, 4.0
KIB, MIB = 1 << 10, 1 << 20


def calibrated(seconds: float) -> CostTable:
    """The table of this machine. Measuring takes about `seconds`, and a few more."""
    crypto = _crypto(seconds / 2)
    each = seconds / 40
    node = _primitives(each)
    tick, message = _tick_and_message(CostTable("", "", SUITE, crypto, node))
    found, installed = machine(), versions()
    few, many = _Real(FEW_B), _Real(MANY_B)
    node = msgspec.structs.replace(node, tick=tick, message=message, client=_client(few, many))
    return CostTable(
        f"{found['processor']}, {found['cores']} cores, {found['system']}",
        f"honeybadger {installed['honeybadger']}, python {installed['python']}",
        SUITE,
        crypto,
        msgspec.structs.replace(node, loop=_loop(CostTable("", "", SUITE, crypto, node), few)),
    )


def line(small: tuple[float, float], large: tuple[float, float]) -> Line:
    """Through two points (count, seconds); neither price is below 0."""
    (n, at_n), (m, at_m) = small, large
    each = max(0.0, (at_m - at_n) / (m - n))
    return Line(max(0.0, at_n - n * each), each)


def _crypto(seconds: float) -> Crypto:
    rows = [suite_costs(nodes, seconds / 2, SUITE)["suites"][SUITE] for nodes in (SMALL_N, LARGE_N)]
    small, large = ({row["what"]: row["seconds"] for row in some} for some in rows)
    thresholds = (SMALL_N - 1) // 3 + 1, (LARGE_N - 1) // 3 + 1
    quorum = LARGE_N - (LARGE_N - 1) // 3

    def combining(name: str) -> Line:
        points = [(k, costs[name.format(k)]) for k, costs in zip(thresholds, (small, large), strict=True)]
        return line(points[0], points[1])

    encrypt = line((250, large["encrypt 250 bytes"]), (MIB, large["encrypt 1 MiB"]))
    together = large[f"check N-f = {quorum} ciphertexts together"]
    return Crypto(
        encrypt=encrypt,
        check=line((1, large["check a ciphertext"]), (quorum, together)),
        decryption_share=large["decryption share"],
        decrypt=combining("decrypt with f+1 = {} shares"),
        # Whoever decrypts hashes and opens what the proposer sealed and hashed.
        open_byte=encrypt.each,
        coin_share=large["coin share"],
        coin=combining("toss with f+1 = {} shares"),
        certificate_share=large["certificate share"],
        certificate=combining("combine a certificate of f+1 = {} shares"),
        code=_code(seconds / 20),
    )


def _code(seconds: float) -> Line:
    code = ReedSolomon(LARGE_N - 2 * ((LARGE_N - 1) // 3), LARGE_N)

    def point(size: int) -> tuple[float, float]:
        value = secrets.token_bytes(size)
        taken = middle(partial(timed, lambda: MerkleTree(code.encode(value))), seconds)
        return code.shard_length(size) * code.total, taken

    return line(point(KIB), point(MIB))


def _primitives(seconds: float) -> Node:
    """All but tick, message and load generator, each timed for about `seconds`."""
    own, io = _transport(seconds)
    block, commit, commit_byte = _commit(seconds)
    return Node(
        tick=0.0,
        loop=0.0,
        message=0.0,
        # What they cost once is in the price of a message.
        encode=Line(0.0, _codec(seconds, decode=False)),
        decode=Line(0.0, _codec(seconds, decode=True)),
        send=own,
        receive=own,
        send_io=io,
        receive_io=io,
        submit=_submit(seconds),
        block=block,
        commit=commit,
        commit_byte=commit_byte,
        ledger=_ledger(seconds),
        sync=_sync(seconds),
        client=Line(0.0, 0.0),
    )


def _transport(seconds: float) -> tuple[Line, Line]:
    """Half of what it costs to seal, send, receive and open a frame, alone on its way: one end's share, in the thread
    that does so and in ZeroMQ's."""
    context: Any = zmq.Context()

    def points(clock: Callable[[], float]) -> list[tuple[float, float]]:
        return [
            (size, middle(transport(context, [secrets.token_bytes(size)], at_once=1, clock=clock), seconds / 2) / 2)
            for size in (KIB, MIB // 2)
        ]

    try:
        whole, own = points(process_time), points(thread_time)
    finally:
        context.destroy(0)
    io = [(size, max(0.0, all_s - own_s)) for (size, all_s), (_, own_s) in zip(whole, own, strict=True)]
    return line(own[0], own[1]), line(io[0], io[1])


def _codec(seconds: float, *, decode: bool) -> float:
    """By byte, in a message with a shard; who decodes it hashes it, too."""
    codec = Codec([Echo], 2 * MIB)
    message = Echo(1, 0, bytes(32), b"", secrets.token_bytes(MIB // 2))
    data = codec.encode([message])

    def decoding() -> None:
        for one in codec.decode(data):
            blake3(getattr(one, "shard")).digest()  # noqa: B009

    run: Callable[[], object] = decoding if decode else lambda: list(codec.entries([message]))
    return middle(partial(timed, run), seconds) / len(data)


class _Ledger:
    """A node's real mempool and ledger, in memory, or on a disk in `directory`."""

    def __init__(self, tx_bytes: int, directory: Path | None = None) -> None:
        path = Path("unused") if directory is None else directory / "ledger.sqlite"
        self.store = SQLiteStore(path, "memory" if directory is None else "fsync", chain_id=bytes(32))
        self.chain = Chain(self.store, bytes(32))
        parameters = HoneyBadgerParameters(batch_size=100_000, max_proposal_bytes=1 << 27)
        pool = Mempool(1_000_000, 1 << 30, MIB, self.chain.key)
        self.application = NodeApplication(SMALL_N, parameters, pool, self.chain)
        self._workload = Workload(1, tx_bytes)
        self._numbers = count()
        self._epochs = count(1)

    def batch(self, transactions: int) -> Transactions:
        return self._workload.batch(next(self._numbers), transactions)

    def submit(self, transactions: int) -> float:
        batch = self.batch(transactions)
        taken = timed(lambda: self.application.submit(Request(b"", 0), batch))
        self.commit(0)
        return taken

    def commit(self, others: int) -> float:
        """Propose all that waits, and commit it with `others` of each other node; returns the time of both."""
        epoch = next(self._epochs)
        theirs = [(node, self.batch(others)) for node in range(1, SMALL_N) if others]

        def both() -> None:
            mine = self.application.select(epoch)
            self.application.commit(epoch, [(0, mine), *theirs])

        taken = timed(both)
        self.flush()
        return taken

    def block(self, per_node: int) -> float:
        self.application.submit(Request(b"", 0), self.batch(per_node))
        return self.commit(per_node)

    def flush(self) -> float:
        taken = timed(self.chain.flush)
        self.application.blocks_durable(self.chain.height)
        return taken

    def write(self, per_node: int) -> float:
        """Processor time to put a block on the disk; the wait for the disk has a price of its own."""
        self.application.commit(next(self._epochs), [(node, self.batch(per_node)) for node in range(SMALL_N)])
        return self.flush()


def _commit(seconds: float) -> tuple[float, float, float]:
    """A block; a transaction; a byte."""
    few, many, long = (
        middle(partial(_Ledger(size).block, per_node), seconds)
        for per_node, size in ((1, 250), (2500, 250), (250, 2500))
    )
    transactions, size = SMALL_N * 2500, SMALL_N * 2500 * 250
    commit = max(0.0, (many - long) / (transactions - transactions / 10))
    commit_byte = max(0.0, (long - few - commit * transactions / 10) / size)
    return few, commit, commit_byte


def _submit(seconds: float) -> Line:
    ledger = _Ledger(250)
    one, many = (middle(partial(ledger.submit, n), seconds) for n in (1, 1000))
    return line((1, one), (1000, many))


def _ledger(seconds: float) -> Line:
    with TemporaryDirectory(prefix="honeybadger-") as directory:
        ledger = _Ledger(250, Path(directory))
        points = [(SMALL_N * n * 250, middle(partial(ledger.write, n), seconds)) for n in (1, 2500)]
        ledger.store.close()
    return line(points[0], points[1])


def _sync(seconds: float) -> float:
    """A page appended and synced, by the clock on the wall."""
    with TemporaryDirectory(prefix="honeybadger-") as directory, (Path(directory) / "votes").open("wb", 0) as file:

        def sync() -> float:
            began = perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            return perf_counter() - began

        return middle(sync, seconds)


def _tick_and_message(table: CostTable) -> tuple[float, float]:
    """Prices of a tick and of a message; neither is below 0."""
    rows, left = [], []
    for nodes in FITTED_N:
        for used in _measured(nodes):
            rows.append((used["ticks"], used["messages_handled"]))
            # Proposals here have one transaction of each node.
            transactions = used["height"] * nodes
            known = used["height"] * table.node.block + transactions * table.node.commit
            left.append(used["cpu_s"] - known - used["height"] * table.node.submit.of(1))
    (tick, message), *_ = np.linalg.lstsq(np.array(rows, float), np.array(left), rcond=None)
    if tick < 0 or message < 0:
        ticks, messages = np.sum(rows, axis=0)
        return (0.0, sum(left) / messages) if tick < 0 else (sum(left) / ticks, 0.0)
    return float(tick), float(message)


def _measured(nodes: int) -> list[dict[str, Any]]:
    """What each node of a small cluster used, whose cryptography costs nothing, nor does what is not measured."""
    free = Line(0.0, 0.0)
    nothing = Node(
        tick=0, loop=0, message=0, encode=free, decode=free, send=free, receive=free, send_io=free, receive_io=free,
        submit=free, block=0, commit=0, commit_byte=0, ledger=free, sync=0, client=free,
    )  # fmt: skip
    crypto = Crypto(
        encrypt=free, check=free, decryption_share=0, decrypt=free, open_byte=0, coin_share=0, coin=free,
        certificate_share=0, certificate=free, code=free,
    )  # fmt: skip
    run = run_of(nodes=nodes, batch_size=nodes, tx_size="16", duration=FITTED_S, warmup=0, window=1, seed=1)
    return _simulated(run, CostTable("", "", SUITE, crypto, nothing), costs="measured", crypto="ideal", cores=1)


def _simulated(run: RunSettings, table: CostTable, **how: Any) -> list[dict[str, Any]]:
    """The last report of each node."""
    with TemporaryDirectory(prefix="honeybadger-") as directory:
        home = Path(directory)
        table.save(home / "costs.toml")
        chosen = SimulationSettings(calibration=home / "costs.toml", **how)
        SimulatedRun(msgspec.structs.replace(run, out=home / "run"), chosen, lambda progress: None).run()
        return _last_reports(home / "run", run.nodes)


def _last_reports(home: Path, nodes: int) -> list[dict[str, Any]]:
    return [read_node(home / f"node-{node}" / "events.jsonl").usage[-1] for node in range(nodes)]


class _Real:
    """What a short run of real nodes used, from its first report on: loading the code costs more than an epoch."""

    def __init__(self, batch_size: int) -> None:
        self.run = run_of(nodes=SMALL_N, batch_size=batch_size, duration=REAL_S, warmup=1, seed=1)
        with TemporaryDirectory(prefix="honeybadger-") as directory:
            home = Path(directory) / "run"
            SingleRun(msgspec.structs.replace(self.run, out=home), lambda progress: None).run()
            usages = [read_node(home / f"node-{node}" / "events.jsonl").usage for node in range(SMALL_N)]
            load = msgspec.json.decode((client_directory(home, 0) / "load.json").read_bytes(), type=Result)
        used = [(usage[-1], usage[0]) for usage in usages]
        self.cpu_s, self.ticks, self.blocks = (sum(a[n] - b[n] for a, b in used) for n in ("cpu_s", "ticks", "height"))
        self.client_s, self.requests = load.cpu_s, len(load.batches)
        self.transactions = sum(count for _, count, _ in load.batches)


def _client(few: _Real, many: _Real) -> Line:
    """By request and by transaction: what explains the processor time of both load generators."""
    costs = np.array([few.client_s, many.client_s])
    counts = np.array([[few.requests, few.transactions], [many.requests, many.transactions]], float)
    once, each = np.linalg.solve(counts, costs)
    if once < 0 or each < 0:
        # One price alone, then.
        return Line(0.0, float(costs.sum() / counts[:, 1].sum()))
    return Line(float(once), float(each))


def _loop(table: CostTable, real: _Real) -> float:
    """By tick: what real nodes use beyond the prices of `table`."""
    simulated = _simulated(real.run, table, cores=max(1, int(machine()["cores"])))
    explained = sum(one["cpu_s"] for one in simulated) / sum(one["height"] for one in simulated)
    return float(max(0.0, (real.cpu_s / real.blocks - explained) / (real.ticks / real.blocks)))
