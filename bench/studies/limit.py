"""Two limits of this machine: work that nobody can avoid in an epoch, timed with the same libraries.

**The limit of this design.** Every node encodes its own proposal and re-encodes each proposal that it accepts, hashes
every shard once, passes each proposal through the cipher once, and sends and receives VALs, and ECHOs with the data
shards that their senders hold. Each transaction is packed and unpacked once and leaves a mempool once. Votes, coins,
signatures, the ledger and Python's own work between these calls are left out, so that no run can exceed the bound.

**The limit of any design** that brings the payload to every node once, over authenticated and encrypted links
(`bench.studies.any_design`): what a better protocol could gain, and no better programming of this one.

All nodes of `honeybadger local` share the processors of one machine, so the bound is cores / (processor time per epoch
of all nodes).
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import zmq
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.places.hardware import machine, versions
from bench.plan.workload import SHORTEST_TX, Workload
from bench.studies.any_design import payload_once
from bench.studies.timing import Primitive, best, timed
from crypto.erasure import ReedSolomon
from honeybadger.cluster.errors import ClusterError
from honeybadger.network.channel import Opener, Sealer
from honeybadger.network.peer_socket import ZERO_COPY_BYTES
from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.transactions import Transactions

#: bytes; a summary of hundreds of nodes has less
LONGEST_SUMMARY = 64 * 1024 * 1024
#: bytes of transactions in the blocks that `unavoidable_s_per_tx` times; its time grows with them
LARGEST_TIMED_BLOCK = 5_000_000


def limit_of(
    nodes: int, batch_size: int, tx_bytes: int, seconds: float, reached: float | None = None
) -> dict[str, Any]:
    """Time the primitives of this design for about `seconds` and work out its bound; `reached`: transactions per second
    of a run.

    Units are in the names. The best of many repetitions counts, because the others were disturbed.
    """
    quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    context: Any = zmq.Context()
    try:
        primitives = _primitives(context, quorums, max(1, batch_size // nodes), tx_bytes)
        bound = _bound(primitives, nodes, batch_size, seconds, reached)
    finally:
        context.destroy(0)
    return {
        "nodes": nodes,
        "batch_size": batch_size,
        "tx_bytes": tx_bytes,
        "cores": machine()["cores"],
        **bound,
        "achieved_tx_per_s": reached,
        "machine": machine(),
        "versions": versions(),
    }


def limit_of_any_design(
    nodes: int, batch_size: int, tx_bytes: int, seconds: float, reached: float | None = None
) -> dict[str, Any]:
    """The same for a node that gets the payload once: `primitives`, `cpu_s_per_epoch`, `bound_tx_per_s`,
    `achieved_ratio`."""
    with payload_once(nodes, max(1, batch_size // nodes) * tx_bytes) as primitives:
        return _bound(primitives, nodes, batch_size, seconds, reached)


def _bound(
    primitives: list[Primitive], nodes: int, batch_size: int, seconds: float, reached: float | None
) -> dict[str, Any]:
    """Time each for its part of `seconds`, and add them up."""
    rows: list[dict[str, Any]] = [
        {"what": what, "times": times, "seconds": best(run, seconds / len(primitives))}
        for what, times, run in primitives
    ]
    per_node = sum(row["times"] * row["seconds"] for row in rows)
    for row in rows:
        row["share"] = row["times"] * row["seconds"] / per_node
    transactions = max(1, batch_size // nodes) * nodes
    bound = min(machine()["cores"], nodes) * transactions / (per_node * nodes)
    return {
        "primitives": rows,
        "cpu_s_per_epoch": per_node * nodes,
        "bound_tx_per_s": bound,
        "achieved_ratio": None if reached is None else reached / bound,
    }


def unavoidable_s_per_tx(summary: dict[str, Any], seconds: float) -> float | None:
    """Of a run on this machine: processor time per transaction, at all correct nodes that are up at the end, that none
    of them could avoid in blocks as large as those of the run. Timed for about `seconds`.

    None where the limit does not hold: another protocol, links or proposals that are not encrypted, f below the most
    that N allows (less redundancy), no block.
    """
    nodes, tx_bytes = int(summary["nodes"]), int(summary["tx_bytes"])
    encrypted = summary["curve"] and summary["parameters"].get("encryption") == "always"
    usual = summary["protocol"] == "honeybadger" and summary["faults_tolerated"] == BYZANTINE.largest_faults(nodes)
    if not (encrypted and usual and summary["committed_tx"]):
        return None
    per_block: int = max(nodes, min(summary["committed_tx"] // summary["epochs"], LARGEST_TIMED_BLOCK // tx_bytes))
    counted = nodes - len(summary["crashed"]) - len(summary["byzantine"])
    limit = limit_of(nodes, per_block, tx_bytes, seconds)
    cpu_s_per_node = float(limit["cpu_s_per_epoch"]) / nodes
    return cpu_s_per_node * counted / int(per_block // nodes * nodes)


def setting_of(path: Path) -> tuple[int, int, int, float]:
    """(nodes, batch size, bytes per transaction, transactions per second) of a summary; ClusterError in one line."""
    try:
        with path.open("rb") as file:
            summary = msgspec.json.decode(file.read(LONGEST_SUMMARY), type=dict[str, Any])
        if not summary["valid"]:
            raise ClusterError(f"{path}: the run is invalid: {summary['reason']}")
        if summary["protocol"] != "honeybadger":
            name = f"{summary['protocol']!s:.40}"
            raise ClusterError(f"{path}: a run of protocol {name}; the limit is worked out for honeybadger only")
        nodes, batch_size, tx_bytes = (int(summary[name]) for name in ("nodes", "batch_size", "tx_bytes"))
        if not (1 <= nodes <= 1000 and 1 <= batch_size <= 10_000_000 and tx_bytes >= SHORTEST_TX):
            raise ValueError
        return nodes, batch_size, tx_bytes, float(summary["throughput_tx_per_s"])
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        raise ClusterError(f"{path}: not the summary of a run") from None


def _primitives(context: Any, quorums: Quorums, per_node: int, tx_bytes: int) -> list[Primitive]:
    nodes = quorums.nodes
    transactions = Workload(1, tx_bytes).batch(0, per_node)
    proposal = encode_contribution(transactions)
    code = ReedSolomon(quorums.data_shards, nodes)
    shards = code.encode(proposal)
    # The cheapest case: all data shards are there.
    enough = dict(enumerate(shards[: quorums.data_shards]))
    cipher = AESGCM(bytes(32))
    nonce = bytes(12)
    sealed = cipher.encrypt(nonce, proposal, None)

    def hashing() -> None:
        for shard in shards:
            blake3(shard).digest()

    def mempool() -> float:
        pool = Mempool(2 * per_node, 2 * len(transactions.data), 1 << 30)
        pool.add(Request(b"", 0), transactions)
        chosen = pool.select(1, per_node, per_node, 1 << 40)
        return timed(lambda: pool.commit(1, chosen))

    return [
        ("erasure encode, own proposal", 1, partial(timed, lambda: code.encode(proposal))),
        ("erasure re-encode, accepted proposal", nodes, partial(timed, lambda: code.complete(enough))),
        ("hash of a proposal's shards", nodes, partial(timed, hashing)),
        ("AEAD, a proposal", nodes, partial(timed, lambda: cipher.decrypt(nonce, sealed, None))),
        # A VAL of its own proposal to every peer, ECHOs with the data shards that it holds, and as many from them.
        ("transport, N-2f+1 shards to a peer", nodes - 1, transport(context, [shards[0]] * (len(enough) + 1))),
        ("codec, a proposal", nodes, partial(timed, lambda: Transactions.decode(encode_contribution(transactions)))),
        ("mempool removal, own transactions", 1, mempool),
    ]


def transport(
    context: Any, parts: list[bytes], at_once: int = 64, clock: Callable[[], float] = time.process_time
) -> Callable[[], float]:
    """Processor time, by `clock`, to seal, send, receive and open messages of one of the `parts` each, over loopback
    TCP, as nodes do: up to `at_once` times before the first is received."""
    pull, push = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    push.connect(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
    key = bytes(32)
    sealer, opener = Sealer(key), Opener(key)
    # Several at a time: a small message takes less than a step of the clock.
    count = max(1, min(at_once, (1 << 20) // sum(map(len, parts))))

    def run() -> float:
        # ZeroMQ works in threads of its own, so usually the processor time of the whole process counts.
        began = clock()
        for _ in range(count):
            for part in parts:
                push.send(sealer.seal(part), copy=len(part) < ZERO_COPY_BYTES)
        for _ in range(count * len(parts)):
            if not pull.poll(10_000):
                raise ClusterError("loopback does not deliver")
            opener.open(pull.recv_multipart(copy=False)[1].buffer)
        return (clock() - began) / count

    return run
