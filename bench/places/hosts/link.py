"""The controller's connection to one host: an SSH connection on which the agent runs and answers.

Why AsyncSSH: it needs only `cryptography`, has types, refuses unknown host keys by default, and asks a host for the
kind of key that known_hosts lists. (Paramiko may ask for another kind and then refuse it: its issue 2411.)
"""

import asyncio
import hashlib
import itertools
import json
import os
import shlex
import socket
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from bench.places.hosts import agent
from bench.places.hosts.inventory import Host
from honeybadger.cluster.errors import ClusterError

try:
    import asyncssh
except ImportError:
    raise ClusterError(
        "runs on other hosts need asyncssh; in the project's folder: pip install -e '.[cluster]'"
    ) from None

CONNECT_TIMEOUT_S = 15.0
#: seconds to wait for an answer of an agent that is alive
ANSWER_TIMEOUT_S = 60.0
#: seconds between signs of life to an agent
BEAT_S = 1.0
CHUNK = 256 * 1024
LONGEST_HEADER = 1024 * 1024
#: a file is fetched in pieces of this size, bytes; nothing longer is taken from an agent
PIECE = 4 * 1024 * 1024
#: the oldest Python that can run this project, checked before the agent is read
OLDEST = (3, 11)
_BOOTSTRAP = (
    "import sys; sys.version_info >= {0} or sys.exit('Python %d.%d is too old' % sys.version_info[:2]); "
    "exec(compile(sys.stdin.buffer.read({1}), 'agent', 'exec'))"
)

T = TypeVar("T")
Grown = Callable[[int, str, bytes], None]
Ended = Callable[[int, int], None]


class HostError(ClusterError):
    """A problem with a host; the text begins with its name."""

    def __init__(self, host: Host, why: str) -> None:
        super().__init__(f"host {host.name}: {why}")


