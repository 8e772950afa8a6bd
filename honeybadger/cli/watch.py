"""`honeybadger watch`: HTTP for a whole cluster, in the foreground."""

from pathlib import Path

import click

from honeybadger.cli.options import FILE, Whole, cluster_option, curve_option, option
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.http_token import TOKEN_FILE, load_token
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.secret_file import exposure
from honeybadger.console import streams
from honeybadger.network.addresses import is_host, place

#: lines to a person, in all
MOST_LINES = 100


@click.command("watch")
@cluster_option
@option("--port", default=8100, type=Whole(1, 65535), help="Port to serve HTTP on.")
@option("--host", default="127.0.0.1", help="Address to serve HTTP on.")
@option(
    "--token-file",
    type=FILE,
    help="Token that submitters must know.  [default: http-token next to the manifest]",
)
@curve_option
@option("--attached", is_flag=True, help="Stop when standard input ends: for a command that starts the watcher.")
def command(cluster: Path, port: int, host: str, token_file: Path | None, curve: bool | None, attached: bool) -> None:
    """Serve a page, metrics, blocks, proofs and submission for a whole cluster until interrupted.

    Asks the nodes over their client ports. Without a token file nobody may submit. docs/watch.md lists the requests.
    """
    from honeybadger.watch.server import give_way, listen, serve

    streams.never_wait()
    manifest = Manifest.load(cluster)
    if not is_host(host, to_listen=True):
        raise click.UsageError(f"--host {host!r:.60} is not a host name or address")
    if token_file is not None and not token_file.exists():
        raise ClusterError(f"{token_file}: no such file")
    token_file = token_file or cluster.with_name(TOKEN_FILE)
    token = load_token(token_file)

    said: set[str] = set()

    def say(line: str) -> None:
        # Once each, and not without end: clients could make it be said again and again.
        if line not in said and len(said) < MOST_LINES:
            said.add(line)
            click.echo(f"watch: {line}", err=True)

    if token and (warning := exposure(token_file)):
        say(warning)
    with listen(host, port) as listening:
        give_way()
        say(f"http://{place(host, port)}/")
        serve(manifest, manifest.runtime.curve if curve is None else curve, token, listening, say, attached)
    say("stopped")
