"""`honeybadger cluster`: a cluster in containers, and load for a cluster that runs anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from honeybadger.cli.load_options import Rate, check_offer
from honeybadger.cli.options import FiniteFloat, cluster_option, option
from honeybadger.cli.place_options import Cpus, Image, Memory, Pattern
from honeybadger.cluster.compose import IMAGE_USER, ComposeOptions, compose
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.wording import counted


@click.group("cluster")
def command() -> None:
    """Run a cluster in containers; offer load to a cluster that runs."""


@command.command("compose")
@click.argument("manifest", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [default: print it]")
@click.option("--image", type=Image, default="honeybadger", show_default=True, help="Image of the nodes.")
@click.option("--cpus", type=Cpus, help="Processors that a node may use.  [default: all]")
@click.option("--memory", type=Memory, default="2G", show_default=True, help="Memory that a node may use.")
@click.option("--user", type=Pattern("UID:GID", r"[0-9]{1,9}:[0-9]{1,9}"), help="Who runs.  [default: keys' owner]")
@click.option("--rate", type=Rate, default=100.0, show_default=True, help="Transactions per second.")
@click.option("--duration", type=FiniteFloat(min=0.1), default=60.0, show_default=True, help="Seconds of load.")
@click.option("--load/--no-load", default=True, help="With a load generator.")
@click.option(
    "--machine",
    "machines",
    multiple=True,
    type=Pattern("the name of a machine", r"[a-zA-Z0-9][a-zA-Z0-9.-]{0,252}"),
    help="Machine of a Swarm, for node 0, 1, …; again from the first when there are fewer than nodes.",
)
def compose_command(
    manifest: Path,
    out: Path | None,
    image: str,
    cpus: str | None,
    memory: str,
    user: str | None,
    rate: float,
    duration: float,
    load: bool,
    machines: tuple[str, ...],
) -> None:
    """Write a Compose file for the cluster of MANIFEST (a cluster.toml, with the key files where keygen put them).

    Members that have names (keygen --host "node-{i}") make a file that is also a stack for Docker Swarm; members with
    IPv4 addresses get these, for Compose only.
    """
    check_offer(rate, duration)
    cluster = Manifest.load(manifest)
    directory = manifest.absolute().parent
    if user is None:
        user, note = owner(directory / "node-0" / "keys.toml")
        if note:
            click.echo(note, err=True)
    if user.startswith("0:"):
        raise click.UsageError("--user 0: nodes do not run as root")
    options = ComposeOptions(
        image=image,
        user=user,
        cpus=cpus or "",
        memory=memory,
        rate=rate if load else None,
        duration_s=duration,
        machines=machines,
    )
    text = compose(cluster, directory, options)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"{out}: {counted(len(cluster.members), 'node')}{' and a load generator' if load else ''}")


def owner(keys: Path) -> tuple[str, str]:
    """Who should read the key files: "uid:gid", and what a person has to do for it, if anything."""
    try:
        found = keys.stat()
    except OSError as error:
        raise ClusterError(f"{keys}: {error.strerror}") from None
    if found.st_uid:
        return f"{found.st_uid}:{found.st_gid}", ""
    return IMAGE_USER, (
        f"note: the key files belong to root, but nodes do not run as root; for Compose: "
        f"chown {IMAGE_USER} {os.path.relpath(keys.parent.parent)}/node-*/keys.toml (a Swarm needs no such thing)"
    )


@command.command("load")
@cluster_option
@option("--rate", type=Rate, default=100.0, help="Transactions per second, over all nodes.")
@option("--duration", type=FiniteFloat(min=0.1, max=86400 * 365), default=60.0, help="Seconds.")
@option("--tx-size", type=click.IntRange(min=16), default=250, help="Bytes per transaction.")
@option("--timeout", type=FiniteFloat(min=0.1), default=60.0, help="Patience before the first and after the last.")
@option("--curve/--no-curve", default=None, help="Instead of the manifest's.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def load_command(
    cluster: Path, rate: float, duration: float, tx_size: int, timeout: float, curve: bool | None, as_json: bool
) -> int:
    """Offer transactions to a running cluster at a steady rate, and say what became of them.

    After --timeout it goes on with the nodes that are there, if these are N-f, and names the rest.

    Exit status 0 only if all transactions were committed and all nodes then have the same ledger. Whether a run is
    valid in every respect, and what it measures, only `honeybadger bench run` says.
    """
    from bench.steady_load import SteadyLoad, names

    check_offer(rate, duration)
    manifest = Manifest.load(cluster)
    if tx_size > manifest.parameters.max_tx_bytes:
        raise click.UsageError(f"--tx-size {tx_size} exceeds max_tx_bytes {manifest.parameters.max_tx_bytes}")
    found = SteadyLoad(manifest, manifest.runtime.curve if curve is None else curve).run(
        rate, duration, tx_size, timeout, lambda line: click.echo(line, err=True)
    )
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        click.echo(
            f"{found.offered:,} offered in {duration:g} s, {found.committed:,} committed, {found.refused:,} refused, "
            f"{found.unanswered:,} unanswered"
        )
        times = (("p50", found.latency_p50_s), ("p99", found.latency_p99_s))
        told = [
            f"{name} {'≥ ' if name in found.latency_at_least else ''}{1000 * seconds:,.0f} ms"
            for name, seconds in times
            if seconds is not None
        ]
        click.echo(f"latency of all offered: {', '.join(told)}")
        without = f"; without {names(found.missing)}" if found.missing else ""
        same = "the same ledger" if found.same_ledger else "NOT the same ledger"
        click.echo(f"nodes: {same}, height {found.height}{without}")
    return 0 if found.ok else 1
