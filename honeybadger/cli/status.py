"""`honeybadger status`: how the nodes of a cluster are doing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Column, Table

from honeybadger.cli.options import FiniteFloat, Whole, cluster_option, curve_option, option
from honeybadger.client.connections import Connections
from honeybadger.client.status import ask_status, typed
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.console.plain import PlainConsole
from honeybadger.network.addresses import place
from honeybadger.network.client_protocol import LONGEST_STATUS


@click.command("status")
@cluster_option
@option("--node", type=Whole(min=0), help="Only this node.  [default: all]")
@option("--timeout", default=3.0, type=FiniteFloat(min=0.1), help="Seconds to wait for answers.")
@curve_option
@click.option("--json", "as_json", is_flag=True, help="Print everything that the nodes report, as JSON.")
def command(cluster: Path, node: int | None, timeout: float, curve: bool | None, as_json: bool) -> int:
    """Show one row per node: height, epoch, peers connected, mempool, faults seen.

    Exit status 0 only if every node that was asked answered.
    """
    manifest = Manifest.load(cluster)
    if node is not None and node >= len(manifest.members):
        raise ClusterError(f"node {node} is not in the manifest (nodes 0 … {len(manifest.members) - 1})")
    asked = list(range(len(manifest.members))) if node is None else [node]
    secure = manifest.runtime.curve if curve is None else curve
    with Connections(manifest.members, secure, longest_reply=LONGEST_STATUS) as connections:
        told = ask_status(connections, asked, timeout)
    answers = [told.get(index) for index in asked]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answers), indent=2))
    else:
        _print(manifest, asked, answers)
    return 0 if all(typed(answer) for answer in answers) else 1


def _print(manifest: Manifest, asked: Sequence[int], answers: list[dict[str, Any] | None]) -> None:
    headings = ("node", "address", "height", "epoch", "peers", "mempool", "faults seen")
    table = Table(*(Column(name, justify="left" if name == "address" else "right") for name in headings))
    others = len(manifest.members) - 1
    for index, answer in zip(asked, answers, strict=True):
        member = manifest.members[index]
        address = place(member.host, member.client_port)
        status = typed(answer)
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
    if not any(answers):
        click.echo("nobody answers: is the cluster running, and at these addresses?")
    for index, answer in zip(asked, answers, strict=True):
        if (status := typed(answer)) and (epoch := status.silent_through):
            click.echo(f"node {index} is silent through epoch {epoch}: votes of an earlier run may be lost")
