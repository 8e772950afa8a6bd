"""A node of a run in a container, with the interface of `NodeProcess`."""

import shutil
import subprocess
from pathlib import Path

from bench.places.docker_engine import docker
from honeybadger.cluster.processes import last_traceback

#: lines of output that are kept
LOG_LINES = "2000"


class ContainerNode:
    """The running container of node `index`; `container`: its id. `fetch` copies its volume here, laid out like a local
    node's: `data/ledger.sqlite`, `events.jsonl`, `log.txt`."""

    def __init__(self, directory: Path, index: int, container: str) -> None:
        self._home = directory / f"node-{index}"
        self.container = container
        self.index = index
        self.restarts = 0
        self.killed = False
        self._removed = False
        self.data = self._home / "data"
        self.log = self._home / "log.txt"
        self._watch()

    @property
    def events(self) -> Path:
        """Its events, fetched afresh as long as the container exists."""
        if not self._removed:
            self.fetch()
        return self._home / "events.jsonl"

    def _watch(self) -> None:
        """Start a process that ends when the container does; polling the engine would cost processor time."""
        self._waiter = subprocess.Popen(
            ["docker", "wait", self.container],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._status: int | None = None

    @property
    def exit_status(self) -> int | None:
        """Like that of a process: negative for a signal. 255 if the engine no longer knows."""
        if self._status is None and self._waiter.poll() is not None and self._waiter.stdout is not None:
            said = self._waiter.stdout.read().strip()
            self._waiter.stdout.close()
            status = int(said) if said.isdigit() else 255
            self._status = 128 - status if 128 < status < 255 else status
        return self._status

    @property
    def last_words(self) -> str:
        """The last line of its output."""
        self._fetch_log()
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def traceback(self) -> str:
        """The last line of the last Python traceback in its output, as of the last `fetch`; "" if there is none."""
        return last_traceback(self.log.read_text(errors="replace"))

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.killed = True
        if self.exit_status is None:
            docker("kill", self.container)
            self._waiter.wait()

    def restart(self, *extra: str) -> None:
        """After it has ended, start the container again on its volume, with the same arguments."""
        if extra:
            raise RuntimeError("a container starts again with the same arguments only")
        if self.exit_status is None:
            raise RuntimeError(f"node {self.index} is still running")
        docker("start", self.container)
        self.killed = False
        self.restarts += 1
        self._watch()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.exit_status is None:
            docker("kill", "--signal", "TERM", self.container)

    def wait(self, timeout_s: float) -> int | None:
        """Wait until it ends; after `timeout_s`, kill it. Returns the exit status."""
        try:
            self._waiter.wait(timeout_s)
        except subprocess.TimeoutExpired:
            docker("kill", self.container)
            self._waiter.wait()
        return self.exit_status

    def fetch(self) -> None:
        """Copy its files and output here, in place of an earlier copy."""
        if self.data.exists():
            # An old write-ahead log would undo changes of a newer ledger.
            shutil.rmtree(self.data)
        docker("cp", f"{self.container}:/node/.", str(self._home))
        self._fetch_log()

    def forget(self) -> None:
        """Call before the container is removed: fetch nothing more, and end the watching process."""
        self._removed = True
        self._waiter.kill()
        self._waiter.wait()

    def _fetch_log(self) -> None:
        with self.log.open("wb") as log:
            subprocess.run(
                ["docker", "logs", "--tail", LOG_LINES, self.container],
                stdout=log,
                stderr=log,
                check=False,
                timeout=60,
            )
