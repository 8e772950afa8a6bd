"""The socket that clients talk to: takes transactions, tells when they are durable, answers how the node is doing and
what is in its ledger.

Clients are not trusted: requests are bounded and typed, a client that does not read its replies loses them, and
nothing it sends can raise out of here.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import zmq

from honeybadger.network.client_protocol import (
    LONGEST_REQUEST,
    BlockQuery,
    Committed,
    Locate,
    Refused,
    Reply,
    Status,
    StatusRequest,
    Submit,
    encoder,
    packed,
    request_decoder,
    transactions_of,
)
from honeybadger.network.receive_guard import Limits
from honeybadger.network.security import CLIENTS_DOMAIN, Credentials, secure_server
from honeybadger.network.transport import HANDSHAKE_MS, listen
from honeybadger.network.watcher import Watcher
from honeybadger.node.application import CommittedBlock, Submission
from honeybadger.node.block_service import BlockService
from honeybadger.node.mempool import Request, Ticket
from honeybadger.transactions import Transactions

#: seconds per turn of the main loop, so that clients cannot starve consensus; one request is always finished
TURN_S = 0.01
#: most requests of one client that wait to be read, if they are as long as they may be
WAITING_REQUESTS = 16
#: bytes of unfinished requests, of all clients together: nothing tells one client with many connections from many
UNFINISHED_BYTES = 16 * LONGEST_REQUEST


class ClientApi:
    """`submit(request, transactions)` takes transactions; `status()` answers a status request; `blocks` answers
    questions about the ledger; `ready()` asks for a call of `serve`."""

    def __init__(
        self,
        context: Any,
        credentials: Credentials,
        address: tuple[str, int],
        submit: Callable[[Request, Transactions], Submission],
        status: Callable[[], dict[str, Any]],
        ready: Callable[[], None],
        blocks: BlockService,
    ) -> None:
        self._submit_to = submit
        self._status = status
        self._blocks = blocks
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.maxmsgsize = LONGEST_REQUEST
        self._socket.sndhwm = 1_000
        self._socket.handshake_ivl = HANDSHAKE_MS
        secure_server(self._socket, credentials, CLIENTS_DOMAIN)
        # In addition to those that wait, one request is being received.
        limits = Limits(LONGEST_REQUEST, UNFINISHED_BYTES, (WAITING_REQUESTS + 1) * LONGEST_REQUEST)
        self._guard = listen(self._socket, address, f"node {credentials.me}, for clients", limits, ready)
        self._watcher = Watcher(self._socket, ready)
        self.refused_requests = 0

    @property
    def connections_cut(self) -> int:
        """Clients' connections that sent a request without end, or too many that were not read yet."""
        return self._guard.cut

    def serve(self) -> bool:
        """Handle waiting requests for a bounded time; True if there may be more."""
        until = time.monotonic() + TURN_S
        while time.monotonic() < until:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                self._guard.look(empty=True)
                return False
            self._guard.delivered(parts, sum(map(len, parts[1:])))
            if len(parts) == 2:
                self._handle(parts[0].bytes, parts[1].buffer)
            else:
                self.refused_requests += 1
        return True

    def report(self, block: CommittedBlock) -> None:
        """A block is durable: tell the clients whose transactions are in it."""
        now = time.monotonic_ns()
        self._report(block.header.height, now, block.tickets)
        for height, tickets in block.repeated.items():
            self._report(height, 0, tickets)

    def close(self, linger_ms: int = 500) -> None:
        """Close the socket after the last replies have left."""
        self._watcher.close()
        self._guard.close()
        self._socket.close(linger_ms)

    def _handle(self, client: bytes, data: memoryview) -> None:
        try:
            request = request_decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self.refused_requests += 1
            return
        if isinstance(request, StatusRequest):
            self._reply(client, Status(request.request, self._status()))
        elif isinstance(request, BlockQuery):
            self._reply(client, self._blocks.answer(client, request))
        elif isinstance(request, Locate):
            self._reply(client, self._blocks.locate(request))
        else:
            self._submit(client, request)

    def _submit(self, client: bytes, request: Submit) -> None:
        try:
            transactions = transactions_of(request)
        except ValueError:
            self.refused_requests += 1
            return
        submission = self._submit_to(Request(client, request.request), transactions)
        for height, positions in submission.durable.items():
            self._reply(client, Committed(request.request, height, 0, packed(positions)))
        for reason, positions in submission.refused.items():
            self._reply(client, Refused(request.request, reason, packed(positions)))

    def _report(self, height: int, durable_ns: int, tickets: Sequence[Ticket]) -> None:
        answers: defaultdict[Request, list[bytes]] = defaultdict(list)
        for request, positions in tickets:
            answers[request].append(packed(positions))
        for request, parts in answers.items():
            self._reply(request.client, Committed(request.number, height, durable_ns, b"".join(parts)))

    def _reply(self, client: bytes, reply: Reply) -> None:
        try:
            self._socket.send_multipart([client, encoder.encode(reply)], zmq.NOBLOCK)
        except zmq.ZMQError:
            # The client is gone or does not read: its loss.
            self.refused_requests += 1
