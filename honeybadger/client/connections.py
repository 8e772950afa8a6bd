"""Connections to the client ports of a cluster's nodes. The load generator's loop runs on them, so they stay thin."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import zmq

from honeybadger.client.errors import ClientError
from honeybadger.cluster.manifest import Member
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Reply, Request

#: replies of one node that are taken in a row, so that a node that floods does not keep the others waiting
IN_A_ROW = 1000


class Connections(AbstractContextManager["Connections"]):
    """One connection to each node that is talked to, opened when it is first used, or at once for those in `nodes`.

    `members`, `curve`: as in the manifest. `longest_reply`, `held`, `queue`: see `NodeClient`. For one thread.
    """

    def __init__(
        self,
        members: Sequence[Member],
        curve: bool,
        nodes: Iterable[int] = (),
        *,
        longest_reply: int = 0,
        held: int = 4,
        queue: int = 1000,
    ) -> None:
        self.members = members
        self._curve = curve
        self._limits = {"longest_reply": longest_reply, "held": held, "queue": queue}
        # A name that is not found holds up a thread of ZeroMQ for a while.
        self._context: Any = zmq.Context(io_threads=min(16, len(self.members)))
        self._clients: dict[int, NodeClient] = {}
        self._node_of: dict[Any, int] = {}
        # Left to the collector, a context may be finalised before its sockets, and wait for them without end.
        self._finalizer = weakref.finalize(self, _close, self._clients, self._context)
        #: for those who wait for something else as well
        self.poller = zmq.Poller()
        for node in nodes:
            self.client(node)

    def client(self, node: int) -> NodeClient:
        """The connection to a node; ClientError if the machine has no room for another."""
        if node not in self._clients:
            member = self.members[node]
            try:
                client = NodeClient(
                    self._context, member.host, member.client_port, member.public_key, self._curve, **self._limits
                )
            except zmq.ZMQError as error:
                raise ClientError(f"cannot connect to node {node}: {error.strerror}") from None
            self._clients[node] = client
            self._node_of[client.socket] = node
            self.poller.register(client.socket, zmq.POLLIN)
        return self._clients[node]

    def send(self, node: int, request: Request) -> bool:
        """Queue a request; False if the queue is full."""
        return self.client(node).send(request)

    def replies(self, wait_s: float) -> Iterator[tuple[int, Reply]]:
        """(node, reply) for all replies that are there, after up to `wait_s` seconds for the first."""
        for socket, _ in self.poller.poll(max(0, int(wait_s * 1000))):
            node = self._node_of.get(socket, -1)
            if (client := self._clients.get(node)) is None:
                continue
            for _ in range(IN_A_ROW):
                if (reply := client.receive_now()) is None:
                    break
                yield node, reply
                if client.closed:
                    # It was dropped for its reply.
                    break

    def malformed(self) -> list[int]:
        """The nodes that sent what no honest node sends."""
        return [node for node, client in self._clients.items() if client.malformed]

    def drop(self, node: int) -> None:
        """Close the connection to a node; `client` would open another."""
        if (client := self._clients.pop(node, None)) is not None:
            del self._node_of[client.socket]
            self.poller.unregister(client.socket)
            client.close()

    def close(self) -> None:
        """Close all. What was sent and has not left yet is lost."""
        self._finalizer()

    def __exit__(self, *_: object) -> None:
        """Close all."""
        self.close()


def _close(clients: dict[int, NodeClient], context: Any) -> None:
    for client in clients.values():
        client.close()
    clients.clear()
    context.term()
