"""The clients of a simulated node, who are not on the network: what they send is there, and so is what they hear."""

from collections import deque
from collections.abc import Callable

from honeybadger.node.application import CommittedBlock, Submission
from honeybadger.node.mempool import Request
from honeybadger.simulation.virtual_time.events import Trace
from honeybadger.transactions import Transactions

#: seconds per turn of the main loop, as in a real node
TURN_S = 0.01


class ReplyTo:
    """Hears what becomes of a client's transactions; times are in virtual seconds."""

    def answered(self, node: int, request: Request, submission: Submission, at: float) -> None:
        """What became of the request at once."""

    def durable(self, node: int, block: CommittedBlock, at: float) -> None:
        """A block is on the node's disk: those who wait for its transactions hear of it."""


class VirtualClients:
    """Implements `Clients` for node `me`. `submit(request, transactions)`: the node takes them. `trace` hears which
    block is durable at which height."""

    def __init__(
        self,
        me: int,
        submit: Callable[[Request, Transactions], Submission],
        now: Callable[[], float],
        reply_to: ReplyTo,
        trace: Trace,
    ) -> None:
        self._me = me
        self._submit = submit
        self._now = now
        self._reply_to = reply_to
        self._trace = trace
        self._requests: deque[tuple[Request, Transactions]] = deque()
        self._answers: list[tuple[Request, Submission]] = []

    def arrived(self, request: Request, transactions: Transactions) -> None:
        self._requests.append((request, transactions))

    def serve(self) -> bool:
        until = self._now() + TURN_S
        while self._requests and self._now() < until:
            request, transactions = self._requests.popleft()
            self._answers.append((request, self._submit(request, transactions)))
        return bool(self._requests)

    def leave(self) -> None:
        """The answers of the tick leave now."""
        answers, self._answers = self._answers, []
        for request, submission in answers:
            self._reply_to.answered(self._me, request, submission, self._now())

    def report(self, block: CommittedBlock) -> None:
        header = block.header
        self._trace.write(self._now(), self._me, "chained", {"height": header.height, "hash": header.hash.hex()})
        self._reply_to.durable(self._me, block, self._now())

    def close(self) -> None:
        self._requests.clear()
