"""All nodes of a cluster as the watcher sees them.

It asks them in threads, over the connections of `honeybadger.client`. No node is trusted: every wait ends, and every
answer is typed and bounded.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

from honeybadger.client.connections import Connections
from honeybadger.client.errors import ClientError, TimedOut
from honeybadger.client.status import NodeStatus, typed
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.client_protocol import Committed, Refused, Reply, Status, StatusRequest, Submit, unpacked
from honeybadger.transactions import Transactions
from honeybadger.watch.blocks import BlockFinder

#: pause between two status requests, seconds
PERIOD_S = 1.0
#: a node that leaves this many status requests in a row unanswered counts as silent. Counted, not timed: a watcher
#: that gets little processor time must not take all nodes for dead
MOST_MISSED = 3
#: late answers that a node may send at once; one that sends more is cut off until the next request
MOST_OWED = 8
#: longest status that is taken from a node, bytes
LONGEST_STATUS = 256 * 1024
#: submissions that wait for a node's answer at a time, and for how long, seconds
SUBMITTERS = 4
PATIENCE_S = 2.0
#: a step of waiting, seconds
STEP_S = 0.2
#: what the page does not show of a status
NOT_SHOWN = frozenset({"totals", "usage", "connections_cut"})
#: why a node may refuse a transaction; what else it says is not passed on
REASONS = frozenset({"full", "too long", "empty", "silent"})


@dataclass(slots=True)
class WatchedNode:
    """`status`: the newest that made sense, None if the node is silent now; `text`: the same as JSON, with all that the
    node told; `heard_at`: when it came, seconds of the monotonic clock; `owed`: answers that may still come."""

    index: int
    status: NodeStatus | None = None
    text: bytes = b"null"
    heard_at: float = 0.0
    missed: int = 0
    owed: int = 0

    def take(self, reply: Reply) -> bool:
        """Note a status; False for what no honest node sends."""
        self.owed -= 1
        if not isinstance(reply, Status) or self.owed < 0 or (status := typed(reply.status)) is None:
            return False
        try:
            self.text = msgspec.json.encode(reply.status)
        except (TypeError, ValueError, RecursionError):
            return False
        self.status, self.heard_at, self.missed = status, time.monotonic(), 0
        return True

    def silence(self) -> None:
        """Show no status until the next one comes."""
        self.status, self.text = None, b"null"


class WatchedCluster:
    """`nodes`: what is known of each; `blocks`: reads the ledger. `watch` keeps `nodes` up to date."""

    def __init__(self, manifest: Manifest, curve: bool) -> None:
        self.manifest = manifest
        self.nodes = [WatchedNode(index) for index in range(len(manifest.members))]
        self.blocks = BlockFinder(manifest, curve)
        self._watching, *self._idle = (
            Connections(manifest.members, curve, longest_reply=LONGEST_STATUS) for _ in range(1 + SUBMITTERS)
        )
        self._submitters = ThreadPoolExecutor(SUBMITTERS)
        #: how often each node did not answer a submission
        self._failures: Counter[int] = Counter()
        self._turn = count()

    def close(self) -> None:
        """End all threads but that of `watch`, which must have ended."""
        self._submitters.shutdown(cancel_futures=True)
        self.blocks.close()
        for connections in (self._watching, *self._idle):
            connections.close()

    # -- statuses ------------------------------------------------------------------------------------------

    def watch(self, stopping: threading.Event) -> None:
        """Ask all nodes for their status, again and again."""
        while not stopping.is_set():
            for node in self.nodes:
                if node.missed > MOST_MISSED:
                    node.silence()
                node.missed += 1
                try:
                    sent = self._watching.send(node.index, StatusRequest(0))
                except ClientError:
                    continue
                node.owed = min(node.owed + sent, MOST_OWED)
                if not sent:
                    # ZeroMQ gives up a connection for good over which something too long came.
                    self._cut_off(node.index)
            limit = time.monotonic() + PERIOD_S
            while (left := limit - time.monotonic()) > 0 and not stopping.is_set():
                for index, reply in self._watching.replies(min(left, STEP_S)):
                    if not self.nodes[index].take(reply):
                        self._cut_off(index)
                for index in self._watching.malformed():
                    self._cut_off(index)

    def _cut_off(self, index: int) -> None:
        """It says nonsense, or too much: it shows as silent, and is connected to again with the next request."""
        self._watching.drop(index)
        self.nodes[index].silence()
        self.nodes[index].owed = 0

    @property
    def well(self) -> list[int]:
        """The nodes that can take part in consensus."""
        return [node.index for node in self.nodes if node.status and not node.status.unwell]

    def trouble(self) -> str:
        """Why fewer than N-f nodes are well; "" if N-f are."""
        well, needed = len(self.well), self.manifest.quorums.quorum
        if well >= needed:
            return ""
        told = ((node.index, node.status) for node in self.nodes)
        why = (f"node {index}: {s.unwell if s else 'no answer'}" for index, s in told if not s or s.unwell)
        return f"{well} of {needed} needed nodes are well; {'; '.join(why)}"

    def overview(self) -> dict[str, Any]:
        """The cluster, and of each node its status, or None if it is silent, and the age of that in seconds."""
        return {
            "chain": self.manifest.chain_id.hex(),
            "protocol": self.manifest.specification.name,
            "tolerates": self.manifest.quorums.faults,
            "phases": [phase.name for phase in self.manifest.specification.phases],
            "nodes": [_shown(node) for node in self.nodes],
        }

    # -- submission ----------------------------------------------------------------------------------------

    def next_well(self) -> int | None:
        """Another node each time, of those that failed least; None if none is well."""
        well = self.well
        fewest = min((self._failures[node] for node in well), default=0)
        best = [node for node in well if self._failures[node] == fewest]
        return best[next(self._turn) % len(best)] if best else None

    async def submit(self, node: int, transactions: Sequence[bytes]) -> list[int | str | None]:
        """Hand transactions to a node. Of each what the node says at once: the height at which it is committed already,
        why it is refused, or None if it is taken. `TimedOut`: what was sent may yet commit."""
        return await asyncio.get_running_loop().run_in_executor(self._submitters, self._submit, node, transactions)

    def _submit(self, node: int, transactions: Sequence[bytes]) -> list[int | str | None]:
        connections = self._idle.pop()
        try:
            return _hand_in(connections, node, transactions)
        except ClientError:
            self._failures[node] += 1
            # What comes late is nobody's answer.
            connections.drop(node)
            raise
        finally:
            self._idle.append(connections)


def _hand_in(connections: Connections, node: int, transactions: Sequence[bytes]) -> list[int | str | None]:
    outcomes: list[int | str | None] = [None] * len(transactions)
    # A node answers in the order of the questions: what it has not refused until it tells its status, it has taken.
    number = next(_numbers)
    for request in (Submit(number, Transactions.of(transactions).encode()), StatusRequest(number)):
        if not connections.send(node, request):
            raise TimedOut(f"node {node} does not read what it is asked")
    limit = time.monotonic() + PATIENCE_S
    while (left := limit - time.monotonic()) > 0:
        for sender, reply in connections.replies(left):
            if (sender, reply.request) != (node, number):
                continue
            if isinstance(reply, Status):
                return outcomes
            if isinstance(reply, Committed | Refused):
                for position in unpacked(reply.positions).tolist():
                    if position < len(outcomes) and outcomes[position] is None:
                        outcomes[position] = _outcome(reply)
    raise TimedOut(f"node {node} did not answer in time")


_numbers = count(1)


def _outcome(reply: Committed | Refused) -> int | str:
    if isinstance(reply, Committed):
        return reply.height
    return reply.reason if reply.reason in REASONS else "other"


def _shown(node: WatchedNode) -> dict[str, Any]:
    status = node.status
    if status is None:
        return {"node": node.index, "age_s": None, "status": None}
    shown = {name: getattr(status, name) for name in status.__struct_fields__ if name not in NOT_SHOWN}
    return {"node": node.index, "age_s": round(time.monotonic() - node.heard_at, 2), "status": shown}
