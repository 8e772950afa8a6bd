"""`honeybadger ledger`: read a node's ledger, or repair it. DATA is the node's data directory, or the ledger file."""

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
from rich.table import Column, Table

from honeybadger.cli.ledger_sql import FORMS, print_answer
from honeybadger.cli.options import CLUSTER_FILE, FiniteFloat, Whole, cluster_option, curve_option, option
from honeybadger.cli.terminal_text import shown
from honeybadger.client.blocks import BlockSource
from honeybadger.client.connections import Connections
from honeybadger.cluster.manifest import Manifest
from honeybadger.console.plain import PlainConsole
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.export import export_csv, export_jsonl
from honeybadger.ledger.proof import Proof, build_proof, verify_proof
from honeybadger.ledger.repair import repair_ledger
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.verify import VerifyReport, verify_ledger
from honeybadger.network.client_protocol import LONGEST_BLOCK_REPLY
from honeybadger.wording import counted

#: damaged blocks that are named when a repair has failed
MOST_NAMED = 10
#: bytes; a proof has up to 32 transactions in hexadecimal, each as long as its author likes
LONGEST_PROOF = 1 << 28

data_argument = click.argument("data", type=click.Path(path_type=Path))


@click.group("ledger")
def command() -> None:
    """Show, query, verify, export, repair or prove from a node's ledger. DATA is a node's data directory."""


#: where data directories are in what a person may name instead: a node's folder, a cluster's, a run that was kept, an
#: experiment's
_WITHIN = ("data", "node-*/data", "raw/node-*/data", "runs/*/raw/node-*/data")


def _open(data: Path, *, read_only: bool = True) -> closing[SQLiteStore]:
    if data.suffix in (".toml", ".json", ".jsonl"):
        raise LedgerError(f"{data} is not a ledger; name a node's data directory, or the ledger.sqlite in it")
    if data.is_dir() and not (data / "ledger.sqlite").exists():
        raise LedgerError(f"{data}: no ledger here{_hint(data)}")
    return closing(SQLiteStore(data / "ledger.sqlite" if data.is_dir() else data, read_only=read_only))


def _hint(directory: Path) -> str:
    """What to name instead of a directory without a ledger, or why there is none."""
    ledgers = (path for pattern in _WITHIN for path in sorted(directory.glob(f"{pattern}/ledger.sqlite")))
    if ledger := next(ledgers, None):
        return f"; try {ledger.parent}"
    if (directory / "summary.json").exists() or (directory / "experiment.json").exists():
        return "; `honeybadger bench run` keeps the ledgers of its runs only with --keep"
    if (directory / "keys.toml").exists() or (directory / "cluster.toml").exists():
        return " yet; it will be where `honeybadger node --data` says"
    return "; name a node's data directory"


@command.command(short_help="List the last blocks, or show one.")
@data_argument
@click.option("--last", default=20, type=Whole(min=1), show_default=True, help="How many blocks.")
@click.option("--height", type=Whole(1, 2**32 - 1), help="One block, with its transactions in hexadecimal.")
@click.option("--text", is_flag=True, help="Transactions as text in quotes, where they are UTF-8.")
def show(data: Path, last: int, height: int | None, text: bool) -> None:
    """List the last blocks, or show one. With --text, show the transactions of all of them."""
    with _open(data) as store:
        top = store.height()
        first = max(1, top - last + 1)
        if height is not None:
            _show_block(store, height, text)
            return
        click.echo(f"chain {store.chain_id.hex()}, height {top}")
        if text:
            for each in range(first, top + 1):
                _show_block(store, each, text)
            return
        headings = ("height", "epoch", "hash", "transactions", "bytes", "proposers")
        table = Table(*(Column(heading, justify="right") for heading in headings))
        for header in store.headers(first, top) if top else []:
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


def _show_block(store: SQLiteStore, height: int, text: bool) -> None:
    block = store.block(height)
    if block is None:
        raise LedgerError(f"there is no block {height}; the ledger's height is {store.height()}")
    header = block.header
    click.echo(f"height {header.height}  epoch {header.epoch}  hash {header.hash.hex()}")
    click.echo(f"previous {header.previous.hex()}  transaction root {header.tx_root.hex()}")
    transactions = counted(header.tx_count, "transaction")
    click.echo(f"{transactions}, {counted(header.tx_bytes, 'byte')}, proposers {list(header.proposers)}")
    for transaction in block.transactions():
        click.echo(shown(transaction) if text else transaction.hex())


@command.command(short_help="Answer a SELECT in SQL.")
@data_argument
@click.argument("query")
@click.option("--format", "form", type=click.Choice(list(FORMS)), help="[default: table on a terminal, else csv]")
def sql(data: Path, query: str, form: str | None) -> None:
    """Answer QUERY, a SELECT in SQL, from the tables and views in docs/ledger.md. Nothing is checked or changed."""
    with _open(data) as store:
        print_answer(store.path, query, form)


@command.command(short_help="Check every block.")
@data_argument
@click.option("--cluster", type=CLUSTER_FILE, help="Manifest: check certificates too.")
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


@command.command(short_help="Fetch the damaged blocks from the other nodes.")
@data_argument
@cluster_option
@option("--timeout", default=5.0, type=FiniteFloat(min=0.1), help="Seconds to wait for a node's answer.")
@curve_option
def repair(data: Path, cluster: Path, timeout: float, curve: bool | None) -> int:
    """Find the damaged blocks of a stopped node's ledger and fetch those, and only those, from the other nodes.

    Exit status 0 only if the ledger is good at the end. A good ledger stays as it is, and no node is asked.
    """
    manifest = Manifest.load(cluster)
    secure = manifest.runtime.curve if curve is None else curve
    key = manifest.public_keys.certificate
    with (
        _open(data, read_only=False) as store,
        Connections(manifest.members, secure, longest_reply=LONGEST_BLOCK_REPLY) as connections,
    ):
        _require_chain(store, manifest)
        sources = [BlockSource(connections, node, timeout) for node in range(len(manifest.members))]
        # Not to standard output, whose reader might end the work half-way by having enough.
        report = repair_ledger(store, key, sources, partial(click.echo, err=True), patience_s=timeout)
    repaired = f"repaired {len(report.repaired)}"
    if report.verify.ok:
        click.echo(f"{repaired if report.repaired else 'nothing to repair'}; {_summary(report.verify)}")
        return 0
    left = [f"{height} ({reason})" for height, reason in sorted(report.left.items())]
    more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
    click.echo(f"{repaired}; still damaged: block {', '.join(left[:MOST_NAMED])}{more}", err=True)
    return 1


@command.command(short_help="Write all blocks as JSON lines, or their headers as CSV.")
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


@command.command(short_help="Print a proof that a transaction is in the ledger.")
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


@command.command("check-proof", short_help="Check a proof, without a ledger.")
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
        f"{counted(report.tx_bytes, 'byte')}, tip {report.tip_hash.hex()}"
    )


def _require_chain(store: SQLiteStore, manifest: Manifest) -> None:
    if store.chain_id != manifest.chain_id:
        own = f"the ledger belongs to chain {store.chain_id.hex()[:16]}…"
        raise LedgerError(f"{own}, not to that of the manifest: --cluster names another cluster's")


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise LedgerError(f"{printable(text[:40])} is not hexadecimal") from None
