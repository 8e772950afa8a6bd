"""A node on another host, with the interface of a process on this machine."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.places.hosts.link import HostError, Link
from honeybadger.cluster.processes import last_traceback

POLL_S = 0.02
#: seconds until a killed process must be gone
KILL_TIMEOUT_S = 10.0

Ask = Callable[..., dict[str, Any]]


class HostNode:
    """Implements `RunningNode`. `ask` asks the agent on `link` and waits; `offset_s`: its clock minus ours.

    Events and output of the node are written to `home` here as they arrive, with the times of events in our time.
    """

    def __init__(self, link: Link, ask: Ask, home: Path, index: int, offset_s: float) -> None:
        self.link = link
        self.index = index
        self.restarts = 0
        self.data = home / "data"
        self.events = home / "events.jsonl"
        self.log = home / "log.txt"
        self._ask = ask
        self._offset_s = offset_s
        self._status: int | None = None
        self._killed = False
        self._cut_line = b""

    # -- what the agent says (in another thread) -----------------------------------------------------------

    def ended(self, status: int) -> None:
        """The process has ended."""
        self._status = status

    def grown(self, name: str, data: bytes) -> None:
        """More of its events or its output."""
        if name == "events.jsonl":
            *lines, self._cut_line = (self._cut_line + data).split(b"\n")
            with self.events.open("ab") as file:
                file.writelines(self._in_our_time(line) + b"\n" for line in lines)
        elif name == "log.txt":
            with self.log.open("ab") as file:
                file.write(data)

    def _in_our_time(self, line: bytes) -> bytes:
        try:
            event = msgspec.json.decode(line, type=dict[str, Any])
            event["t"] -= self._offset_s
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError):
            # A kill cut it short; the reader skips it.
            return line
        return msgspec.json.encode(event)

    # -- what a run asks for -------------------------------------------------------------------------------

    @property
    def killed(self) -> bool:
        """Whether it was killed on purpose, or is out of reach."""
        return self._killed or bool(self.link.lost)

    @property
    def exit_status(self) -> int | None:
        """Like that of a process; also None if nobody knows."""
        return self._status

    @property
    def last_words(self) -> str:
        """The last line of its output."""
        lines = self._output().strip().splitlines()
        return f"host {self.link.host.name}: {lines[-1].removeprefix('error: ')}" if lines else ""

    @property
    def traceback(self) -> str:
        """The last line of the last Python traceback in its output, "" if there is none."""
        return last_traceback(self._output())

    def restart(self, *extra: str) -> None:
        """Start it again on its data, unless its host is lost."""
        if self.link.lost:
            return
        self._killed = False
        self._status = None
        self.restarts += 1
        self._ask(self.link, "start", node=self.index, again=True, extra=list(extra))

    def terminate(self) -> None:
        """Ask it to stop."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        self._signal(signal.SIGKILL)
        self._await_end(KILL_TIMEOUT_S)

    def wait(self, timeout_s: float) -> int | None:
        """Wait until it ends; after `timeout_s`, kill it. None if its host is lost."""
        if not self._await_end(timeout_s):
            self._signal(signal.SIGKILL)
            self._await_end(KILL_TIMEOUT_S)
        return self._status

    def _signal(self, number: int) -> None:
        if self._status is not None or self.link.lost:
            return
        try:
            self._ask(self.link, "signal", node=self.index, signal=int(number))
        except HostError:
            if not self.link.lost:
                raise

    def _await_end(self, timeout_s: float) -> bool:
        limit = time.monotonic() + timeout_s
        while self._status is None and not self.link.lost and time.monotonic() < limit:
            time.sleep(POLL_S)
        return self._status is not None or bool(self.link.lost)

    def _output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""
