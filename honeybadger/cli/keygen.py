"""`honeybadger keygen`: manifest and key files of a new cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from honeybadger.cli import signals
from honeybadger.cli.options import Directory, choose_quorums, make_parameters, option, parameter_options, was_chosen
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Runtime
from honeybadger.wording import counted


@click.command("keygen")
@option("-n", "--nodes", default=4, help="Number of nodes (N).")
@option("-f", "--faults", type=int, help="Faulty nodes to tolerate (f).  [default: the most N allows]")
@option("--out", type=Directory(), required=True, help="Directory to make.")
@option(
    "--host",
    "hosts",
    multiple=True,
    default=("127.0.0.1",),
    help="Name or address of each node's host, or one for all; {i} is its number.",
)
@option("--base-port", default=7100, help="Node i uses base+2i for peers and base+2i+1 for clients.")
@option("--http-port", default=8100, type=click.IntRange(0, 65535), help="Node i serves HTTP on this + i; 0: none.")
@option("--http-host", default=Runtime().http_host, help="Address that HTTP listens on.")
@option("--durability", type=click.Choice(["fsync", "os", "memory"]), default="fsync", help="When a block counts.")
@option("--curve/--no-curve", default=True, help="Authenticate and encrypt connections.")
@parameter_options
def command(
    nodes: int,
    faults: int | None,
    out: Path,
    hosts: tuple[str, ...],
    base_port: int,
    http_port: int,
    http_host: str,
    durability: str,
    curve: bool,
    **options: Any,
) -> None:
    """Make a cluster's manifest and key files.

    Writes OUT/cluster.toml (public), OUT/node-<i>/keys.toml and OUT/node-<i>/http-token (secret, mode 0600). Whoever
    runs this command is a trusted dealer: it sees every secret key.
    """
    quorums = choose_quorums(nodes, faults)
    if len(hosts) not in (1, nodes):
        raise click.UsageError(f"give one --host for all nodes or one for each of the {nodes}, not {len(hosts)}")
    if not 1 <= base_port <= 65535 - 2 * nodes + 1:
        raise click.UsageError(f"--base-port {base_port} leaves no room for {2 * nodes} ports up to 65535")
    if http_port + nodes - 1 > 65535:
        raise click.UsageError(f"--http-port {http_port} leaves no room for {counted(nodes, 'port')} up to 65535")
    http_ports = [http_port + i if http_port else 0 for i in range(nodes)]
    named = [hosts[i % len(hosts)].replace("{i}", str(i)) for i in range(nodes)]
    addresses = [(named[i], base_port + 2 * i, base_port + 2 * i + 1) for i in range(nodes)]
    runtime = Runtime(durability=durability, curve=curve, http_host=http_host)  # type: ignore[arg-type]
    parameters = make_parameters(quorums, options, was_chosen)
    signals.end_like_an_interrupt()
    manifest, keys = make_cluster(nodes, quorums.faults, parameters, addresses, runtime, http_ports)
    write_cluster(out, manifest, keys)
    click.echo(f"{out}/cluster.toml: chain {manifest.chain_id.hex()[:16]}…, N = {nodes}, f = {quorums.faults}")
    click.echo(f"{out}/node-<i>/keys.toml: secret keys of nodes 0 … {nodes - 1}; give each node only its own")
    if http_port:
        click.echo(f"{out}/node-<i>/http-token: lets its holder submit over HTTP to node i")
