"""The port that clients talk to, of node 0 of two, on real sockets."""

from collections.abc import Sequence
from typing import Any

import zmq

from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Reply
from honeybadger.network.security import secure_client
from honeybadger.node.client_api import ClientApi
from support.network import HOST, Endpoint, credentials, free_ports


class ClientPort:
    """`submit` as `ClientApi` has it; `client` is one that behaves, and `replies` what it got."""

    def __init__(
        self,
        curve: bool = True,
        submit: Any = None,
        host: str = HOST,
        ports: Sequence[int] | None = None,
        blocks: Any = None,
        longest_reply: int = 0,
    ) -> None:
        members = credentials(2, curve)
        *ports, self.port = ports or free_ports(3)
        self.host, self.key, self.curve = host, members[0].public_key, curve
        self.longest_reply = longest_reply
        self.endpoint = Endpoint(members[0], [(host, port) for port in ports])
        self.other = members[1]
        self.api = ClientApi(
            self.endpoint.context, members[0], (host, self.port), submit, lambda: {"height": 3}, lambda: None, blocks
        )
        self.clients: list[NodeClient] = []
        self.client = self.another()
        self.replies: list[Reply] = []

    def another(self) -> NodeClient:
        """One more client that behaves."""
        self.clients.append(
            NodeClient(
                self.endpoint.context, self.host, self.port, self.key, self.curve, longest_reply=self.longest_reply
            )
        )
        return self.clients[-1]

    def raw(self) -> Any:
        """A client's socket, to send anything through."""
        socket = self.endpoint.context.socket(zmq.DEALER)
        socket.linger = 0
        secure_client(socket, self.key, self.curve)
        socket.connect(f"tcp://{HOST}:{self.port}")
        return socket

    def step(self) -> None:
        self.endpoint.serve()
        self.api.serve()
        while (reply := self.client.receive_now()) is not None:
            self.replies.append(reply)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.api.close(0)
        self.endpoint.close()
