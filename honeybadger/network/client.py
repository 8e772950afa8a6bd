"""A client of one node: plain blocking ZeroMQ, for command lines and load generators (no gevent)."""

import time
from typing import Any

import msgspec
import zmq

from honeybadger.network.addresses import endpoint
from honeybadger.network.client_protocol import (
    LONGEST_REQUEST,
    Committed,
    Refused,
    Reply,
    Request,
    encoder,
    reply_decoder,
)
from honeybadger.network.security import secure_client

#: ZeroMQ counts milliseconds in 32 bits
LONGEST_POLL_MS = 2**31 - 1


class NodeClient:
    """Sends requests to, and receives replies from, the node at `host`:`port`.

    `server_key`: the node's public key (Z85). Sends never block: requests beyond a queue of `queue` are not taken.
    `longest_reply`: for a node that is not trusted, bytes of a reply, of which `held` wait to be read; 0: no limit.
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
        held: int = 4,
        queue: int = 1000,
    ) -> None:
        #: replies that no honest node sends; they are dropped
        self.malformed = 0
        self.closed = False
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = queue
        # At this mark a node that lies can end the process of a client that does not read (`NO_MARK` in
        # `receive_guard`). Without one it could fill the client's memory, and nothing here would cut it.
        self.socket.rcvhwm = held if longest_reply else 0
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
            reply = self.receive_now()
            if reply is not None or time.monotonic() >= limit:
                return reply
        return None

    def receive_now(self) -> Reply | None:
        """The next reply if one is there. A malformed one is counted and dropped: then it is None as well."""
        try:
            reply: Reply = reply_decoder.decode(self.socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self.malformed += 1
            return None
        if isinstance(reply, Committed | Refused) and len(reply.positions) % 2:
            self.malformed += 1
            return None
        return reply

    def close(self) -> None:
        """Close the socket."""
        self.closed = True
        self.socket.close(0)
