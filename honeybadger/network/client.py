"""A client of one node: plain blocking ZeroMQ, for command lines and load generators (no gevent)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import zmq

from honeybadger.network.addresses import endpoint
from honeybadger.network.client_protocol import (
    BUSY,
    LONGEST_REQUEST,
    BlockPart,
    BlockQuery,
    NoBlock,
    Reply,
    Request,
    encoder,
    reply_decoder,
)
from honeybadger.network.security import secure_client

#: a node that was too busy to answer is asked again after this, seconds
BUSY_PAUSE_S = 0.1
#: ZeroMQ counts milliseconds in 32 bits
LONGEST_POLL_MS = 2**31 - 1


class NodeClient:
    """Sends requests to, and receives replies from, the node at `host`:`port`.

    `server_key`: the node's public key (Z85). Sends never block: requests beyond a queue of `queue` are not taken.
    `longest_reply`: for a node that is not trusted, bytes of a reply, of which few are held; 0: no limit.
    """

    def __init__(
        self,
        context: Any,
        host: str,
        port: int,
        server_key: str,
        curve: bool = True,
        *,
        longest_reply: int = 0,
        queue: int = 1000,
    ) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = queue
        self.socket.rcvhwm = 4 if longest_reply else 0
        if longest_reply:
            self.socket.maxmsgsize = longest_reply
        self.socket.reconnect_ivl_max = 1000
        secure_client(self.socket, server_key, curve)
        self.socket.connect(endpoint(self.socket, host, port))

    def send(self, request: Request) -> bool:
        """Queue a request; False if the queue is full. ValueError for one that is so long that the node would close the
        connection."""
        data = encoder.encode(request)
        if len(data) > LONGEST_REQUEST:
            raise ValueError(f"a request of {len(data)} bytes is longer than {LONGEST_REQUEST}")
        try:
            self.socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, timeout_s: float) -> Reply | None:
        """The next reply, or None after `timeout_s` seconds, whatever else the node sends meanwhile."""
        limit = time.monotonic() + timeout_s
        while self.socket.poll(max(0, min(LONGEST_POLL_MS, int((limit - time.monotonic()) * 1000)))):
            reply = _decode(self.socket.recv(zmq.NOBLOCK))
            if reply is not None:
                return reply
            if time.monotonic() >= limit:
                break
        return None

    def receive_now(self) -> Reply | None:
        """The next reply if one is there. Malformed ones are dropped."""
        while True:
            try:
                reply = _decode(self.socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return None
            if reply is not None:
                return reply

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)


class BlockSource:
    """Blocks from one member of a cluster, which is not trusted: every wait is bounded, what it says is not checked.

    `name` is for people; `connect()` opens the client, at the first query; `timeout_s`: patience for one answer.
    """

    def __init__(self, name: str, connect: Callable[[], NodeClient], timeout_s: float) -> None:
        self.name = name
        self._connect = connect
        self._timeout_s = timeout_s
        self._client: NodeClient | None = None
        self._request = 0
        self._ticket = 0

    def piece(self, height: int, offset: int) -> BlockPart | str:
        """The answer for block `height` with the part of its body at `offset`; a text if there is none, and why."""
        if self._client is None:
            try:
                self._client = self._connect()
            except zmq.ZMQError as error:
                return f"cannot connect: {error.strerror}"
        limit = time.monotonic() + self._timeout_s
        while True:
            reply = self._ask(self._client, height, offset, limit)
            if reply is None:
                return f"no answer for {self._timeout_s:g} s"
            if isinstance(reply, BlockPart):
                return reply
            if reply.reason != BUSY:
                return "it does not have the block"
            if time.monotonic() + BUSY_PAUSE_S >= limit:
                return "it is busy"
            time.sleep(BUSY_PAUSE_S)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, client: NodeClient, height: int, offset: int, limit: float) -> BlockPart | NoBlock | None:
        """The answer to one query. Late answers to earlier ones count only for their ticket."""
        self._request += 1
        client.send(BlockQuery(self._request, height, offset, self._ticket))
        while (left := limit - time.monotonic()) > 0:
            reply = client.receive(left)
            if isinstance(reply, BlockPart):
                self._ticket = reply.ticket
                if (reply.request, reply.height, reply.offset) == (self._request, height, offset):
                    return reply
            elif isinstance(reply, NoBlock) and reply.request == self._request:
                return reply
        return None


def _decode(data: bytes) -> Reply | None:
    """A reply, None if it is malformed."""
    try:
        reply: Reply = reply_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return reply
