"""A steady load for a cluster that runs somewhere: offers, counts answers, compares what the nodes say of themselves.

N-f nodes are enough: it goes on without the rest, and names them.

It needs nothing but the manifest, and its own clock, so the nodes may be on other machines. It does not look into
ledgers: `single_run.py` does.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from bench.load.arrivals import make_arrivals
from bench.load.outstanding import Outstanding
from bench.load.waits import Waits
from honeybadger.client.connections import Connections
from honeybadger.client.status import NodeStatus, ask_status, typed
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.client_protocol import Committed, Refused, Submit, most_in_request, unpacked
from honeybadger.transactions import Transactions

#: due transactions are sent this often, seconds
TICK_S = 0.01
#: nodes are asked for their status this often, seconds
ASK_S = 0.5
#: seconds after which a person is told what is waited for
WORTH_SAYING_S = 3.0


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
    def __init__(self, manifest: Manifest, curve: bool) -> None:
        self._members = manifest.members
        self._quorum = manifest.quorums.quorum
        self._curve = curve
        self._outstanding = Outstanding(len(manifest.members))

    def run(
        self, rate: float, duration_s: float, tx_bytes: int, patience_s: float, say: Callable[[str], None]
    ) -> LoadResult:
        """Offer `rate` transactions per second to the nodes that are ready; ClusterError if they are fewer than N-f
        after `patience_s`.

        `say(line)` tells a person what is waited for.
        """
        with Connections(self._members, self._curve) as connections:
            ready = self._await_ready(connections, patience_s, say)
            self._offer(connections, ready, rate, duration_s, tx_bytes)
            limit = time.monotonic() + patience_s
            while any(self._outstanding.by_node) and time.monotonic() < limit:
                self._receive(connections)
                time.sleep(TICK_S)
            drained_at = time.monotonic()
            told, same = self._same_ledger(connections, ready, patience_s)
        scheduled, durable = self._outstanding.transactions()
        answered = np.isfinite(durable)
        waits = Waits((durable - scheduled)[answered], drained_at - scheduled[~answered])
        quantiles = {"p50": 0.5, "p99": 0.99}
        latency = waits.distribution(quantiles)
        return LoadResult(
            offered=len(waits),
            committed=self._outstanding.acknowledged,
            refused=sum(self._outstanding.refused.values()),
            unanswered=self._outstanding.unanswered,
            latency_p50_s=latency["p50"],
            latency_p99_s=latency["p99"],
            latency_at_least=waits.at_least(quantiles),
            height=min((status.height for status in told.values()), default=0),
            same_ledger=same,
            missing=[node for node in range(len(self._members)) if node not in told],
        )

    def _await_ready(self, connections: Connections, patience_s: float, say: Callable[[str], None]) -> list[int]:
        """Until each node is connected to all others, or the time is up; the nodes that can take part."""
        began, said, members = time.monotonic(), False, range(len(self._members))
        while True:
            seen = _ask(connections, members)
            if sum(status.peers_connected >= len(members) - 1 for status in seen.values()) == len(members):
                return list(members)
            waited_s, trouble = time.monotonic() - began, _trouble(seen, len(members))
            if waited_s > patience_s:
                break
            if waited_s > WORTH_SAYING_S and not said:
                said = True
                say(f"waiting up to {patience_s:g} s for all nodes to be there: {trouble}")
        ready = [node for node, status in seen.items() if status.peers_connected >= self._quorum - 1]
        if len(ready) < self._quorum:
            raise ClusterError(
                f"fewer than {self._quorum} of {len(members)} nodes were ready within {patience_s:g} s: {trouble}"
            )
        missing = [node for node in members if node not in ready]
        say(f"going on without {names(missing)}" if missing else f"going on all the same: {trouble}")
        return ready

    def _offer(self, connections: Connections, nodes: list[int], rate: float, duration_s: float, tx_bytes: int) -> None:
        """To the nodes in turn."""
        start = time.monotonic()
        arrivals = make_arrivals("fixed", rate, client=0, clients=1, seed=0)
        left, longest = max(1, round(rate * duration_s)), most_in_request(tx_bytes)
        number = 0
        while left:
            due = start + arrivals.due(time.monotonic() - start)[:left]
            left -= len(due)
            for begin in range(0, len(due), longest):
                part, node = due[begin : begin + longest], nodes[number % len(nodes)]
                offered = Transactions.of([secrets.token_bytes(tx_bytes) for _ in part])
                if connections.send(node, Submit(number, offered.encode())):
                    self._outstanding.sent(number, part, [node])
                else:
                    self._outstanding.not_sent(part, "not sent")
                number += 1
            self._receive(connections)
            time.sleep(TICK_S)

    def _receive(self, connections: Connections) -> None:
        for node, reply in connections.replies(0):
            if isinstance(reply, Committed):
                self._outstanding.committed(node, reply.request, unpacked(reply.positions), time.monotonic())
            elif isinstance(reply, Refused):
                self._outstanding.refuse(node, reply.request, unpacked(reply.positions), reply.reason)

    def _same_ledger(
        self, connections: Connections, nodes: list[int], patience_s: float
    ) -> tuple[dict[int, NodeStatus], bool]:
        """What the nodes say in the end, and whether all that answer, N-f at least, are at the same height and tip."""
        limit = time.monotonic() + patience_s
        while True:
            seen = _ask(connections, nodes)
            same = len(seen) >= self._quorum and len({(status.height, status.tip) for status in seen.values()}) == 1
            if (same and len(seen) == len(nodes)) or time.monotonic() > limit:
                return seen, same


def _ask(connections: Connections, nodes: Sequence[int]) -> dict[int, NodeStatus]:
    """The status of each node that answers in time and makes sense; asked again at once, it would be no news."""
    limit = time.monotonic() + ASK_S
    answers = {node: typed(answer) for node, answer in ask_status(connections, nodes, ASK_S).items()}
    seen = {node: answers[node] for node in nodes if node in answers}
    time.sleep(max(0.0, limit - time.monotonic()) if len(seen) < len(nodes) else TICK_S)
    return {node: status for node, status in seen.items() if status is not None}


def names(nodes: list[int]) -> str:
    """ "node 1", "nodes 1 and 2", "nodes 1, 2 and 3"."""
    *most, last = map(str, nodes)
    return f"nodes {', '.join(most)} and {last}" if most else f"node {last}"


def _trouble(seen: Mapping[int, NodeStatus], nodes: int) -> str:
    """Which of the `nodes` do not answer, and which of the others lack connections to nodes that do.

    A node that is connected to all that are there is not to blame for those that are not.
    """
    silent = [node for node in range(nodes) if node not in seen]
    connected = {node: status.peers_connected for node, status in seen.items()}
    fewest = min(connected.values(), default=0)
    found = [f"no answer from {names(silent)}"] if silent else []
    if connected and fewest < len(connected) - 1:
        lonely = [node for node, count in connected.items() if count == fewest]
        are = "are" if len(lonely) > 1 else "is"
        found.append(f"{names(lonely)} {are} connected to {fewest} of {nodes - 1} others")
    return ", ".join(found) or "all are connected now"
