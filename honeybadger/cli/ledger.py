"""`honeybadger ledger`: read a node's ledger, or repair it. DATA is the node's data directory, or the ledger file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
import zmq
from rich.table import Table

from honeybadger.cli.console import PlainConsole
from honeybadger.cli.options import FiniteFloat, cluster_option, option
from honeybadger.cluster.manifest import Manifest, Member
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.export import export_csv, export_jsonl
from honeybadger.ledger.proof import Proof, build_proof, verify_proof
from honeybadger.ledger.repair import repair_ledger
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.verify import VerifyReport, verify_ledger
from honeybadger.network.client import BlockSource, NodeClient
from honeybadger.network.client_protocol import LONGEST_BLOCK_REPLY
from honeybadger.wording import counted

#: damaged blocks that are named when a repair has failed
MOST_NAMED = 10
#: bytes; a proof has a few dozen hashes
LONGEST_PROOF = 1024 * 1024

data_argument = click.argument("data", type=click.Path(path_type=Path))


@click.group("ledger")
def command() -> None:
    """Show, verify, export, repair or prove from a node's ledger. DATA is a node's data directory."""


@contextmanager
def _open(data: Path, *, read_only: bool = True) -> Iterator[SQLiteStore]:
    path = data / "ledger.sqlite" if data.is_dir() else data
    store = SQLiteStore(path, read_only=read_only)
    try:
        yield store
    finally:
        store.close()


@command.command()
@data_argument
@click.option("--last", default=20, type=click.IntRange(min=1), show_default=True, help="How many blocks.")
@click.option("--height", type=click.IntRange(1, 2**32 - 1), help="One block, with its transactions in hexadecimal.")
def show(data: Path, last: int, height: int | None) -> None:
    """List the last blocks, or show one."""
    with _open(data) as store:
        if height is not None:
            block = store.block(height)
            if block is None:
                raise LedgerError(f"there is no block {height}; the ledger's height is {store.height()}")
            header = block.header
            click.echo(f"height {header.height}  epoch {header.epoch}  hash {header.hash.hex()}")
            click.echo(f"previous {header.previous.hex()}  transaction root {header.tx_root.hex()}")
            transactions = counted(header.tx_count, "transaction")
            click.echo(f"{transactions}, {header.tx_bytes} bytes, proposers {list(header.proposers)}")
            for transaction in block.transactions():
                click.echo(transaction.hex())
            return
        top = store.height()
        click.echo(f"chain {store.chain_id.hex()}, height {top}")
        table = Table()
        for heading in ("height", "epoch", "hash", "transactions", "bytes", "proposers"):
            table.add_column(heading, justify="right")
        for header in store.headers(max(1, top - last + 1), top) if top else []:
            table.add_row(
                str(header.height),
                str(header.epoch),
                header.hash.hex()[:16],
                f"{header.tx_count:,}",
                f"{header.tx_bytes:,}",
                " ".join(map(str, header.proposers)),
            )
        if top:
            PlainConsole().print(table)


@command.command()
@data_argument
@click.option("--cluster", type=click.Path(path_type=Path, dir_okay=False), help="Manifest: check certificates too.")
def verify(data: Path, cluster: Path | None) -> int:
    """Check hash chain, Merkle roots and uniqueness; non-zero exit naming the first bad block.

    With the cluster's manifest, check that the ledger is of that cluster, and every certificate in it.
    """
    manifest = Manifest.load(cluster) if cluster is not None else None
    with _open(data) as store:
        if manifest is not None:
            _require_chain(store, manifest)
        report = verify_ledger(store, certificate_key=manifest.public_keys.certificate if manifest else None)
    if not report.ok:
        click.echo(f"block {report.bad_height} is bad: {report.reason}", err=True)
        return 1
    click.echo(_summary(report) + (f", {counted(report.certified, 'block')} certified" if manifest else ""))
    return 0


@command.command()
@data_argument
@cluster_option
@option("--timeout", default=5.0, type=FiniteFloat(min=0.1), help="Seconds to wait for a node's answer.")
@option("--curve/--no-curve", default=None, help="Instead of the manifest's.")
def repair(data: Path, cluster: Path, timeout: float, curve: bool | None) -> int:
    """Find the damaged blocks of a stopped node's ledger and fetch those, and only those, from the other nodes.

    Exit status 0 only if the ledger is good at the end. A good ledger is not touched, and nobody is asked.
    """
    manifest = Manifest.load(cluster)
    secure = manifest.runtime.curve if curve is None else curve
    context: Any = zmq.Context()
    sources = [_block_source(context, index, member, timeout, secure) for index, member in enumerate(manifest.members)]
    try:
        with _open(data, read_only=False) as store:
            _require_chain(store, manifest)
            key = manifest.public_keys.certificate
            # Not to standard output, whose reader might end the work half-way by having enough.
            report = repair_ledger(store, key, sources, partial(click.echo, err=True), patience_s=timeout)
    finally:
        for source in sources:
            source.close()
        context.term()
    repaired = f"repaired {len(report.repaired)}"
    if report.verify.ok:
        click.echo(f"{repaired if report.repaired else 'nothing to repair'}; {_summary(report.verify)}")
        return 0
    left = [f"{height} ({reason})" for height, reason in sorted(report.left.items())]
    more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
    click.echo(f"{repaired}; still damaged: block {', '.join(left[:MOST_NAMED])}{more}", err=True)
    return 1


@command.command()
@data_argument
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--headers-only", is_flag=True, help="JSON lines without the transactions.")
def export(data: Path, form: str, headers_only: bool) -> None:
    """Write the ledger to standard output: JSON lines, one a block, or a CSV of the headers."""
    with _open(data) as store:
        if form == "csv":
            export_csv(store, sys.stdout)
        else:
            export_jsonl(store, sys.stdout, transactions=not headers_only)


@command.command()
@data_argument
@click.argument("transaction")
def prove(data: Path, transaction: str) -> None:
    """Print a proof, as JSON, that TRANSACTION (hexadecimal) is in the ledger."""
    wanted = _hex(transaction)
    with _open(data) as store:
        for block in store.iter_blocks():
            transactions = block.transactions()
            if wanted in transactions:
                proof = build_proof(block, transactions.index(wanted))
                click.echo(msgspec.json.encode(proof.to_dict()))
                return
    raise LedgerError("the transaction is not in this ledger")


@command.command("check-proof")
@click.argument("file", type=click.File("rb"))
@click.argument("transaction")
@click.argument("block_hash")
def check_proof(file: BinaryIO, transaction: str, block_hash: str) -> int:
    """Check a proof in FILE (or -) that TRANSACTION is in the block with BLOCK_HASH; needs no ledger."""
    try:
        raw = msgspec.json.decode(file.read(LONGEST_PROOF))
    except (msgspec.DecodeError, RecursionError) as error:
        raise LedgerError(f"the proof is not JSON: {printable(error)}") from None
    if not isinstance(raw, dict):
        raise LedgerError("the proof is not a JSON object")
    proof = Proof.from_dict(raw)
    if not verify_proof(proof, _hex(transaction), _hex(block_hash)):
        click.echo("the proof does not hold", err=True)
        return 1
    click.echo(f"the transaction is in block {proof.height}")
    return 0


def _summary(report: VerifyReport) -> str:
    return (
        f"good: {counted(report.blocks, 'block')}, {counted(report.transactions, 'transaction')}, "
        f"{report.tx_bytes} bytes, tip {report.tip_hash.hex()}"
    )


def _require_chain(store: SQLiteStore, manifest: Manifest) -> None:
    if store.chain_id != manifest.chain_id:
        raise LedgerError(f"the ledger is of chain {store.chain_id.hex()[:16]}…, not of the manifest's")


def _block_source(context: Any, index: int, member: Member, timeout: float, curve: bool) -> BlockSource:
    def connect() -> NodeClient:
        return NodeClient(
            context, member.host, member.client_port, member.public_key, curve, longest_reply=LONGEST_BLOCK_REPLY
        )

    return BlockSource(f"node {index}", connect, timeout)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise LedgerError(f"{printable(text[:40])} is not hexadecimal") from None
