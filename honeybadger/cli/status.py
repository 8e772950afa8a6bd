"""`honeybadger status`: how the nodes of a cluster are doing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import zmq
from rich.table import Table

from honeybadger.cli.console import PlainConsole
from honeybadger.cli.options import FiniteFloat, cluster_option, option
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest, Member
from honeybadger.network.addresses import place
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Status, StatusRequest


class Shown(msgspec.Struct):
    """What the table shows of what a node says of itself."""

    height: int
    epoch: int
    peers_connected: int
    mempool: int
    silent_through: int
    faults: list[tuple[int, str, int]]
    connections_cut: dict[str, int]


@click.command("status")
@cluster_option
@option("--node", type=click.IntRange(min=0), help="Only this node.  [default: all]")
@option("--timeout", default=3.0, type=FiniteFloat(min=0.1), help="Seconds to wait for answers.")
@option("--curve/--no-curve", default=None, help="Instead of the manifest's.")
@click.option("--json", "as_json", is_flag=True, help="Everything that the nodes tell, as JSON.")
def command(cluster: Path, node: int | None, timeout: float, curve: bool | None, as_json: bool) -> int:
    """Show one row per node: height, epoch, peers connected, mempool, faults seen.

    Exit status 0 only if every node that was asked answered.
    """
    manifest = Manifest.load(cluster)
    if node is not None and node >= len(manifest.members):
        raise ClusterError(f"node {node} is not in the manifest (nodes 0 … {len(manifest.members) - 1})")
    asked = list(range(len(manifest.members))) if node is None else [node]
    answers = _ask(
        [manifest.members[index] for index in asked], timeout, manifest.runtime.curve if curve is None else curve
    )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answers), indent=2))
    else:
        _print(manifest, asked, answers)
    return 0 if all(_shown(answer) for answer in answers) else 1


def _ask(members: Sequence[Member], timeout: float, curve: bool) -> list[dict[str, Any] | None]:
    # A name that is not found holds up a thread of ZeroMQ for a while.
    context: Any = zmq.Context(io_threads=min(16, len(members)))
    clients = [NodeClient(context, m.host, m.client_port, m.public_key, curve) for m in members]
    try:
        for client in clients:
            client.send(StatusRequest(0))
        limit = time.monotonic() + timeout
        answers: list[dict[str, Any] | None] = []
        for client in clients:
            reply = client.receive(max(0.0, limit - time.monotonic()))
            answers.append(reply.status if isinstance(reply, Status) else None)
        return answers
    finally:
        for client in clients:
            client.close()
        context.term()


def _print(manifest: Manifest, asked: Sequence[int], answers: list[dict[str, Any] | None]) -> None:
    table = Table()
    for heading in ("node", "address", "height", "epoch", "peers", "mempool", "faults seen"):
        table.add_column(heading, justify="left" if heading == "address" else "right")
    others = len(manifest.members) - 1
    for index, answer in zip(asked, answers, strict=True):
        member = manifest.members[index]
        address = place(member.host, member.client_port)
        status = _shown(answer)
        if status is None:
            table.add_row(str(index), address, "no answer" if answer is None else "nonsense", *["–"] * 4)
            continue
        faults = [f"node {node}: {kind} ×{count}" for node, kind, count in status.faults]
        faults += [f"connections of {whose} cut ×{count}" for whose, count in status.connections_cut.items() if count]
        table.add_row(
            str(index),
            address,
            str(status.height),
            str(status.epoch),
            f"{status.peers_connected} of {others}",
            f"{status.mempool:,}",
            ", ".join(faults) or "none",
        )
    PlainConsole().print(table)
    for index, answer in zip(asked, answers, strict=True):
        if (status := _shown(answer)) and status.silent_through:
            click.echo(
                f"node {index} is silent through epoch {status.silent_through}: votes of an earlier run may be lost"
            )


def _shown(answer: dict[str, Any] | None) -> Shown | None:
    """None if there is none, or if a node that lies sent nonsense."""
    try:
        return msgspec.convert(answer, Shown)
    except msgspec.ValidationError:
        return None
