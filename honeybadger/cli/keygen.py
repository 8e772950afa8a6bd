"""`honeybadger keygen`: manifest and key files of a new cluster."""

from pathlib import Path
from typing import Any

import click

from bench.plan.build_run import build_run
from bench.plan.run_settings import every_field
from honeybadger.cli.options import Directory, GroupedCommand, field_options, given, option
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.console import signals


@click.command(
    "keygen",
    cls=GroupedCommand,
    params=field_options(
        every_field(),
        *("nodes", "faults", "protocol", "durability", "curve", "allow-flawed"),
        *(key for key, field in every_field().items() if field.owners),
    ),
)
@option("--out", type=Directory(), required=True, help="Directory to make.")
@option(
    "--host",
    "hosts",
    multiple=True,
    default=("127.0.0.1",),
    help="Name or address of each node's host, or one for all; {i} is its number.",
)
@option("--base-port", default=7100, help="Node i uses base+2i for peers and base+2i+1 for clients.")
@click.pass_context
def command(context: click.Context, /, out: Path, hosts: tuple[str, ...], base_port: int, **_: Any) -> None:
    """Make a cluster's manifest and key files.

    Writes OUT/cluster.toml (public), OUT/node-<i>/keys.toml and OUT/http-token (secret, mode 0600). This command is a
    trusted dealer: it sees every secret key.
    """
    settings = build_run(given(context))
    nodes = settings.nodes
    if len(hosts) not in (1, nodes):
        raise click.UsageError(f"give one --host for all nodes or one for each of the {nodes}, not {len(hosts)}")
    if not 1 <= base_port <= 65535 - 2 * nodes + 1:
        raise click.UsageError(f"--base-port {base_port} leaves no room for {2 * nodes} ports up to 65535")
    named = [hosts[i % len(hosts)].replace("{i}", str(i)) for i in range(nodes)]
    addresses = [(named[i], base_port + 2 * i, base_port + 2 * i + 1) for i in range(nodes)]
    signals.end_like_an_interrupt()
    manifest, keys = make_cluster(nodes, settings.quorums.faults, settings.parameters, addresses, settings.runtime)
    write_cluster(out, manifest, keys)
    click.echo(f"{out}/cluster.toml: chain {manifest.chain_id.hex()[:16]}…, N = {nodes}, f = {settings.quorums.faults}")
    click.echo(f"{out}/node-<i>/keys.toml: secret keys of nodes 0 … {nodes - 1}; give each node only its own")
    click.echo(f"{out}/http-token: lets its holder submit over HTTP, by way of `honeybadger watch`")
