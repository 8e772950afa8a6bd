"""Node processes on this machine: fresh interpreters, started and stopped by process id."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

from honeybadger.cluster.errors import ClusterError

#: our command. -P: a file `crypto.py` in the current directory must not stand in for our package
PROGRAM = ("-P", "-m", "honeybadger.cli.main")
#: free ports are chosen from here on
LOWEST_PORT = 10240
#: closes what `free_ports` found last
_release = ExitStack()
#: where the system keeps the range from which it gives ports to outgoing connections
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on now; ClusterError if there are too few.

    Not of those that the system gives to outgoing connections: while a node is down, one of these could take its port.
    On Linux they stay bound until the next call, so that no other process finds them free before our nodes listen,
    which they can: ZeroMQ and our HTTP server share an address (SO_REUSEADDR) with a socket that does not listen.
    """
    end = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32768
    candidates = list(range(LOWEST_PORT, end) or range(LOWEST_PORT, 65536))
    random.SystemRandom().shuffle(candidates)
    ports: list[int] = []
    with ExitStack() as stack:
        for port in candidates:
            if len(ports) == count:
                break
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((host, port))
                ports.append(port)
                # From now on, not before: a port that another process holds in this way is not free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if len(ports) < count:
            raise ClusterError(f"only {len(ports)} of {count} ports are free on {host}")
        _release.close()
        if sys.platform == "linux":
            _release.push(stack.pop_all())
    return ports


def require_free(ports: list[int], host: str = "127.0.0.1") -> None:
    """ClusterError naming the first port that is in use."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ClusterError(
                    f"port {port} on {host} cannot be used: {error.strerror}; choose another --base-port"
                ) from None


class NodeProcess:
    """One `honeybadger node` process; its output goes to `log`, its events to `events`.

    `extra`: further arguments; `program`: what the interpreter runs, for tests that damage a node on purpose;
    `launcher`: a command before the interpreter, which it replaces itself with.
    """

    def __init__(
        self,
        directory: Path,
        index: int,
        extra: tuple[str, ...] = (),
        program: tuple[str, ...] = PROGRAM,
        launcher: tuple[str, ...] = (),
    ) -> None:
        home = directory / f"node-{index}"
        self.index = index
        #: how many times it was started again
        self.restarts = 0
        self.data = home / "data"
        self.events = home / "events.jsonl"
        self.log = home / "log.txt"
        self.killed = False
        self._command = [
            *(*launcher, sys.executable, *program, "node"),
            *("--cluster", str(directory / "cluster.toml"), "--keys", str(home / "keys.toml")),
            *("--data", str(self.data), "--events", str(self.events), "--attached", *extra),
        ]
        self._start()

    def restart(self, *extra: str) -> None:
        """After it has ended, start it again on its data, with further arguments."""
        if self._process.poll() is None:
            raise RuntimeError(f"node {self.index} is still running")
        self.killed = False
        self.restarts += 1
        self._start(*extra)

    def _start(self, *extra: str) -> None:
        self._process = _spawn([*self._command, *extra], self.log)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The last line of its output."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def traceback(self) -> str:
        """The last line of the last Python traceback in its output, "" if there is none."""
        return last_traceback(self.log.read_text(errors="replace"))

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.killed = True
        self._process.kill()
        self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends; after `timeout_s`, kill it."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class WatchProcess:
    """`honeybadger watch` for the cluster in `directory`, at `page`; its output goes to `watch.log` there. It starts at
    once, but may need a second until it answers."""

    def __init__(self, directory: Path, port: int, curve: bool) -> None:
        self.page = f"http://127.0.0.1:{port}/"
        command = [
            *(sys.executable, *PROGRAM, "watch", "--attached"),
            *("--cluster", str(directory / "cluster.toml"), "--port", str(port)),
            "--curve" if curve else "--no-curve",
        ]
        self._process = _spawn(command, directory / "watch.log")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    # Without `HONEYBADGER_…`: these are options of the command that was typed, not of the nodes that it starts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HONEYBADGER_")}
    with log.open("ab") as output:
        # In a session of its own, Ctrl-C reaches only the controller, which then stops the nodes.
        return subprocess.Popen(
            command, stdin=_lifeline(), stdout=output, stderr=output, start_new_session=True, env=environment
        )


@cache
def _lifeline() -> int:
    """The input of all nodes: a pipe that nobody writes to, and that closes when this process ends, however it ends.

    Nodes stop then (`--attached`). No other process has the other end open.
    """
    reading, _ = os.pipe()
    return reading


def signal_name(number: int) -> str:
    """Such as "SIGKILL"."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_traceback(output: str) -> str:
    """The last line of the last Python traceback in what a process printed, "" if there is none."""
    _, heading, rest = output.rpartition("Traceback (most recent call last):")
    lines = [line for line in rest.splitlines() if line[:1].strip()] if heading else []
    return without_module(lines[0]) if lines else ""


def without_module(line: str) -> str:
    """The last line of a traceback without the module of the error; any other line as it is."""
    return re.sub(r"^(?:\w+\.)+(?=\w*(?:Error|Exception)\b)", "", line)
