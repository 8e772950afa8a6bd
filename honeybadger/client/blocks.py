"""Blocks that a client can believe, from nodes that it does not trust.

Guarantee: a block that `BlockReader.block` returns is committed. Either its certificate holds, which takes f+1 nodes,
one of them correct (see `ledger.certificates`); or f+1 nodes served the same header, so a correct one did. Its body is
the one that the header commits to. As long as N-f nodes are correct and reachable, every committed block can be had.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from honeybadger.client.connections import Connections
from honeybadger.client.errors import ClientError, TooLarge
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger.block import MAX_BODY_BYTES, Block, Header
from honeybadger.ledger.fetch import ABSENT, SLOWEST, Garbage, NoAnswer, Piece, ask, fetch_body, fetched_header
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import BUSY, BlockPart, BlockQuery, Locate, Located, NoBlock, Reply, Request
from honeybadger.transactions import Transactions

#: a node that was too busy to answer is asked again after this, seconds
BUSY_PAUSE_S = 0.1
#: an offset that no body reaches: for the header alone
PAST_THE_END = 2**40

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CommittedHeader:
    """What a block of the ledger commits to. `nodes` served it: one if it has a `certificate`, otherwise f+1."""

    header: Header
    certificate: bytes
    nodes: tuple[int, ...]

    @property
    def height(self) -> int:
        """The block's place in the chain, from 1."""
        return self.header.height


@dataclass(frozen=True, slots=True)
class CommittedBlock(CommittedHeader):
    """A block of the ledger and its transactions, in order."""

    body: bytes
    transactions: Transactions

    @property
    def block(self) -> Block:
        """As the ledger has it."""
        return Block(self.header, self.body)


class BlockSource:
    """Questions about the ledger to one node, which is not trusted: every wait is bounded.

    `connections`: with replies of up to `LONGEST_BLOCK_REPLY`, used for nothing else; `timeout_s`: patience for one
    answer, may be changed. The methods raise `Garbage` for what no honest node sends; what else is not true, the caller
    must find out.
    """

    def __init__(self, connections: Connections, node: int, timeout_s: float) -> None:
        self.name = f"node {node}"
        self._connections = connections
        self._node = node
        self.timeout_s = timeout_s
        #: questions asked, and answers that came
        self._asked = self._answered = 0
        self._ticket = 0

    def piece(self, height: int, offset: int) -> BlockPart | str:
        """The answer for block `height` with the part of its body at `offset`; a text if there is none, and why."""
        reply = self._ask(lambda number: BlockQuery(number, height, offset, self._ticket))
        if isinstance(reply, BlockPart) and (reply.height, reply.offset) != (height, offset):
            raise Garbage(f"it answers for block {reply.height} from byte {reply.offset}, not {height} from {offset}")
        return reply if isinstance(reply, BlockPart | str) else ABSENT

    def locate(self, transaction: bytes) -> int | str:
        """The height at which the node has the transaction, 0 if it has not; a text if it does not say, and why."""
        reply = self._ask(lambda number: Locate(number, transaction))
        return reply.height if isinstance(reply, Located) else reply if isinstance(reply, str) else "it does not say"

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._connections.drop(self._node)

    def _ask(self, question: Callable[[int], Request]) -> Reply | str:
        """The answer to one question; it is put again while the node is busy."""
        try:
            client = self._connections.client(self._node)
        except ClientError as error:
            return str(error)
        limit = time.monotonic() + self.timeout_s
        nothing = f"no answer for {self.timeout_s:g} s"
        while client.send(question(self._asked + 1)):
            self._asked += 1
            reply = self._await(client, limit)
            if reply is None:
                return nothing
            if not (isinstance(reply, NoBlock) and reply.reason == BUSY):
                return reply
            nothing = "it is busy"
            if time.monotonic() + BUSY_PAUSE_S >= limit:
                return nothing
            time.sleep(BUSY_PAUSE_S)
        return "it does not take questions"

    def _await(self, client: NodeClient, limit: float) -> Reply | None:
        """The answer to the last question. Late answers to earlier ones count only for their ticket."""
        while (left := limit - time.monotonic()) > 0:
            reply = client.receive(left)
            if client.malformed:
                raise Garbage("it sends what no node sends")
            if reply is None:
                continue
            self._answered += 1
            if self._answered > self._asked:
                raise Garbage("it sends more answers than it was asked questions")
            if isinstance(reply, BlockPart):
                self._ticket = reply.ticket
            if reply.request == self._asked:
                return reply
        return None


