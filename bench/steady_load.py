"""A steady load for a cluster that runs somewhere: offers, counts answers, compares what the nodes say of themselves.

N-f nodes are enough: it goes on without the rest, and names them.

It needs nothing but the manifest, and its own clock, so the nodes may be on other machines. It does not look into
ledgers: `local_run.py` does.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import zmq

from bench.waits import Waits
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Committed, Refused, Status, StatusRequest, Submit

#: due transactions are sent this often, seconds
TICK_S = 0.01
#: nodes are asked for their status this often, seconds, and these requests have numbers from here on
ASK_S = 0.5
STATUS = 1 << 40
#: seconds after which a person is told what is waited for
WORTH_SAYING_S = 3.0
#: most transactions, and most bytes, in a request; a transaction that is longer travels alone
LONGEST_BATCH = 1000
LARGEST_BATCH_BYTES = 4 * 1024 * 1024


class LoadResult(msgspec.Struct, frozen=True):
    """What became of the transactions. Latency, of all that were offered: from the scheduled time until the answer was
    here, see `waits.py`; `latency_at_least` names the figures that are lower bounds. `missing`: nodes that were not
    ready at the beginning, or did not answer at the end; `height` and `same_ledger` are of the others."""

    offered: int
    committed: int
    refused: int
    unanswered: int
    latency_p50_s: float | None
    latency_p99_s: float | None
    latency_at_least: list[str]
    height: int
    same_ledger: bool
    missing: list[int]

    @property
    def ok(self) -> bool:
        """All were committed, and all nodes have the same ledger."""
        return self.same_ledger and not self.missing and self.committed == self.offered > 0


class SteadyLoad:
    """One load for the cluster of `manifest`."""

    def __init__(self, manifest: Manifest, curve: bool) -> None:
        self._members = manifest.members
        self._quorum = manifest.quorums.quorum
        self._curve = curve
        self._number = 0
        #: request → when its transactions were due
        self._due: dict[int, Any] = {}
        self._answered: dict[int, set[int]] = {}
        self._latencies: list[float] = []
        #: when those that were not taken were due
        self._not_taken: list[float] = []
        self._refused = 0

    def run(
        self, rate: float, duration_s: float, tx_bytes: int, patience_s: float, say: Callable[[str], None]
    ) -> LoadResult:
        """Offer `rate` transactions per second to the nodes that are ready; ClusterError if they are fewer than N-f
        after `patience_s`.

        `say(line)` tells a person what is waited for.
        """
        # A name that is not found holds up a thread of ZeroMQ for a while.
        context: Any = zmq.Context(io_threads=min(16, len(self._members)))
        clients = [NodeClient(context, m.host, m.client_port, m.public_key, self._curve) for m in self._members]
        try:
            ready = self._await_ready(clients, patience_s, say)
            present = [clients[node] for node in ready]
            self._offer(present, rate, duration_s, tx_bytes)
            limit = time.monotonic() + patience_s
            while self._due and time.monotonic() < limit:
                self._receive(present)
                time.sleep(TICK_S)
            drained_at = time.monotonic()
            told, same = self._same_ledger(present, patience_s)
        finally:
            for client in clients:
                client.close()
            context.term()
        offered = self._offered
        committed = len(self._latencies)
        unanswered = offered - committed - self._refused
        waits = Waits(np.array(self._latencies), drained_at - np.array(self._not_taken + self._unanswered()))
        quantiles = {"p50": 0.5, "p99": 0.99}
        found, bounds = waits.distribution(quantiles), waits.at_least(quantiles)
        height = min((int(status["height"]) for status in told if status is not None), default=0)
        there = {node for node, status in zip(ready, told, strict=True) if status is not None}
        missing = [node for node in range(len(self._members)) if node not in there]
        counts = (offered, committed, self._refused, unanswered)
        return LoadResult(*counts, found["p50"], found["p99"], bounds, height, same, missing)

    def _unanswered(self) -> list[float]:
        """When those that nobody answered were due."""
        return [
            float(when)
            for number, due in self._due.items()
            for position, when in enumerate(due)
            if position not in self._answered[number]
        ]

    def _await_ready(self, clients: list[NodeClient], patience_s: float, say: Callable[[str], None]) -> list[int]:
        """Until each node is connected to all others, or the time is up; the nodes that can take part."""
        begin = time.monotonic()
        others = len(clients) - 1
        said = False
        while True:
            seen = self._ask(clients)
            if all(status is not None and status["peers_connected"] >= others for status in seen):
                return list(range(len(clients)))
            waited_s = time.monotonic() - begin
            if waited_s > patience_s:
                break
            if waited_s > WORTH_SAYING_S and not said:
                said = True
                say(f"waiting up to {patience_s:g} s for all nodes to be there: {_trouble(seen)}")
        enough = self._quorum - 1
        ready = [i for i, status in enumerate(seen) if status is not None and status["peers_connected"] >= enough]
        if len(ready) < self._quorum:
            wanted = f"{self._quorum} of {len(clients)} nodes"
            raise ClusterError(f"fewer than {wanted} were ready within {patience_s:g} s: {_trouble(seen)}")
        missing = [i for i in range(len(clients)) if i not in ready]
        say(f"going on without {names(missing)}" if missing else f"going on all the same: {_trouble(seen)}")
        return ready

    def _offer(self, clients: list[NodeClient], rate: float, duration_s: float, tx_bytes: int) -> None:
        self._offered = 0
        start = time.monotonic()
        total = max(1, round(rate * duration_s))
        while self._offered < total:
            due = min(total, int((time.monotonic() - start) * rate) + 1)
            while self._offered < due:
                count = min(due - self._offered, LONGEST_BATCH, max(1, LARGEST_BATCH_BYTES // tx_bytes))
                when = start + np.arange(self._offered, self._offered + count) / rate
                client = clients[self._number % len(clients)]
                if client.send(Submit(self._number, [secrets.token_bytes(tx_bytes) for _ in range(count)])):
                    self._due[self._number] = when
                    self._answered[self._number] = set()
                else:
                    self._not_taken += when.tolist()
                self._number += 1
                self._offered += count
            self._receive(clients)
            time.sleep(TICK_S)

    def _receive(self, clients: list[NodeClient]) -> None:
        """Take all answers that are there; each position counts once, whatever a node says."""
        for client in clients:
            while (reply := client.receive_now()) is not None:
                if not isinstance(reply, Committed | Refused) or reply.request not in self._due:
                    continue
                due, answered = self._due[reply.request], self._answered[reply.request]
                fresh = {p for p in reply.positions if 0 <= p < len(due)} - answered
                answered |= fresh
                if isinstance(reply, Refused):
                    self._refused += len(fresh)
                    self._not_taken += [float(due[position]) for position in fresh]
                else:
                    now = time.monotonic()
                    self._latencies += [now - due[position] for position in fresh]
                if len(answered) == len(due):
                    del self._due[reply.request], self._answered[reply.request]

    def _same_ledger(self, clients: list[NodeClient], patience_s: float) -> tuple[list[dict[str, Any] | None], bool]:
        """What the nodes say in the end, and whether all that answer, N-f at least, are at the same height and tip."""
        limit = time.monotonic() + patience_s
        while True:
            seen = self._ask(clients)
            told = [status for status in seen if status is not None]
            same = len(told) >= self._quorum and len({(status["height"], status["tip"]) for status in told}) == 1
            if (same and len(told) == len(seen)) or time.monotonic() > limit:
                return seen, same

    def _ask(self, clients: list[NodeClient]) -> list[dict[str, Any] | None]:
        """Each node's status, None if it does not answer in time."""
        self._number += 1
        request = STATUS + self._number
        for client in clients:
            client.send(StatusRequest(request))
        limit = time.monotonic() + ASK_S
        found: list[dict[str, Any] | None] = []
        for client in clients:
            status = None
            while status is None and (reply := client.receive(max(0.0, limit - time.monotonic()))) is not None:
                if isinstance(reply, Status) and reply.request == request:
                    status = reply.status
            found.append(status)
        time.sleep(max(0.0, limit - time.monotonic()) if None in found else TICK_S)
        return found


def names(nodes: list[int]) -> str:
    """ "node 1", "nodes 1 and 2", "nodes 1, 2 and 3"."""
    *most, last = map(str, nodes)
    return f"nodes {', '.join(most)} and {last}" if most else f"node {last}"


def _trouble(seen: list[dict[str, Any] | None]) -> str:
    """Which nodes do not answer, and which of the others lack connections to nodes that do.

    A node that is connected to all that are there is not to blame for those that are not.
    """
    silent = [i for i, status in enumerate(seen) if status is None]
    connected = {i: int(status["peers_connected"]) for i, status in enumerate(seen) if status is not None}
    fewest = min(connected.values(), default=0)
    found = [f"no answer from {names(silent)}"] if silent else []
    if connected and fewest < len(connected) - 1:
        nodes = [i for i, count in connected.items() if count == fewest]
        found.append(
            f"{names(nodes)} {'are' if len(nodes) > 1 else 'is'} connected to {fewest} of {len(seen) - 1} others"
        )
    return ", ".join(found) or "all are connected now"
