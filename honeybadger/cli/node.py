"""`honeybadger node`: one node, in the foreground."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click
import gevent
import msgspec
from gevent.socket import wait_read

from honeybadger.cli import signals, streams
from honeybadger.cli.options import Directory, cluster_option, option
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.http_token import TOKEN_FILE, load_token
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.preflight import check_machine
from honeybadger.cluster.secret_file import exposure
from honeybadger.node.allocator import keep_freed_memory
from honeybadger.node.events import EventLog
from honeybadger.node.journal_files import JournalError
from honeybadger.node.node import Node, NodeConfig, NodeError

#: no Unix time that a clock shows is larger, seconds
LATEST_TIME = 1e11


@click.command("node")
@cluster_option
@option("--keys", type=click.Path(path_type=Path, dir_okay=False), required=True, help="This node's key file.")
@option("--data", type=Directory(), required=True, help="Directory of its ledger.")
@option("--durability", type=click.Choice(["fsync", "os", "memory"]), help="Instead of the manifest's.")
@option("--curve/--no-curve", default=None, help="Instead of the manifest's; all nodes must agree.")
@option("--recovery/--no-recovery", default=None, help="Vote journal and certificates; instead of the manifest's.")
@option("--http-host", help="Address that HTTP listens on, instead of the manifest's.")
@option("--byzantine", default="", metavar="NAME", show_default=False, help="For experiments: lie by this strategy.")
@option(
    "--schedule-start",
    type=float,
    metavar="UNIX_TIME",
    help="Second 0 of the manifest's link faults.  [default: when first connected to all]",
)
@option("--attached", is_flag=True, help="Stop when standard input ends: for a command that starts nodes.")
@option("--events", type=click.Path(path_type=Path, dir_okay=False), help="Append events here, as JSON lines.")
def command(
    cluster: Path,
    keys: Path,
    data: Path,
    durability: str | None,
    curve: bool | None,
    recovery: bool | None,
    http_host: str | None,
    byzantine: str,
    schedule_start: float | None,
    attached: bool,
    events: Path | None,
) -> None:
    """Run one node until it is interrupted."""
    streams.never_wait()
    # Written so that nan is refused too.
    if schedule_start is not None and not 0 <= schedule_start < LATEST_TIME:
        raise click.UsageError(f"--schedule-start {schedule_start} is not a Unix time")
    if byzantine:
        from honeybadger.adversary import EVERY_STRATEGY

        if byzantine not in EVERY_STRATEGY:
            raise click.UsageError(f"--byzantine {byzantine!r:.60}: the strategies are {', '.join(EVERY_STRATEGY)}")
    manifest = Manifest.load(cluster)
    node_keys = NodeKeys.load(keys, manifest)
    runtime = manifest.runtime
    if durability is not None:
        runtime = msgspec.structs.replace(runtime, durability=durability)
    if curve is not None:
        runtime = msgspec.structs.replace(runtime, curve=curve)
    if recovery is not None:
        runtime = msgspec.structs.replace(runtime, recovery=recovery)
    if http_host is not None:
        # Checked as the manifest's is.
        runtime = msgspec.structs.replace(runtime, http_host=http_host)
        Manifest(manifest.consensus, manifest.members, runtime)
    check_machine(manifest.quorums.nodes, runtime.curve)

    def say(line: str) -> None:
        click.echo(f"node {node_keys.node}: {line}", err=True)

    for secret in (keys, keys.with_name(TOKEN_FILE)):
        if warning := exposure(secret):
            say(warning)
    log = EventLog(events.open("ab") if events is not None else None, say)
    try:
        token = load_token(keys.with_name(TOKEN_FILE))
        node = Node(NodeConfig(manifest, node_keys, data, runtime, log, say, byzantine, schedule_start, token))
    except (NodeError, JournalError) as error:
        raise ClusterError(f"node {node_keys.node}: {error}") from None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # With SIGTERM, the command that started an attached node ends it.
        if not signals.is_ignored(number) or (attached and number == signal.SIGTERM):
            gevent.signal_handler(number, node.stop)
    if attached:
        gevent.spawn(_stop_with_input, node)
    member = manifest.members[node_keys.node]
    say(f"listening on {member.host}, ports {member.port} (peers) and {member.client_port} (clients)")
    if member.http_port:
        say(f"HTTP on {runtime.http_host}, port {member.http_port}")
    keep_freed_memory()
    # What exists now lives for ever, so collections need not look at it; what comes is mostly free of cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    try:
        node.run()
    except (NodeError, JournalError) as error:
        raise ClusterError(f"node {node_keys.node}: {error}") from None
    say("stopped")


def _stop_with_input(node: Node) -> None:
    """Stop the node when there is nothing more to read, which is when whoever holds the other end is gone."""
    descriptor = sys.stdin.fileno()
    # A terminal that was closed raises where a pipe just ends.
    with suppress(OSError):
        while True:
            wait_read(descriptor)
            if not os.read(descriptor, 4096):
                break
    node.stop()
