"""`honeybadger submit`: put transactions into the ledger and wait until they are there."""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import zmq

from honeybadger.cli.options import FiniteFloat, Whole, cluster_option, curve_option, option
from honeybadger.client.cluster import Cluster
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.addresses import place
from honeybadger.wording import counted

#: after this many seconds without an answer, say what the command waits for
WORTH_SAYING_S = 3.0
#: bytes of the input that are read at a time
READ_BYTES = 1024 * 1024


class _Lines(click.File):
    """The file of transactions; a person may give a transaction instead."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and value != "-" and not Path(value).exists():
            self.fail(
                f"{value!r:.80}: no such file; to submit a text itself, echo it into this command, with -", param, ctx
            )
        return super().convert(value, param, ctx)


@click.command("submit")
@cluster_option
@option("--node", type=Whole(min=0), help="Submit to this node and believe it.  [default: f+1 must confirm]")
@click.option("--hex", "as_hex", is_flag=True, help="Each line is a transaction in hexadecimal.")
@option("--timeout", default=60.0, type=FiniteFloat(min=0.1), help="Give up after this many silent seconds.")
@curve_option
@click.argument("file", type=_Lines("rb"))
def command(cluster: Path, node: int | None, as_hex: bool, timeout: float, curve: bool | None, file: BinaryIO) -> int:
    """Submit the transactions in FILE (or - for standard input), one a line, and wait until they are committed.

    Lines are sent as they arrive. Prints one line per transaction, in order: the height of its block, or why it was
    refused. Exit status 0 only if all were committed.
    """
    manifest = Manifest.load(cluster)
    nodes, confirmations = (None, None) if node is None else ([node], 1)
    opened = Cluster(manifest, nodes=nodes, confirmations=confirmations, curve=curve)
    arriving = (file.fileno(), as_hex, manifest.parameters.max_tx_bytes)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        # All of it is here, so a bad line is found before anything is sent.
        begin = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        for _ in _transactions(*arriving):
            pass
        os.lseek(file.fileno(), begin, os.SEEK_SET)
    with opened:
        return 0 if _submit(opened, file.fileno(), _transactions(*arriving), timeout) else 1


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


def _submit(cluster: Cluster, descriptor: int, arriving: Iterator[list[bytes]], timeout: float) -> bool:
    """Send transactions as they arrive and print what becomes of each, in the same order; whether all are committed.

    ClusterError for a bad line, or if the nodes are silent for too long.
    """
    submission, poller = cluster.submission, cluster.submission.poller
    poller.register(descriptor, zmq.POLLIN)
    bad_line: ClusterError | None = None
    heard_at, ended, said, printed, all_committed = time.monotonic(), False, False, 0, True
    who = _who(cluster)
    while submission.busy or not ended:
        # With 0 it is not looked at.
        poller.register(descriptor, 0 if ended or submission.full else zmq.POLLIN)
        if descriptor in dict(poller.poll(200)):
            try:
                more = next(arriving, None)
            except ClusterError as error:
                more, bad_line = None, error
            ended = more is None
            submission.add(more or [])
        if submission.step(0) or not submission.busy:
            heard_at = time.monotonic()
        while (outcome := submission.outcomes.pop(printed, None)) is not None:
            click.echo(outcome if isinstance(outcome, int) else f"refused: {outcome}")
            all_committed &= isinstance(outcome, int)
            printed += 1
        silent_s = time.monotonic() - heard_at
        if silent_s > timeout:
            raise ClusterError(
                f"{who} left {counted(submission.undecided, 'transaction')} unanswered for {timeout:g} s; "
                "they may still be committed; `honeybadger status` shows whether the nodes run"
            )
        if silent_s > WORTH_SAYING_S and not said:
            said = True
            click.echo(f"no answer from {who} yet; waiting up to {timeout:g} s", err=True)
    if bad_line is not None:
        raise bad_line
    return all_committed


def _who(cluster: Cluster) -> str:
    """Whom the cluster's connections talk to, for people."""
    if len(cluster.nodes) > 1:
        return "the nodes"
    member = cluster.manifest.members[cluster.nodes[0]]
    return f"node {cluster.nodes[0]} at {place(member.host, member.client_port)}"
