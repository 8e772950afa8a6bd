"""Node processes on this machine: started as fresh interpreters, known by their process ids, ended by them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

from honeybadger.cluster.errors import ClusterError

#: ports from here on are chosen from
LOWEST_PORT = 10240
#: where the system keeps the range from which it gives ports to outgoing connections
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on now; ClusterError if there are too few.

    Not of those that the system gives to outgoing connections: while a node is down, one of these could take its port.
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
    if len(ports) < count:
        raise ClusterError(f"only {len(ports)} of {count} ports are free on {host}")
    return ports


def require_free(ports: list[int], host: str = "127.0.0.1") -> None:
    """ClusterError naming the first port that is in use."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ClusterError(f"port {port} on {host} cannot be used: {error.strerror}") from None


class NodeProcess:
    """One `honeybadger node` process; its output goes to `log`, its events to `events`.

    `extra`: further arguments; `program`: what the interpreter runs, for tests that damage a node on purpose;
    `launcher`: what comes before the interpreter and becomes it.
    """

    def __init__(
        self,
        directory: Path,
        index: int,
        extra: tuple[str, ...] = (),
        program: tuple[str, ...] = ("-m", "honeybadger.cli.main"),
        launcher: tuple[str, ...] = (),
    ) -> None:
        home = directory / f"node-{index}"
        self.index = index
        #: how often it was started again
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
        """Start it again on its data, after it has ended, with further arguments."""
        if self._process.poll() is None:
            raise RuntimeError(f"node {self.index} is still running")
        self.killed = False
        self.restarts += 1
        self._start(*extra)

    def _start(self, *extra: str) -> None:
        with self.log.open("ab") as log:
            # A group of its own: an interrupt from the keyboard reaches the controller, which then stops the nodes.
            self._process = subprocess.Popen(
                [*self._command, *extra],
                stdin=_lifeline(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_environment(),
            )

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
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.killed = True
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; kills it after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@cache
def _lifeline() -> int:
    """The input of all nodes: nothing is ever written to it, and it ends with this process, however that ends.

    Nodes stop then (`--attached`). The other end is open in no other process.
    """
    reading, _ = os.pipe()
    return reading


def signal_name(number: int) -> str:
    """As "SIGKILL"."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_traceback(output: str) -> str:
    """The last line of the last Python traceback in what a process printed, "" if there is none."""
    _, found, rest = output.rpartition("Traceback (most recent call last):")
    lines = [line for line in rest.splitlines() if line[:1].strip()] if found else []
    return lines[0] if lines else ""


def _environment() -> dict[str, str]:
    """Without our own option variables: they are for the command that was typed, not for the nodes it starts."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HONEYBADGER_")}
