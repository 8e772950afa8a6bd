"""The clients as the controller sees them: child processes that report progress and take orders."""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.load.client import Settings
from honeybadger.cluster.processes import signal_name

#: clients begin together, so long after the last one is ready, seconds
HEAD_START_S = 0.05


class Clients:
    """Processes `python -m bench.load.client`, one for each of `settings`; complaints go to `load.log` next to their
    results.

    They start offering together, when all are ready. The first one says how long warm-up lasts, and the others hear it.
    """

    def __init__(self, settings: Sequence[Settings]) -> None:
        self._events: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()
        self._logs = [Path(one.output) / "load.log" for one in settings]
        self._processes: list[subprocess.Popen[str]] = []
        self._acknowledged = [0] * len(settings)
        self._warm = False
        self._not_ready = len(settings)
        self._running = len(settings)
        for number, one in enumerate(settings):
            Path(one.output).mkdir(parents=True, exist_ok=True)
            with self._logs[number].open("wb") as complaints:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "bench.load.client", msgspec.json.encode(one).decode()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    text=True,
                )
            self._processes.append(process)
            threading.Thread(target=self._read, args=(number, process), daemon=True).start()

    @property
    def finished(self) -> bool:
        """Whether one has failed, or all have ended and everything that they reported was taken."""
        return not self._running or any(process.poll() not in (None, 0) for process in self._processes)

    def event(self, timeout_s: float) -> dict[str, Any] | None:
        """A "window" with `start` and `end`, or "progress" with `acknowledged` of all; None if there is none in time.

        The window is that of the first client; until "progress" says `warm`, that client may move it.
        """
        try:
            number, event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if event is None:
            self._running -= 1
            return None
        if event["event"] == "ready":
            self._not_ready -= 1
            if not self._not_ready:
                self._write(self._processes, start=time.monotonic() + HEAD_START_S)
            return None
        if event["event"] == "window":
            if number:
                return None
            self._write(self._processes[1:], window=[event["start"], event["end"]])
            return event
        self._acknowledged[number] = event["acknowledged"]
        if not number:
            self._warm = event["warm"]
        return {**event, "acknowledged": sum(self._acknowledged), "warm": self._warm}

    def tell(self, **orders: list[int]) -> None:
        """`down=[node, …]`: stop offering to these; `up=[node, …]`: begin again."""
        self._write(self._processes, **orders)

    def failure(self) -> str:
        """Wait for their end, the first failure ends all; its last words, else ""."""
        # Those that have failed already come first: the others may never end.
        order = sorted(range(len(self._processes)), key=lambda number: not self._processes[number].poll())
        failed = next((number for number in order if self._processes[number].wait()), None)
        if failed is None:
            return ""
        status = self._processes[failed].returncode
        self.kill()
        if status < 0:
            return f"the load generator was killed by {signal_name(-status)}"
        words = self._logs[failed].read_text(errors="replace").strip().splitlines()
        return f"the load generator failed: {words[-1] if words else 'no reason given'}"

    def kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    @staticmethod
    def _write(processes: Sequence[subprocess.Popen[str]], **orders: Any) -> None:
        for process in processes:
            if process.stdin is None:
                raise RuntimeError("the load generator has no input")
            try:
                process.stdin.write(msgspec.json.encode(orders).decode() + "\n")
                process.stdin.flush()
            except BrokenPipeError:
                # It has just finished: there is nothing left to tell it.
                continue

    def _read(self, number: int, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            raise RuntimeError("the load generator has no output")
        for line in process.stdout:
            # The last line is cut short if it was killed.
            if line.endswith("\n"):
                self._events.put((number, msgspec.json.decode(line)))
        self._events.put((number, None))
