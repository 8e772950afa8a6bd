"""A client of one node: plain blocking ZeroMQ, for command lines and load generators (no gevent)."""

from __future__ import annotations

from typing import Any

import msgspec
import zmq

from honeybadger.network.client_protocol import Reply, Request, encoder, reply_decoder
from honeybadger.network.security import secure_client


class NodeClient:
    """Sends requests to, and receives replies from, the node at `host`:`port`.

    `server_key`: the node's public key (Z85). Sends never block: a node that is away loses requests beyond ZeroMQ's
    queue.
    """

    def __init__(self, context: Any, host: str, port: int, server_key: str, curve: bool = True) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 1000
        self.socket.rcvhwm = 0
        self.socket.reconnect_ivl_max = 1000
        secure_client(self.socket, server_key, curve)
        self.socket.connect(f"tcp://{host}:{port}")

    def send(self, request: Request) -> bool:
        """Queue a request; False if the queue is full."""
        try:
            self.socket.send(encoder.encode(request), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, timeout_s: float) -> Reply | None:
        """The next reply, or None after `timeout_s` seconds."""
        if not self.socket.poll(int(timeout_s * 1000)):
            return None
        return self.receive_now()

    def receive_now(self) -> Reply | None:
        """The next reply if one is there. Malformed ones are dropped."""
        while True:
            try:
                reply: Reply = reply_decoder.decode(self.socket.recv(zmq.NOBLOCK))
                return reply
            except zmq.Again:
                return None
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                continue

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)