class HostErrors(ClusterError):
    """Problems with one host or several."""

    def __init__(self, errors: Sequence[HostError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


async def everywhere(tasks: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all of this at once, and to the end; HostErrors if hosts failed."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    for error in failed:
        if not isinstance(error, HostError):
            raise error
    if failed:
        raise HostErrors([error for error in failed if isinstance(error, HostError)])
    return [result for result in results if not isinstance(result, BaseException)]


class Link:
    """A connection to one host, for one event loop.

    `lost`: why it is gone for good, "" while it is not; `silence_s`: the agent counts as lost after this silence. The
    link calls `grown(node, file, data)` and `ended(node, status)` when the agent reports that.
    """

    def __init__(self, host: Host, known_hosts: Path, lost_after_s: float, grown: Grown, ended: Ended) -> None:
        self.host = host
        self.lost = ""
        self.silence_s = 0.0
        self._known_hosts = known_hosts
        self._lost_after_s = lost_after_s
        self._grown = grown
        self._ended = ended
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._writing = asyncio.Lock()
        self._heard_at = time.monotonic()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._process: asyncssh.SSHClientProcess[bytes] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # -- opening and closing -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and start the agent; HostError if that fails."""
        self._connection = await self._connect()
        source = Path(agent.__file__).read_bytes()
        code = _BOOTSTRAP.format(OLDEST, len(source))
        command = f"exec {shlex.quote(self.host.python)} -I -u -c {shlex.quote(code)}"
        try:
            self._process = await self._connection.create_process(command, encoding=None)
        except (OSError, asyncssh.Error) as error:
            raise HostError(self.host, f"no command can be run there: {error}") from None
        self._heard_at = time.monotonic()
        self._process.stdin.write(source)
        self._tasks = [asyncio.create_task(self._read(self._process)), asyncio.create_task(self._beat())]

    async def _connect(self) -> asyncssh.SSHClientConnection:
        host = self.host
        keys: dict[str, Any] = {}
        if host.key is not None:
            try:
                path = Path(host.key).expanduser()
                keys = {"client_keys": [asyncssh.read_private_key(path)], "agent_path": None}
            except (OSError, asyncssh.Error, ValueError, RuntimeError) as error:
                raise HostError(host, f"the key {host.key} cannot be used: {_text(error)}") from None
        if host.user is not None:
            keys["username"] = host.user
        try:
            known_hosts = asyncssh.read_known_hosts(str(self._known_hosts))
        except (OSError, asyncssh.Error, ValueError) as error:
            raise HostError(host, f"{self._known_hosts}, which should list its key: {_text(error)}") from None
        where = f"{host.ssh} port {host.port}"
        try:
            return await asyncssh.connect(
                host.ssh,
                host.port,
                known_hosts=known_hosts,
                config=None,
                connect_timeout=CONNECT_TIMEOUT_S,
                login_timeout=CONNECT_TIMEOUT_S,
                **keys,
            )
        except asyncssh.HostKeyNotVerifiable:
            raise HostError(host, f"{where} shows a host key that {self._known_hosts} does not list for it") from None
        except asyncssh.PermissionDenied:
            key = f"the key {host.key}" if host.key is not None else "every key there is"
            user = f" of user {host.user}" if host.user is not None else ""
            raise HostError(host, f"{where} refuses {key}{user}") from None
        except TimeoutError:
            raise HostError(host, f"{where} does not answer") from None
        except (OSError, asyncssh.Error, RuntimeError, KeyError) as error:
            # RuntimeError or KeyError: the user who runs this has no home, or no name.
            raise HostError(host, f"{where} cannot be reached: {_text(error)}") from None

    async def close(self) -> None:
        """End the connection; the agent ends with it."""
        for task in self._tasks:
            task.cancel()
        if self._connection is not None:
            if self.lost:
                self._connection.abort()
            else:
                self._connection.close()
            try:
                await asyncio.wait_for(self._connection.wait_closed(), 5)
            except TimeoutError:
                self._connection.abort()

    # -- asking --------------------------------------------------------------------------------------------

    async def ask(
        self,
        do: str,
        *,
        data: bytes = b"",
        timeout_s: float = ANSWER_TIMEOUT_S,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Have the agent do something; HostError if it cannot. `data` of the answer: the bytes that followed it."""
        if self.lost:
            raise HostError(self.host, self.lost)
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            # A caller may be cancelled, but never in the middle of a frame.
            await asyncio.shield(self._send({"do": do, "id": number, "size": len(data), **arguments}, data))
            reply = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise HostError(self.host, f"no answer to {do} in {timeout_s:g} s") from None
        except (OSError, asyncssh.Error) as error:
            self._lose(f"the connection broke: {_text(error)}")
            raise HostError(self.host, self.lost) from None
        finally:
            self._answers.pop(number, None)
        if "error" in reply:
            raise HostError(self.host, str(reply["error"])[:500])
        return reply

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in the run directory."""
        await self.ask("put", data=data, path=path, mode=mode, sha256=hashlib.sha256(data).hexdigest(), timeout_s=600)

    async def get(self, path: str, target: Path) -> bool:
        """Fetch a file; False if the host does not have it."""
        with target.open("wb") as file:
            while "missing" not in (reply := await self.ask("get", path=path, offset=file.tell(), most=PIECE)):
                file.write(reply["data"])
                if len(reply["data"]) < PIECE:
                    return True
        target.unlink()
        return False

    async def _send(self, header: dict[str, Any], data: bytes = b"") -> None:
        if self._process is None:
            raise RuntimeError("the link is not open")
        async with self._writing:
            self._process.stdin.write(json.dumps(header).encode() + b"\n")
            for begin in range(0, len(data), CHUNK):
                self._process.stdin.write(data[begin : begin + CHUNK])
                await self._process.stdin.drain()

    # -- listening -----------------------------------------------------------------------------------------

    async def _read(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        """Take frames until the end."""
        output = process.stdout
        why = "the connection was closed"
        try:
            while line := await output.readline():
                if len(line) > LONGEST_HEADER:
                    raise ValueError("a line is too long")
                self._heard()
                header = json.loads(line)
                size, data = int(header["size"]), b""
                if size > PIECE:
                    raise ValueError("a piece is too long")
                while len(data) < size:
                    if not (more := await output.read(min(size - len(data), CHUNK))):
                        raise asyncssh.ConnectionLost("in the middle of a file")
                    self._heard()
                    data += more
                answer = self._answers.get(header.get("re", -1))
                if answer is not None and not answer.done():
                    answer.set_result({**header, "data": data})
                elif header.get("push") == "grown":
                    self._grown(int(header["node"]), str(header["file"]), data)
                elif header.get("push") == "ended":
                    self._ended(int(header["node"]), int(header["status"]))
        except (ValueError, KeyError, TypeError) as error:
            why = f"it does not speak as the agent does: {_text(error)}"
        except (OSError, asyncssh.Error) as error:
            why = f"the connection broke: {_text(error)}"
        # The shell or Python may have complained.
        with suppress(TimeoutError, OSError, asyncssh.Error):
            text = (await asyncio.wait_for(process.stderr.read(10_000), 2)).decode(errors="replace")
            if lines := text.strip().splitlines():
                needed = ".".join(map(str, OLDEST))
                why = f"{self.host.python} does not run (Python {needed} or newer is needed): {lines[-1].strip()[:300]}"
        self._lose(why)

    def _heard(self) -> None:
        now = time.monotonic()
        self.silence_s = max(self.silence_s, now - self._heard_at)
        self._heard_at = now

    async def _beat(self) -> None:
        """Show the agent that we are alive, and notice if it is not."""
        while not self.lost:
            await asyncio.sleep(BEAT_S)
            silence_s = time.monotonic() - self._heard_at
            if silence_s > self._lost_after_s:
                self.silence_s = max(self.silence_s, silence_s)
                self._lose(f"not a word for {silence_s:.0f} s")
            elif self._process is not None and not self._writing.locked():
                self._process.stdin.write(b'{"do": "clock", "id": -1, "size": 0}\n')

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = why
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(HostError(self.host, why))
        if self._connection is not None:
            # Otherwise a writer that waits for room would never wake up.
            self._connection.abort()


def _text(error: Exception) -> str:
    """The error in one line."""
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        # Instead of asyncio's "Connect call failed".
        return os.strerror(error.errno)
    reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error) or type(error).__name__
    return " ".join(str(reason).split())[:300]
