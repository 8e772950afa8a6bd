"""A steady load for a cluster that runs somewhere: offers, counts answers, compares what the nodes say of themselves.

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
#: transactions and bytes in a request, at the most; a longer transaction is alone in one
LONGEST_BATCH = 1000
LARGEST_BATCH_BYTES = 4 * 1024 * 1024


class LoadResult(msgspec.Struct, frozen=True):
    """What became of the transactions. Latency, of all that were offered: from the scheduled time until the answer was
    here, see `waits.py`; `latency_at_least` names the figures that are lower bounds."""

    offered: int
    committed: int
    refused: int
    unanswered: int
    latency_p50_s: float | None
    latency_p99_s: float | None
    latency_at_least: list[str]
    height: int
    same_ledger: bool

    @property
    def ok(self) -> bool:
        """All were committed, and all nodes have the same ledger."""
        return self.same_ledger and self.committed == self.offered > 0


class SteadyLoad:
    """One load for the cluster of `manifest`."""

    def __init__(self, manifest: Manifest, curve: bool) -> None:
        self._members = manifest.members
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
        """Offer `rate` transactions per second; ClusterError if not all nodes are ready within `patience_s`.

        `say(line)` tells a person what is waited for.
        """
        # A name that is not found holds up a thread of ZeroMQ for a while.
        context: Any = zmq.Context(io_threads=min(16, len(self._members)))
        clients = [NodeClient(context, m.host, m.client_port, m.public_key, self._curve) for m in self._members]
        try:
            self._await_ready(clients, patience_s, say)
            self._offer(clients, rate, duration_s, tx_bytes)
            limit = time.monotonic() + patience_s
            while self._due and time.monotonic() < limit:
                self._receive(clients)
                time.sleep(TICK_S)
            drained_at = time.monotonic()
            height, same = self._same_ledger(clients, patience_s)
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
        return LoadResult(
            offered, committed, self._refused, unanswered, found["p50"], found["p99"], bounds, height, same
        )

    def _unanswered(self) -> list[float]:
        """When those that nobody answered were due."""
        return [
            float(when)
            for number, due in self._due.items()
            for position, when in enumerate(due)
            if position not in self._answered[number]
        ]

    def _await_ready(self, clients: list[NodeClient], patience_s: float, say: Callable[[str], None]) -> None:
        """Until each node is connected to all others."""
        begin = time.monotonic()
        others = len(clients) - 1
        said = False
        while True:
            seen = self._ask(clients)
            waiting = [i for i, status in enumerate(seen) if status is None or status["peers_connected"] < others]
            if not waiting:
                return
            waited_s = time.monotonic() - begin
            if waited_s > patience_s:
                raise ClusterError(f"node {waiting[0]} was not ready within {patience_s:g} s")
            if waited_s > WORTH_SAYING_S and not said:
                said = True
                say(f"waiting up to {patience_s:g} s for nodes {waiting}: each must answer and know all others")

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

    def _same_ledger(self, clients: list[NodeClient], patience_s: float) -> tuple[int, bool]:
        """The smallest height, and whether all nodes come to the same height and tip."""
        limit = time.monotonic() + patience_s
        while True:
            seen = self._ask(clients)
            told = [status for status in seen if status is not None]
            same = len(told) == len(seen) and len({(status["height"], status["tip"]) for status in told}) == 1
            if same or time.monotonic() > limit:
                return min((int(status["height"]) for status in told), default=0), same

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
