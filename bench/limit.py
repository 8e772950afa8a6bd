"""The limit of this machine: what any node must do for an epoch, timed with the same libraries.

Of payload: every node encodes its own proposal and re-encodes each proposal that it accepts, hashes every shard once,
passes each proposal through the cipher once, and sends and receives its shards. Of transactions: each is packed
and unpacked once and leaves a mempool once. Votes, coins, signatures, the ledger and Python's own work between these
calls are left out, so that the bound is one that nothing here can exceed.

All nodes of `honeybadger local` share the processors of one machine, so the bound is cores / (processor time per epoch
of all nodes).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import zmq
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.machine import machine, versions
from bench.workload import SHORTEST_TX, Workload
from crypto.erasure import ErasureCode
from honeybadger.cluster.errors import ClusterError
from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.contribution import encode_contribution
from honeybadger.protocols.quorums import Quorums

#: bytes; a summary of hundreds of nodes has less
LONGEST_SUMMARY = 64 * 1024 * 1024

#: how often each primitive is timed at least; the best time counts
LEAST_REPEATS = 5


@dataclass(frozen=True)
class _Primitive:
    """`times`: how often a node does it in an epoch; `run`: does it once and returns the seconds that it took."""

    what: str
    times: float
    run: Callable[[], float]


def limit_of(
    nodes: int, batch_size: int, tx_bytes: int, seconds: float, reached: float | None = None
) -> dict[str, Any]:
    """Time the primitives for about `seconds` and work out the bound; `reached`: transactions per second of a run.

    Units are in the names. The best of many repetitions counts: what disturbs it is not the primitive.
    """
    quorums = Quorums(nodes, Quorums.largest_faults(nodes))
    context: Any = zmq.Context()
    try:
        primitives = _primitives(context, quorums, max(1, batch_size // nodes), tx_bytes)
        rows: list[dict[str, Any]] = []
        for primitive in primitives:
            best = _best(primitive.run, seconds / len(primitives))
            rows.append({"what": primitive.what, "times": primitive.times, "seconds": best})
    finally:
        context.destroy(0)
    per_node = sum(row["times"] * row["seconds"] for row in rows)
    for row in rows:
        row["share"] = row["times"] * row["seconds"] / per_node
    cores = machine()["cores"]
    transactions = max(1, batch_size // nodes) * nodes
    bound = min(cores, nodes) * transactions / (per_node * nodes)
    return {
        "nodes": nodes,
        "batch_size": batch_size,
        "tx_bytes": tx_bytes,
        "cores": cores,
        "primitives": rows,
        "cpu_s_per_epoch": per_node * nodes,
        "bound_tx_per_s": bound,
        "achieved_tx_per_s": reached,
        "achieved_ratio": None if reached is None else reached / bound,
        "machine": machine(),
        "versions": versions(),
    }


def setting_of(path: Path) -> tuple[int, int, int, float]:
    """(nodes, batch size, bytes per transaction, transactions per second) of a summary; ClusterError in one line."""
    try:
        with path.open("rb") as file:
            summary = msgspec.json.decode(file.read(LONGEST_SUMMARY), type=dict[str, Any])
        if not summary["valid"]:
            raise ClusterError(f"{path}: the run is invalid: {summary['reason']}")
        nodes, batch_size, tx_bytes = (int(summary[name]) for name in ("nodes", "batch_size", "tx_bytes"))
        if not (1 <= nodes <= 1000 and 1 <= batch_size <= 10_000_000 and tx_bytes >= SHORTEST_TX):
            raise ValueError
        return nodes, batch_size, tx_bytes, float(summary["throughput_tx_per_s"])
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        raise ClusterError(f"{path}: not the summary of a run") from None


def _primitives(context: Any, quorums: Quorums, per_node: int, tx_bytes: int) -> list[_Primitive]:
    nodes = quorums.nodes
    transactions = Workload(1, tx_bytes).batch(0, per_node)
    proposal = encode_contribution(transactions)
    code = ErasureCode(quorums.data_shards, nodes)
    shards = code.encode(proposal)
    # The cheapest way back: all data shards are there.
    enough = dict(enumerate(shards[: quorums.data_shards]))
    cipher = AESGCM(bytes(32))
    nonce = bytes(12)
    sealed = cipher.encrypt(nonce, proposal, None)
    decode = msgspec.msgpack.Decoder(list[bytes]).decode

    def hashing() -> None:
        for shard in shards:
            blake3(shard).digest()

    def mempool() -> float:
        pool = Mempool(2 * per_node, 2 * sum(map(len, transactions)), 1 << 30)
        pool.add(Request(b"", 0), transactions)
        chosen = pool.select(1, per_node, per_node, 1 << 40)
        return _timed(lambda: pool.commit(1, chosen))

    def simple(function: Callable[[], Any]) -> Callable[[], float]:
        return lambda: _timed(function)

    return [
        _Primitive("erasure encode, own proposal", 1, simple(lambda: code.encode(proposal))),
        _Primitive("erasure re-encode, accepted proposal", nodes, simple(lambda: code.complete(enough))),
        _Primitive("hash of a proposal's shards", nodes, simple(hashing)),
        _Primitive("AEAD, a proposal", nodes, simple(lambda: cipher.decrypt(nonce, sealed, None))),
        # A VAL of its own proposal and an ECHO of each, to every peer; as many arrive.
        _Primitive("transport, N+1 shards to a peer", nodes - 1, _transport(context, [shards[0]] * (nodes + 1))),
        _Primitive("codec, a proposal", nodes, simple(lambda: decode(encode_contribution(transactions)))),
        _Primitive("mempool removal, own transactions", 1, mempool),
    ]


def _transport(context: Any, parts: list[bytes]) -> Callable[[], float]:
    """Processor time of sending and receiving a message of `parts` over loopback TCP, with CURVE as nodes have it."""
    public, secret = zmq.curve_keypair()
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    pull.curve_server, pull.curve_publickey, pull.curve_secretkey = True, public, secret
    push.curve_serverkey = public
    push.curve_publickey, push.curve_secretkey = zmq.curve_keypair()
    push.connect(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
    # Several at a time: a single small message is shorter than the steps of the clock.
    count = max(1, min(64, (1 << 20) // sum(map(len, parts))))

    def run() -> float:
        # ZeroMQ works in threads of its own: the processor time of the whole process is what counts.
        began = time.process_time()
        for _ in range(count):
            push.send_multipart(parts, copy=False)
        for _ in range(count):
            if not pull.poll(10_000):
                raise ClusterError("loopback does not deliver")
            pull.recv_multipart(copy=False)
        return (time.process_time() - began) / count

    return run


def _timed(function: Callable[[], Any]) -> float:
    began = time.process_time()
    began_wall = time.perf_counter()
    function()
    wall = time.perf_counter() - began_wall
    # The clock of processor time is coarse; what is shorter than its steps is told by the other clock.
    used = time.process_time() - began
    return min(used, wall) if used > 1e-4 else wall


def _best(run: Callable[[], float], seconds: float) -> float:
    run()
    best = float("inf")
    until = time.monotonic() + seconds
    count = 0
    while count < LEAST_REPEATS or time.monotonic() < until:
        best = min(best, run())
        count += 1
    return best
