"""No client sends a request for which a node would close the connection: what is in it would be lost without a word."""

from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from support.requests import submit, submitted

from bench.load.steady import SteadyLoad
from honeybadger.client.submission import REQUEST_BYTES, Submission
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import LONGEST_REQUEST, Submit, encoder
from honeybadger.protocols.quorums import Quorums

LONGEST_TX = LONGEST_REQUEST - 1024


class Recorder:
    """In the place of connections."""

    poller = None

    def __init__(self) -> None:
        self.requests: list[Submit] = []

    def send(self, node: int, request: Submit) -> bool:
        self.requests.append(request)
        return True

    def replies(self, wait_s: float) -> list[Any]:
        return []

    def malformed(self) -> list[int]:
        return []


def fit(requests: list[Submit], transactions: int) -> None:
    assert sum(len(submitted(request)) for request in requests) == transactions
    assert max(len(encoder.encode(request)) for request in requests) <= LONGEST_REQUEST


@pytest.mark.parametrize("first", [REQUEST_BYTES - 1, REQUEST_BYTES, 1])
def test_submit_leaves_the_longest_transaction_alone(first: int) -> None:
    transactions = [bytes(first), bytes(LONGEST_TX), *[b"x"] * 1001, bytes(LONGEST_TX)]
    client: Any = Recorder()
    submission = Submission(client, [0], 1, 60.0, pytest.fail)
    submission.add(transactions)
    submission.step(0)
    fit(client.requests, len(transactions))
    assert [request.request for request in client.requests] == [0, 1, 2, 1002, 1003]


def test_a_steady_load_of_large_transactions_fits() -> None:
    """A thousand of them went into one request, whatever their size."""
    nodes: Any = Recorder()
    load = SteadyLoad(SimpleNamespace(members=[None] * 4, quorums=Quorums(4, 1)), False)  # type: ignore[arg-type]
    load._offer(nodes, [0, 1, 2, 3], 1e5, 4e-4, 1 << 20)
    fit(nodes.requests, 40)


def test_a_request_that_no_node_takes_is_not_sent() -> None:
    context: Any = zmq.Context()
    client = NodeClient(context, "127.0.0.1", 1, "", curve=False)
    try:
        assert client.send(submit(1, [bytes(LONGEST_TX)]))
        with pytest.raises(ValueError, match="longer than 16777216"):
            client.send(submit(1, [bytes(LONGEST_REQUEST)]))
    finally:
        client.close()
        context.term()
