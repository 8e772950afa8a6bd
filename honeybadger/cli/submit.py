"""`honeybadger submit`: put transactions into the ledger and wait until they are there."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import zmq

from honeybadger.cli.options import FiniteFloat, cluster_option, option
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger.errors import printable
from honeybadger.network.addresses import place
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Committed, Refused, Submit
from honeybadger.protocols.split import split
from honeybadger.wording import counted

#: transactions, and bytes, per request; a longer transaction is alone in one
REQUEST_TRANSACTIONS = 1000
REQUEST_BYTES = 4 * 1024 * 1024
#: seconds without any answer after which a person is told what is waited for
WORTH_SAYING_S = 3.0
#: requests that may be unanswered at a time
WINDOW = 16
#: bytes of the input that are read at a time
READ_BYTES = 1024 * 1024


@click.command("submit")
@cluster_option
@option("--node", default=0, type=click.IntRange(min=0), help="Node to submit to.")
@click.option("--hex", "as_hex", is_flag=True, help="Each line is a transaction in hexadecimal.")
@option("--timeout", default=60.0, type=FiniteFloat(min=0.1), help="Give up after this many silent seconds.")
@option("--curve/--no-curve", default=None, help="Instead of the manifest's.")
@click.argument("file", type=click.File("rb"))
def command(cluster: Path, node: int, as_hex: bool, timeout: float, curve: bool | None, file: BinaryIO) -> int:
    """Submit the transactions in FILE (or - for standard input), one a line, and wait until they are committed.

    Lines are sent as they arrive. Prints one line per transaction, in order: the height of its block, or why it was
    refused. Exit status 0 only if all were committed.
    """
    manifest = Manifest.load(cluster)
    if node >= len(manifest.members):
        raise ClusterError(f"node {node} is not in the manifest (nodes 0 … {len(manifest.members) - 1})")
    arriving = (file.fileno(), as_hex, manifest.parameters.max_tx_bytes)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        # All of it is here, so a bad line is found before anything is sent.
        begin = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        for _ in _transactions(*arriving):
            pass
        os.lseek(file.fileno(), begin, os.SEEK_SET)
    member = manifest.members[node]
    context: Any = zmq.Context()
    client = NodeClient(
        context, member.host, member.client_port, member.public_key, manifest.runtime.curve if curve is None else curve
    )
    try:
        submission = _Submission(client, timeout, f"node {node} at {place(member.host, member.client_port)}")
        submission.run(file.fileno(), _transactions(*arriving))
        return 0 if submission.all_committed else 1
    finally:
        client.close()
        context.term()


def _transactions(descriptor: int, as_hex: bool, longest: int) -> Iterator[list[bytes]]:
    """What each reading brings, without empty lines; ClusterError names the first bad line, after those before it."""
    number, rest = 0, b""
    while True:
        data = os.read(descriptor, READ_BYTES)
        *lines, rest = (rest + data).split(b"\n")
        found = []
        try:
            for line in lines if data else [rest]:
                number += 1
                if transaction := _transaction(line, as_hex, longest):
                    found.append(transaction)
            # A line without end must not fill the memory; hexadecimal digits may have blanks between them.
            if len(rest) > 4 * longest:
                number += 1
                raise ValueError(f"a transaction is longer than {longest} bytes")
        except ValueError as error:
            yield found
            raise ClusterError(f"line {number}: {error}") from None
        yield found
        if not data:
            return


def _transaction(line: bytes, as_hex: bool, longest: int) -> bytes:
    transaction = line.rstrip(b"\r")
    if as_hex:
        try:
            transaction = bytes.fromhex(line.decode("ascii"))
        except ValueError:
            raise ValueError("not hexadecimal") from None
    if len(transaction) > longest:
        raise ValueError(f"a transaction of {len(transaction)} bytes is longer than {longest}")
    return transaction


class _Submission:
    """Sends transactions to a node as they arrive, and prints what becomes of each, in the same order."""

    def __init__(self, client: NodeClient, timeout: float, where: str) -> None:
        self._client = client
        self._timeout = timeout
        self._where = where
        #: have arrived and are not sent; none is read while there are any
        self._waiting: list[bytes] = []
        #: transactions have numbers from 0: the next one to be sent, and to be printed
        self._sent = self._printed = 0
        #: number of a request's first transaction → how many of it are not answered
        self._open: dict[int, int] = {}
        #: of transactions that are not printed yet
        self._outcome: dict[int, str] = {}
        self.all_committed = True

    def run(self, descriptor: int, arriving: Iterator[list[bytes]]) -> None:
        """Until all is answered. ClusterError for a bad line, or if the node is silent for too long."""
        poller = zmq.Poller()
        poller.register(self._client.socket, zmq.POLLIN)
        bad_line: ClusterError | None = None
        heard_at, ended, said = time.monotonic(), False, False
        while self._open or self._waiting or not ended:
            # With 0 it is not looked at.
            poller.register(descriptor, 0 if ended or self._waiting else zmq.POLLIN)
            if descriptor in dict(poller.poll(200)):
                try:
                    more = next(arriving, None)
                except ClusterError as error:
                    more, bad_line = None, error
                ended = more is None
                self._waiting = more or []
            if self._take_replies() or not self._open:
                heard_at = time.monotonic()
            self._send()
            silent_s = time.monotonic() - heard_at
            if silent_s > self._timeout:
                unanswered = self._sent + len(self._waiting) - self._printed - len(self._outcome)
                raise ClusterError(
                    f"{self._where} left {counted(unanswered, 'transaction')} unanswered for {self._timeout:g} s; "
                    "what was sent may yet commit"
                )
            if silent_s > WORTH_SAYING_S and not said:
                said = True
                click.echo(f"no answer from {self._where} yet; waiting up to {self._timeout:g} s", err=True)
        if bad_line is not None:
            raise bad_line

    def _send(self) -> None:
        while self._waiting and len(self._open) < WINDOW:
            part = next(split(self._waiting, REQUEST_TRANSACTIONS, REQUEST_BYTES))
            self._client.send(Submit(self._sent, part))
            self._open[self._sent] = len(part)
            self._sent += len(part)
            del self._waiting[: len(part)]

    def _take_replies(self) -> bool:
        """Whether there were any. What is then known of the next transactions is printed."""
        heard = False
        while (reply := self._client.receive_now()) is not None:
            heard = True
            if isinstance(reply, Committed | Refused) and reply.request in self._open:
                text = str(reply.height) if isinstance(reply, Committed) else f"refused: {printable(reply.reason)}"
                self.all_committed &= isinstance(reply, Committed)
                self._outcome.update((reply.request + position, text) for position in reply.positions)
                self._open[reply.request] -= len(reply.positions)
                if self._open[reply.request] <= 0:
                    del self._open[reply.request]
        while self._printed in self._outcome:
            click.echo(self._outcome.pop(self._printed))
            self._printed += 1
        return heard
