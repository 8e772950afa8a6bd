"""The watcher's process: uvicorn in front of the application, with bounds for clients that mean harm."""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from honeybadger.cluster.manifest import Manifest
from honeybadger.network.addresses import place
from honeybadger.watch.api import make_application
from honeybadger.watch.cluster import SUBMITTERS, WatchedCluster

#: a connection carries one request and lasts no longer than this, seconds
CONNECTION_S = 15.0
#: connections open at a time; one more closes the oldest
MOST_CONNECTIONS = 2048
#: files that are no connections of HTTP clients
OTHER_FILES = 128
#: request line and headers together, bytes
HEAD_BYTES = 16 * 1024
#: connections that wait in the kernel, and that are accepted in one turn of the event loop
BACKLOG = 128
#: how far the watcher gives way to nodes on the same machine
NICE = 10

#: the oldest first, each with the timer that ends it
_open: OrderedDict[asyncio.BaseTransport, asyncio.TimerHandle] = OrderedDict()


class BoundedConnection(H11Protocol):
    """A connection that is cut off when it is too old, or when it is the oldest of too many.

    Age alone bounds whatever a client does slowly: its headers, its body, reading the answer, or nothing at all.
    """

    most = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        _open[transport] = asyncio.get_running_loop().call_later(CONNECTION_S, transport.abort)
        if len(_open) > self.most:
            oldest: Any
            oldest, timer = _open.popitem(last=False)
            timer.cancel()
            oldest.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if (timer := _open.pop(self.transport, None)) is not None:
            timer.cancel()
        super().connection_lost(exc)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; OSError, in one line that names the address, if that is not possible."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server((host, port), family=found[0][0], backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {place(host, port)}: {error.strerror or error}") from None


def give_way() -> None:
    """Let nodes on this machine go first when the processor is busy."""
    os.nice(NICE)
    # Where Linux groups processes by session, niceness counts within a group only, unless the group has it as well. A
    # session of others, such as a person's terminal, is left as it is: it would stay slow after the watcher's end.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(NICE), encoding="ascii")


def serve(
    manifest: Manifest, curve: bool, token: str, listening: socket.socket, say: Callable[[str], object], attached: bool
) -> None:
    """Watch the cluster and serve HTTP until a signal comes or, if `attached`, standard input ends."""
    # Two files for each connection, and as many connections to a node as there are threads.
    allow_connections(2 * (SUBMITTERS + 2) * len(manifest.members))

    def started(server: uvicorn.Server) -> None:
        def stop(*_: object) -> None:
            server.should_exit = True

        # The server has handlers of its own for the first two and, when it has stopped, raises again what came.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, stop)
        if attached:
            threading.Thread(target=_read_input, args=(stop,), daemon=True).start()

    asyncio.run(watch(manifest, curve, token, listening, say, started))


def allow_connections(others: int) -> None:
    """Ask for as many open files as all connections may need, with `others` for nodes; be content with fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES + others
    if 0 <= soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        BoundedConnection.most = max(1, min(MOST_CONNECTIONS, soft - OTHER_FILES - others))


async def watch(
    manifest: Manifest,
    curve: bool,
    token: str,
    listening: socket.socket,
    say: Callable[[str], object],
    started: Callable[[uvicorn.Server], object],
) -> None:
    """Watch and serve until the server that `started` is given is told to exit."""
    cluster = WatchedCluster(manifest, curve)
    server = uvicorn.Server(
        uvicorn.Config(
            make_application(cluster, token, say),
            http=BoundedConnection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            log_config=None,
            # What clients do wrong is not worth a line; what goes wrong here is said by the application.
            log_level=logging.CRITICAL,
            access_log=False,
            h11_max_incomplete_event_size=HEAD_BYTES,
            backlog=BACKLOG,
            timeout_graceful_shutdown=1,
        )
    )
    started(server)
    stopping = threading.Event()
    watching = asyncio.create_task(asyncio.to_thread(cluster.watch, stopping))
    try:
        await server.serve(sockets=[listening])
    finally:
        stopping.set()
        await watching
        cluster.close()


def _read_input(stop: Callable[[], object]) -> None:
    """Until it ends, which is when the process at the other end is gone."""
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    stop()
