"""`honeybadger cluster`: a cluster in containers, and load for a cluster that runs anywhere."""

import re
from pathlib import Path
from typing import Any

import click
import msgspec

from bench.plan.build_run import build_run
from bench.plan.fields import Given, fields_of
from bench.plan.place_settings import PlaceSettings
from bench.plan.run_settings import run_fields
from honeybadger.cli.options import (
    CLUSTER_FILE,
    FILE,
    FiniteFloat,
    GroupedCommand,
    Whole,
    cluster_option,
    curve_option,
    field_options,
    given,
    option,
)
from honeybadger.cluster.compose import IMAGE_USER, ComposeOptions, compose, unreadable
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.wording import counted

#: what is offered unless a person chooses
STEADY = {"rate": 100.0, "duration": 60.0}


class Pattern(click.ParamType[str]):
    """Text of a form that Docker takes; `name` says which."""

    def __init__(self, name: str, pattern: str) -> None:
        self.name = name
        self._pattern = pattern

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(self._pattern, str(value), re.ASCII):
            self.fail(f"{value!r:.60} is not {self.name}", param, ctx)
        return str(value)


@click.group("cluster")
def command() -> None:
    """Run a cluster in containers; offer load to a cluster that runs."""


@command.command(
    "compose",
    short_help="Write a Compose file for a cluster.",
    cls=GroupedCommand,
    params=[
        *field_options(run_fields(), "rate", "duration", defaults=STEADY),
        *field_options(fields_of(PlaceSettings), "image", "cpus", "memory", defaults={"memory": "2G"}),
    ],
)
@click.argument("manifest", type=CLUSTER_FILE)
@click.option("--out", type=FILE, help="File to write.  [default: print it]")
@click.option(
    "--user",
    type=Pattern("UID:GID", r"[0-9]{1,9}:[0-9]{1,9}"),
    help="User and group of the processes.  [default: keys' owner]",
)
@click.option("--load/--no-load", default=True, help="With a load generator.")
@click.option("--watch/--no-watch", default=True, help="With a watcher: HTTP for the cluster.")
@click.option("--watch-port", type=Whole(1, 65535), default=8100, show_default=True, help="Its port here.")
@click.option(
    "--machine",
    "machines",
    multiple=True,
    metavar="NAME",
    type=Pattern("the name of a machine", r"[a-zA-Z0-9][a-zA-Z0-9.-]{0,252}"),
    help="Machine of a Swarm, for node 0, 1, …; with fewer machines than nodes, begin again with the first.",
)
@click.pass_context
def compose_command(
    context: click.Context,
    /,
    manifest: Path,
    out: Path | None,
    user: str | None,
    load: bool,
    watch: bool,
    watch_port: int,
    machines: tuple[str, ...],
    **_: Any,
) -> None:
    """Write a Compose file for the cluster of MANIFEST (a cluster.toml, with the key files where keygen put them).

    Members that have names (keygen --host "node-{i}") make a file that is also a stack for Docker Swarm; members with
    IPv4 addresses get these, for Compose only.
    """
    chosen = given(context)
    offer = build_run({key: chosen.pop(key) for key in STEADY})
    place = PlaceSettings.make({"containers": Given(True, "compose"), **chosen})
    cluster = Manifest.load(manifest)
    directory = manifest.absolute().parent
    user = user or owner(directory / "node-0" / "keys.toml")
    if user.startswith("0:"):
        raise click.UsageError("--user 0: nodes do not run as root")
    options = ComposeOptions(
        image=place.image,
        user=user,
        cpus=place.cpus or "",
        memory=place.memory or "",
        rate=offer.rate if load else None,
        duration_s=offer.duration_s,
        watch_port=watch_port if watch else None,
        machines=machines,
    )
    text = compose(cluster, directory, options)
    # A Swarm copies the secrets for the user; Compose mounts the files as they are.
    if not machines and (closed := unreadable(cluster, directory, options)):
        raise ClusterError(closed)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"{out}: {counted(len(cluster.members), 'node')}{' and a load generator' if load else ''}")


def owner(keys: Path) -> str:
    """Who should read the key files: "uid:gid" of their owner; the image's user instead of root."""
    try:
        found = keys.stat()
    except OSError as error:
        raise ClusterError(f"{keys}: {error.strerror}") from None
    return f"{found.st_uid}:{found.st_gid}" if found.st_uid else IMAGE_USER


@command.command(
    "load",
    short_help="Offer transactions to a running cluster at a steady rate.",
    cls=GroupedCommand,
    params=field_options(run_fields(), "rate", "duration", defaults=STEADY),
)
@cluster_option
@option("--tx-size", type=Whole(min=16), default=250, help="Bytes per transaction.")
@option(
    "--timeout",
    type=FiniteFloat(min=0.1),
    default=60.0,
    help="Seconds to wait for nodes before the load, and for answers after it.",
)
@curve_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def load_command(
    context: click.Context, /, cluster: Path, tx_size: int, timeout: float, curve: bool | None, as_json: bool, **_: Any
) -> int:
    """Offer transactions to a running cluster at a steady rate, and report what happened to them.

    If nodes are missing after --timeout, it goes on with the others, as long as N-f are there, and names the rest.

    Exit status 0 only if all transactions were committed and all nodes then have the same ledger. Whether a run is
    valid in every respect, and what it measures, only `honeybadger bench run` says.
    """
    from bench.load.steady import SteadyLoad, names

    offer = build_run(given(context))
    rate, duration = offer.rate or 0.0, offer.duration_s
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
        told = []
        for name, seconds in (("p50", found.latency_p50_s), ("p99", found.latency_p99_s)):
            bound = "≥ " if name in found.latency_at_least else ""
            told += [f"{name} {bound}{1000 * seconds:,.0f} ms"] if seconds is not None else []
        click.echo(f"latency of all offered: {', '.join(told)}")
        without = f"; without {names(found.missing)}" if found.missing else ""
        same = "the same ledger" if found.same_ledger else "NOT the same ledger"
        click.echo(f"nodes: {same}, height {found.height}{without}")
    return 0 if found.ok else 1
