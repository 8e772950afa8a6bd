"""The load generator as the controller sees it: a child process that reports progress and takes orders."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from bench.load import Settings


class LoadProcess:
    """`python -m bench.load` with `settings`; its complaints go to `log`."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._log = log
        with log.open("wb") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.load", msgspec.json.encode(settings).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._finished = False
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def finished(self) -> bool:
        """Whether it has ended and everything that it reported was taken."""
        return self._finished

    def event(self, timeout_s: float) -> dict[str, Any] | None:
        """The next thing it reports, or None if there is none in time or there will be no more."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._finished = event is None
        return event

    def tell(self, **orders: list[int]) -> None:
        """`down=[node, …]`: stop offering to these; `up=[node, …]`: begin again."""
        if self._process.stdin is None:
            raise RuntimeError("the load generator has no input")
        try:
            self._process.stdin.write(msgspec.json.encode(orders).decode() + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # It has just finished: there is nothing left to tell it.
            return

    def failure(self) -> str:
        """Wait for its end; its last words if it failed, else ""."""
        if not self._process.wait():
            return ""
        words = self._log.read_text(errors="replace").strip().splitlines()
        return f"the load generator failed: {words[-1] if words else 'no reason given'}"

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        if self._process.stdout is None:
            raise RuntimeError("the load generator has no output")
        for line in self._process.stdout:
            # The last line is cut short if it was killed.
            if line.endswith("\n"):
                self._events.put(msgspec.json.decode(line))
        self._events.put(None)
