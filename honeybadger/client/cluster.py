"""A cluster as an application sees it: submit transactions, follow the ledger, prove what is in it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from honeybadger.client.blocks import BlockReader, BlockSource, CommittedBlock, CommittedHeader
from honeybadger.client.connections import Connections
from honeybadger.client.errors import ClientError, Refused, TimedOut, Undecided
from honeybadger.client.evidence import Evidence
from honeybadger.client.status import NodeStatus, ask_status, typed
from honeybadger.client.submission import WINDOW, Submission
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger.block import MAX_BODY_BYTES
from honeybadger.ledger.fetch import NoAnswer
from honeybadger.network.client_protocol import LONGEST_ANSWER, LONGEST_BLOCK_REPLY, LONGEST_STATUS
from honeybadger.wording import counted

#: replies of a node that wait to be read
HELD_REPLIES = 64
#: without news the nodes are asked this often, seconds
POLL_S = 0.1
#: a step of waiting, seconds
STEP_S = 0.2

log = logging.getLogger("honeybadger.client")
T = TypeVar("T")


class Cluster(AbstractContextManager["Cluster"]):
    """The cluster of a manifest. Needs no secret: anybody may submit and read. One thread uses it; open one a thread.

    `nodes`: whom to talk to (default: all). `confirmations`: as many nodes must say the same where there is no
    certificate; f+1 by default, and 1 means that every node is trusted. `curve`: instead of the manifest's.
    `patience_s`: a node that takes longer for an answer counts as slow, and others are asked. `most_block_bytes`: a
    block with more bytes of transactions is not read; `TooLarge`.

    `liars` names the nodes that sent what no honest node sends, and why. They are not asked again; a warning in the log
    says so.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        nodes: Sequence[int] | None = None,
        confirmations: int | None = None,
        curve: bool | None = None,
        patience_s: float = 3.0,
        most_block_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        members = len(manifest.members)
        self.manifest = manifest
        self.nodes = list(range(members) if nodes is None else dict.fromkeys(nodes))
        self.confirmations = manifest.quorums.weak if confirmations is None else confirmations
        self.liars: dict[int, str] = {}
        self._curve = manifest.runtime.curve if curve is None else curve
        self._patience_s = patience_s
        self._most_block_bytes = most_block_bytes
        for node in self.nodes:
            if not 0 <= node < members:
                raise ClusterError(f"node {node} is not in the manifest (nodes 0 … {members - 1})")
        if not 1 <= self.confirmations <= len(self.nodes):
            raise ClusterError(f"{counted(len(self.nodes), 'node')} cannot give {self.confirmations} confirmations")
        self._talk = self._connect(LONGEST_ANSWER, HELD_REPLIES, WINDOW)
        self._read = self._connect(LONGEST_BLOCK_REPLY)
        #: for single questions
        self._reader = self._read_over(self._read)
        #: for streams of transactions: `submit` without waiting. `submit` itself abandons what is on its way here
        self.submission = Submission(self._talk, self.nodes, self.confirmations, self._patience_s, self._drop)

    @classmethod
    def open(cls, path: str | Path, **options: Any) -> Cluster:
        """The cluster of the manifest at `path` (`cluster.toml`); ClusterError names what is wrong with it.

        `options`: those of `Cluster`. No node needs to be there yet: connections open when they are used.
        """
        return cls(Manifest.load(Path(path)), **options)

    # -- writing -------------------------------------------------------------------------------------------

    def submit(self, transactions: Sequence[bytes], timeout_s: float = 60.0) -> list[int]:
        """Put transactions into the ledger and wait: the height of each, in order.

        A height is true if one of the nodes that confirmed it is correct; the block is on their disks. ValueError for a
        transaction that no node takes (empty, or too long). `Refused` if the nodes do not take some, `Undecided` after
        `timeout_s`: their `outcomes` tell which are committed.
        """
        longest = self.manifest.parameters.max_tx_bytes
        for transaction in transactions:
            if not 0 < len(transaction) <= longest:
                raise ValueError(f"a transaction of {len(transaction)} bytes; 1 to {longest} are allowed")
        submission, limit = self.submission, time.monotonic() + timeout_s
        first = submission.add(transactions)
        try:
            while submission.busy and (left := limit - time.monotonic()) > 0:
                submission.step(min(STEP_S, left))
            outcomes = [submission.outcomes.get(first + index) for index in range(len(transactions))]
        finally:
            submission.abandon()
        if undecided := outcomes.count(None):
            text = f"{counted(undecided, 'transaction')} not confirmed within {timeout_s:g} s; they may yet commit"
            raise Undecided(text, outcomes)
        if reasons := [outcome for outcome in outcomes if isinstance(outcome, str)]:
            text = f"{counted(len(reasons), 'transaction')} refused: {', '.join(sorted(set(reasons)))}"
            raise Refused(text, outcomes)
        return [outcome for outcome in outcomes if isinstance(outcome, int)]

    # -- reading -------------------------------------------------------------------------------------------

    def follow(
        self, first: int = 1, last: int | None = None, timeout_s: float | None = None
    ) -> Iterator[CommittedBlock]:
        """Committed blocks from height `first` on, none left out, each once; to `last`, or without end.

        Waits for blocks that are not there yet, and for nodes that are down; `TimedOut` if no block comes for
        `timeout_s` seconds, None: without end, even to `last`. Every block is checked (see `blocks`), so it does not
        matter which node served it. `ClientError` if no node is left that has not lied, or if two committed blocks do
        not link: then more than f nodes are faulty.
        """
        if first < 1:
            raise ValueError("the first block has height 1")
        with self._connect(LONGEST_BLOCK_REPLY) as connections:
            reader = self._read_over(connections)
            previous = self.manifest.chain_id if first == 1 else None
            height = first
            while last is None or height <= last:
                block = self._wait(reader, height, timeout_s)
                if previous not in (None, block.header.previous):
                    raise ClientError(f"block {height} does not follow block {height - 1}: too many nodes are faulty")
                yield block
                previous, height = block.header.hash, height + 1

    def block(self, height: int, timeout_s: float = 10.0) -> CommittedBlock:
        """One committed block, checked as by `follow`; `TimedOut` if it does not come in time."""
        return self._wait(self._reader, height, timeout_s)

    def header(self, height: int, timeout_s: float = 10.0) -> CommittedHeader | None:
        """The header of a committed block, without reading the block; None if f+1 nodes say that it is not there (yet).

        `TimedOut` if too few nodes answer.
        """
        return _persist(lambda limit: self._reader.header(height, limit), timeout_s, f"block {height} did not come")

    def find(self, transaction: bytes, timeout_s: float = 10.0) -> CommittedBlock | None:
        """The committed block that holds the transaction; None if f+1 nodes say that they have none. `TimedOut`."""
        ask = partial(self._reader.locate, transaction)
        return _persist(ask, timeout_s, "too few nodes said where the transaction is")

    def prove(self, transaction: bytes, timeout_s: float = 10.0) -> Evidence | None:
        """Evidence that the transaction is committed, which convinces others as well; None as for `find`.

        It has a certificate if the cluster makes any; a block gets it a moment after it is committed. `TimedOut`.
        """
        limit = time.monotonic() + timeout_s
        block = self.find(transaction, timeout_s)
        if block is None:
            return None
        if not block.certificate and self.manifest.runtime.recovery:
            block = self._wait(self._reader, block.height, limit - time.monotonic(), certified=True)
        return Evidence.of(block, transaction)

    def status(self, timeout_s: float = 3.0) -> list[NodeStatus | None]:
        """What each node says of itself, None for one that does not answer or is not asked. Nothing of it is proven."""
        with self._connect(LONGEST_STATUS) as connections:
            answers = ask_status(connections, [node for node in self.nodes if node not in self.liars], timeout_s)
        return [typed(answers.get(node)) for node in range(len(self.manifest.members))]

    # -- connections ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections. Blocks that are followed at this time can still be read."""
        self._talk.close()
        self._read.close()

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self.close()

    def _drop(self, node: int, why: str) -> None:
        if node not in self.liars:
            self.liars[node] = why
            log.warning("node %d lies, and is asked no more: %s", node, why)
            self._reader.exclude(node, why)
            self.submission.exclude(node, why)

    def _connect(self, longest_reply: int, held: int = 4, queue: int = 4) -> Connections:
        return Connections(self.manifest.members, self._curve, longest_reply=longest_reply, held=held, queue=queue)

    def _read_over(self, connections: Connections) -> BlockReader:
        sources = {n: BlockSource(connections, n, self._patience_s) for n in self.nodes if n not in self.liars}
        limits = (self.confirmations, self._patience_s, self._drop, self._most_block_bytes)
        return BlockReader(self.manifest, sources, *limits)

    @staticmethod
    def _wait(reader: BlockReader, height: int, timeout_s: float | None, certified: bool = False) -> CommittedBlock:
        def ask(limit: float) -> CommittedBlock:
            if (block := reader.block(height, limit, certified=certified)) is None:
                raise NoAnswer("it is not there yet")
            return block

        return _persist(ask, timeout_s, f"block {height} did not come")


def _persist(ask: Callable[[float], T], timeout_s: float | None, trouble: str) -> T:
    """What `ask(limit)` returns; while it raises NoAnswer it is asked again, until the time is up: `TimedOut`."""
    limit = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            return ask(limit)
        except NoAnswer:
            if time.monotonic() > limit:
                raise TimedOut(f"{trouble} within {timeout_s:g} s") from None
            time.sleep(POLL_S)
