"""`honeybadger submit`: put transactions into the ledger and wait until they are there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import zmq

from honeybadger.cli.options import FiniteFloat, cluster_option, option
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.addresses import place
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Committed, Refused, Submit
from honeybadger.protocols.split import split

#: transactions, and bytes, per request; a longer transaction is alone in one
REQUEST_TRANSACTIONS = 1000
REQUEST_BYTES = 4 * 1024 * 1024
#: seconds without any answer after which a person is told what is waited for
WORTH_SAYING_S = 3.0
#: requests that may be unanswered at a time
WINDOW = 16


@click.command("submit")
@cluster_option
@option("--node", default=0, type=click.IntRange(min=0), help="Node to submit to.")
@click.option("--hex", "as_hex", is_flag=True, help="Each line is a transaction in hexadecimal.")
@option("--timeout", default=60.0, type=FiniteFloat(min=0.1), help="Give up after this many silent seconds.")
@option("--curve/--no-curve", default=None, help="Instead of the manifest's.")
@click.argument("file", type=click.File("rb"))
def command(cluster: Path, node: int, as_hex: bool, timeout: float, curve: bool | None, file: BinaryIO) -> int:
    """Submit the transactions in FILE (or - for standard input), one a line, and wait until they are committed.

    Prints one line per transaction, in order: the height of its block, or why it was refused. Exit status 0 only if
    all were committed.
    """
    manifest = Manifest.load(cluster)
    if node >= len(manifest.members):
        raise ClusterError(f"node {node} is not in the manifest (nodes 0 … {len(manifest.members) - 1})")
    transactions = list(_read(file, as_hex, manifest.parameters.max_tx_bytes))
    member = manifest.members[node]
    context: Any = zmq.Context()
    client = NodeClient(
        context, member.host, member.client_port, member.public_key, manifest.runtime.curve if curve is None else curve
    )
    where = f"node {node} at {place(member.host, member.client_port)}"
    try:
        outcome = _submit(client, transactions, timeout, where)
    finally:
        client.close()
        context.term()
    for line in outcome:
        click.echo(line)
    unanswered = len(transactions) - len(outcome)
    if unanswered:
        raise ClusterError(f"{where} left {unanswered} transactions unanswered for {timeout:g} s; they may yet commit")
    return 0 if all(line.isdigit() for line in outcome) else 1


def _read(file: BinaryIO, as_hex: bool, longest: int) -> Iterator[bytes]:
    """Transactions of the file; ClusterError names the first bad line. Empty lines are skipped."""
    for number, line in enumerate(file, start=1):
        transaction = line.rstrip(b"\r\n")
        if not transaction:
            continue
        if as_hex:
            try:
                transaction = bytes.fromhex(transaction.decode("ascii"))
            except ValueError:
                raise ClusterError(f"line {number} is not hexadecimal") from None
        if len(transaction) > longest:
            raise ClusterError(f"line {number}: a transaction of {len(transaction)} bytes is longer than {longest}")
        yield transaction


def _requests(transactions: list[bytes]) -> Iterator[Submit]:
    """Split into requests; the request number is the index of its first transaction."""
    start = 0
    for part in split(transactions, REQUEST_TRANSACTIONS, REQUEST_BYTES):
        yield Submit(start, part)
        start += len(part)


def _submit(client: NodeClient, transactions: list[bytes], timeout: float, where: str) -> list[str]:
    """Outcome of each transaction in order, cut off at the first unanswered one after `timeout` silent seconds."""
    outcome: dict[int, str] = {}
    requests = _requests(transactions)
    open_requests: dict[int, int] = {}
    silent_since = time.monotonic()
    done = said = False
    while True:
        while not done and len(open_requests) < WINDOW:
            request = next(requests, None)
            if request is None:
                done = True
            else:
                client.send(request)
                open_requests[request.request] = len(request.transactions)
        if not open_requests:
            break
        reply = client.receive(0.2)
        if reply is None:
            silent_s = time.monotonic() - silent_since
            if silent_s > timeout:
                break
            if silent_s > WORTH_SAYING_S and not said:
                said = True
                click.echo(f"no answer from {where} yet; waiting up to {timeout:g} s", err=True)
            continue
        silent_since = time.monotonic()
        if isinstance(reply, Committed | Refused) and reply.request in open_requests:
            text = str(reply.height) if isinstance(reply, Committed) else f"refused: {reply.reason}"
            outcome.update((reply.request + position, text) for position in reply.positions)
            open_requests[reply.request] -= len(reply.positions)
            if open_requests[reply.request] <= 0:
                del open_requests[reply.request]
    if len(outcome) < len(transactions):
        click.echo(f"{len(outcome)} of {len(transactions)} transactions were answered", err=True)
    return [outcome[index] for index in range(len(transactions)) if index in outcome]
