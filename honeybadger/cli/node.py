"""`honeybadger node`: one node, in the foreground."""

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

from honeybadger.cli.options import FILE, Directory, FileIn, cluster_option, option
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.preflight import check_machine
from honeybadger.cluster.secret_file import exposure
from honeybadger.console import signals, streams
from honeybadger.node.allocator import keep_freed_memory
from honeybadger.node.assembly import NodeConfig
from honeybadger.node.events import EventLog
from honeybadger.node.journal_files import JournalError
from honeybadger.node.node import Node, NodeError
from honeybadger.wiring.running_node import build_node

#: no Unix time that a clock shows is larger, seconds
LATEST_TIME = 1e11


@click.command("node")
@cluster_option
@option("--keys", type=FileIn("keys.toml"), required=True, help="This node's key file.")
@option("--data", type=Directory(), required=True, help="Directory of its ledger.")
@option("--durability", type=click.Choice(["fsync", "os", "memory"]), help="Instead of the manifest's.")
@option("--curve/--no-curve", default=None, help="Instead of the manifest's; all nodes must agree.")
@option(
    "--recovery/--no-recovery", default=None, help="Keep a vote journal and certify blocks; overrides the manifest."
)
@option("--byzantine", default="", metavar="STRATEGY", show_default=False, help="For experiments: lie.")
@option(
    "--schedule-start",
    type=float,
    metavar="UNIX_TIME",
    help="Second 0 of the manifest's link faults.  [default: when first connected to all]",
)
@option("--attached", is_flag=True, help="Stop when standard input ends, for commands that start nodes.")
@option("--events", type=FILE, help="Append events here, as JSON lines.")
def command(
    cluster: Path,
    keys: Path,
    data: Path,
    durability: str | None,
    curve: bool | None,
    recovery: bool | None,
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
    manifest = Manifest.load(cluster)
    if byzantine:
        from honeybadger.adversary import find_strategy

        try:
            strategy = find_strategy(manifest.specification.name, byzantine)
        except LookupError as error:
            raise click.UsageError(f"--byzantine: {error}") from None
        if why := strategy.unfit(manifest.parameters):
            raise click.UsageError(f"--byzantine: {byzantine} {why}")
    node_keys = NodeKeys.load(keys, manifest)
    instead = {"durability": durability, "curve": curve, "recovery": recovery}
    chosen = {name: value for name, value in instead.items() if value is not None}
    runtime = msgspec.structs.replace(manifest.runtime, **chosen)
    check_machine(manifest.quorums.nodes, runtime.curve)

    def say(line: str) -> None:
        click.echo(f"node {node_keys.node}: {line}", err=True)

    if warning := exposure(keys):
        say(warning)
    log = EventLog(events.open("ab") if events is not None else None, say)
    try:
        node = build_node(NodeConfig(manifest, node_keys, data, runtime, log, say, byzantine, schedule_start))
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
    keep_freed_memory()
    # What exists now lives as long as the process, so collections need not look at it; what follows has few cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    try:
        node.run()
    except (NodeError, JournalError) as error:
        raise ClusterError(f"node {node_keys.node}: {error}") from None
    say("stopped")


def _stop_with_input(node: Node) -> None:
    """Stop the node when standard input ends, because the process at the other end is gone."""
    descriptor = sys.stdin.fileno()
    # A terminal that was closed raises where a pipe just ends.
    with suppress(OSError):
        while True:
            wait_read(descriptor)
            if not os.read(descriptor, 4096):
                break
    node.stop()