class BlockReader:
    """Reads committed blocks from `sources` (by node). A node that lies is not asked again: `drop(node, why)` hears it.

    `enough`: f+1, or fewer if the caller trusts nodes. All nodes are asked, one after the other, until a certificate or
    `enough` of them settle the question. Quick nodes take turns to be the first; slow ones come last. A block with more
    than `most_bytes` of transactions is not read.
    """

    def __init__(
        self,
        manifest: Manifest,
        sources: Mapping[int, BlockSource],
        enough: int,
        patience_s: float,
        drop: Callable[[int, str], None],
        most_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._chain_id = manifest.chain_id
        self._key = manifest.public_keys.certificate
        self._enough = enough
        self._sources = dict(sources)
        self._patience_s = patience_s
        self._drop = drop
        self._most_bytes = most_bytes
        #: how slow each node was the last time, in powers of two, and when it was asked
        self._slowness = dict.fromkeys(self._sources, 0)
        self._asked_at = dict.fromkeys(self._sources, 0.0)

    def block(self, height: int, limit: float = math.inf, *, certified: bool = False) -> CommittedBlock | None:
        """The block at `height`, or None if f+1 nodes say that it is not there (yet).

        `limit`: no waiting after this, seconds of the monotonic clock; `certified`: only with a certificate. Raises
        NoAnswer: ask again a little later; ClientError if too many nodes have lied; `TooLarge`.
        """
        return self._first(
            limit, partial(self._fetch_block, height, limit, math.inf if certified else self._enough, {})
        )

    def header(self, height: int, limit: float = math.inf) -> CommittedHeader | None:
        """The header of the block at `height`, without reading the block. None and errors as for `block`."""
        votes: dict[int, bytes] = {}
        return self._first(limit, lambda node: self._fetch_header(height, PAST_THE_END, self._enough, votes, node)[0])

    def locate(self, transaction: bytes, limit: float = math.inf) -> CommittedBlock | None:
        """The block that holds the transaction; None if f+1 nodes say that it is not committed. Raises NoAnswer."""
        denied = 0
        for node in self._nodes():
            try:
                height = self._timed(node, limit, partial(self._sources[node].locate, transaction))
                denied += height == 0
                block = self.block(height, limit) if height and isinstance(height, int) else None
            except NoAnswer:
                continue
            if block is not None and transaction in block.transactions:
                return block
            if block is not None:
                self.exclude(node, f"it says that block {height} holds a transaction which is not there")
            if denied >= self._enough:
                return None
        raise NoAnswer("too few nodes answer")

    def exclude(self, node: int, why: str) -> None:
        """Ask the node no more."""
        if (source := self._sources.pop(node, None)) is not None:
            source.close()
            self._drop(node, why)

    def _nodes(self) -> Iterator[int]:
        """All that do not lie: the quick ones first, by turns."""
        for node in sorted(self._sources, key=lambda n: (self._slowness[n], self._asked_at[n])):
            # It may have been excluded by now.
            if node in self._sources:
                yield node
        if not self._sources:
            raise ClientError("no node is left that has not lied")

    def _first(self, limit: float, fetch: Callable[[int], T]) -> T | None:
        """What `fetch` gets from the first node that has it; None if enough nodes say that it is not there."""
        denied = 0
        for node in self._nodes():
            try:
                return self._timed(node, limit, partial(fetch, node))
            except NoAnswer as error:
                denied += str(error) == ABSENT
            if denied >= self._enough:
                return None
        raise NoAnswer("too few nodes answer")

    def _timed(self, node: int, limit: float, work: Callable[[], T]) -> T:
        """The result of `work`; Garbage counts against the node. Raises NoAnswer."""
        began = self._asked_at[node] = time.monotonic()
        length = 0
        patience_s = min(self._patience_s, limit - began)
        if patience_s <= 0:
            raise NoAnswer("the time is up")
        self._sources[node].timeout_s = patience_s
        try:
            result = work()
            if isinstance(result, CommittedBlock):
                length = len(result.body)
            return result
        except Garbage as error:
            self.exclude(node, str(error))
            raise NoAnswer from None
        finally:
            share = (time.monotonic() - began) / (self._patience_s + length / SLOWEST)
            self._slowness[node] = int(share * 64).bit_length()

    def _fetch_header(
        self, height: int, offset: int, enough: float, votes: dict[int, bytes], node: int
    ) -> tuple[CommittedHeader, Piece]:
        """The header, and the answer that has it and the body from `offset` on. `votes`: node → the hash of the header
        that it served without a certificate; without one, a header needs `enough` of them."""
        first = ask(self._sources[node], height, offset)
        header = fetched_header(first, height, self._chain_id, self._key)
        vouching: tuple[int, ...] = (node,)
        if not first.certificate:
            votes[node] = header.hash
            vouching = tuple(sorted(node for node, voted in votes.items() if voted == header.hash))
            if len(vouching) < enough:
                raise NoAnswer("it has no certificate for it yet")
        return CommittedHeader(header, first.certificate, vouching), first

    def _fetch_block(
        self, height: int, deadline: float, enough: float, votes: dict[int, bytes], node: int
    ) -> CommittedBlock:
        limit = time.monotonic() + self._sources[node].timeout_s
        committed, first = self._fetch_header(height, 0, enough, votes, node)
        if committed.header.tx_bytes > self._most_bytes:
            raise TooLarge(f"block {height} has more than {self._most_bytes} bytes of transactions")
        body, transactions = fetch_body(self._sources[node], committed.header, first, limit, deadline)
        return CommittedBlock(committed.header, committed.certificate, committed.nodes, body, transactions)
