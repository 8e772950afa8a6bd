"""The agent: the only program of ours that is started over SSH, one on each host, sent there through its own input.

It runs under the host's own Python, so it uses the standard library only and nothing of this project. It keeps one run
directory, starts processes in it, follows the files that they write, and says what it is asked for. When its input
ends, or when it has heard nothing for `silence_s` seconds (a network that is gone closes no connection), it kills
whatever it started and removes the run directory: nothing is left behind, whatever became of the controller.

Both directions carry frames: a line of JSON, whose "size" says how many bytes follow it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 256 * 1024
#: how often children and their files are looked at, and how often something is said at least, seconds
WATCH_S = 0.2
BEAT_S = 1.0


class Trouble(Exception):
    """What the controller asked for cannot be done; the text is for people."""


class Child:
    """A node's process. `home`: its directory; `status`: as `Popen.returncode`, None while it runs."""

    def __init__(self, command: list[str], home: Path) -> None:
        self.command = command
        self.home = home
        self.followed = {"events.jsonl": 0, "log.txt": 0}
        self.told = False
        self.start(())

    def start(self, extra: tuple[str, ...]) -> None:
        with (self.home / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *extra],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.home,
                env=environment(),
            )
        self.told = False


class Agent:
    """See the module. `commands`, `replies`: the two directions."""

    def __init__(self, commands: BinaryIO, replies: BinaryIO) -> None:
        self._commands = commands
        self._replies = replies
        self._writing = threading.Lock()
        self._watching = threading.Lock()
        self._ending = threading.RLock()
        self._heard_at = self._said_at = time.monotonic()
        self._silence_s = 60.0
        self._keep = False
        self._root: Path | None = None
        self._children: dict[int, Child] = {}
        self._helpers: set[subprocess.Popen[bytes]] = set()
        self._listeners: list[socket.socket] = []

    def run(self) -> None:
        """Obey until the end."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: self.finish())
        threading.Thread(target=self._guard, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        while line := self._commands.readline():
            self._heard_at = time.monotonic()
            command = json.loads(line)
            what = getattr(self, "do_" + command["do"])
            if command["do"] in ("put", "clock"):
                # These at once: the bytes of a file follow, and nothing may delay a look at the clock.
                self._obey(what, command)
            else:
                threading.Thread(target=self._obey, args=(what, command), daemon=True).start()
        self.finish()

    def finish(self) -> None:
        """Kill what was started, remove the run directory, and end."""
        # Never given back: whoever else wants to end waits here until it is done. A signal may come in between.
        self._ending.acquire()
        self._end_all()
        if self._root is not None and not self._keep:
            shutil.rmtree(self._root, ignore_errors=True)
        os._exit(0)

    def _obey(self, what: Callable[[dict[str, Any]], dict[str, Any] | None], command: dict[str, Any]) -> None:
        try:
            answer = what(command) or {}
        except (Trouble, OSError, subprocess.SubprocessError, RuntimeError) as error:
            # An OSError says in its text what file or address it is about; a RuntimeError that there is no home.
            answer = {"error": str(error)}
        path = answer.pop("send", None)
        if path is None:
            self._say({"re": command["id"], **answer})
        else:
            self._send_file({"re": command["id"]}, path)

    # -- commands ------------------------------------------------------------------------------------------

    def do_begin(self, command: dict[str, Any]) -> dict[str, Any]:
        """Make the run directory; answers what this host is."""
        self._silence_s = command["silence_s"]
        self._keep = command["keep"]
        parent = Path(command["directory"]).expanduser()
        parent.mkdir(parents=True, exist_ok=True)
        self._root = Path(tempfile.mkdtemp(prefix="honeybadger-", dir=parent))
        return {
            "root": str(self._root),
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "glibc": platform.libc_ver()[1] if platform.libc_ver()[0] == "glibc" else "",
            "system": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            "free_bytes": shutil.disk_usage(self._root).free,
        }

    def do_clock(self, command: dict[str, Any]) -> dict[str, Any]:
        """Both clocks, in seconds."""
        return {"monotonic": time.monotonic(), "unix": time.time()}

    def do_put(self, command: dict[str, Any]) -> dict[str, Any]:
        """Write a file; what follows must have the hash that was announced."""
        left, digest = command["size"], hashlib.sha256()
        path = self._inside(command["path"])
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file, trouble = None, ""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, command["mode"])
            file = os.fdopen(descriptor, "wb")
        except OSError as error:
            trouble = str(error)
        while left:
            data = self._commands.read(min(CHUNK, left))
            if not data:
                self.finish()
            self._heard_at = time.monotonic()
            left -= len(data)
            digest.update(data)
            if file is not None and not trouble:
                try:
                    file.write(data)
                except OSError as error:
                    # The rest still has to be read: the next command comes after it.
                    trouble = f"{path}: {error.strerror}"
        if file is not None:
            file.close()
        if trouble:
            raise Trouble(trouble)
        if digest.hexdigest() != command["sha256"]:
            raise Trouble(f"{path.name} arrived damaged")
        return {}

    def do_install(self, command: dict[str, Any]) -> dict[str, Any]:
        """A virtual environment with the wheels that were put into `wheels`.

        Pip runs out of its own wheel, so the host needs neither pip nor ensurepip.
        """
        venv = self._inside("venv")
        status, output = self._help([sys.executable, "-m", "venv", "--without-pip", str(venv)], command["limit_s"])
        if status:
            raise Trouble(f"python -m venv fails: {last_line(output)}")
        wheels = sorted(self._inside("wheels").glob("*.whl"))
        pip = next(path for path in wheels if path.name.startswith("pip-"))
        status, output = self._help(
            [
                *(str(venv / "bin" / "python"), str(pip / "pip"), "install", "--quiet", "--disable-pip-version-check"),
                *(
                    "--no-index",
                    "--no-deps",
                    "--no-cache-dir",
                    "--no-compile",
                    *(str(path) for path in wheels if path != pip),
                ),
            ],
            command["limit_s"],
        )
        if status:
            raise Trouble(f"pip install fails: {last_line(output)}")
        return {}

    def do_python(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run the environment's Python with `arguments`; answers its status and output."""
        python = str(self._inside("venv/bin/python"))
        status, output = self._help([python, *self._arguments(command)], command["limit_s"])
        return {"status": status, "output": output[-20_000:]}

    def do_listen(self, command: dict[str, Any]) -> dict[str, Any]:
        """Listen at `address`: at `count` ports from `base` on, or at free ones. They stay open until `close`."""
        address, base = command["address"], command["base"]
        ports = []
        for number in range(command["count"]):
            listener = socket.socket()
            self._listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            wanted = base + number if base is not None else 0
            try:
                listener.bind((address, wanted))
                listener.listen(64)
            except OSError as error:
                self.do_close(command)
                port = f"port {wanted} on {address}" if wanted else f"address {address}"
                raise Trouble(f"{port} cannot be used: {error.strerror}") from None
            ports.append(listener.getsockname()[1])
        return {"ports": ports}

    def do_close(self, command: dict[str, Any]) -> None:
        """Close what `listen` opened."""
        while self._listeners:
            self._listeners.pop().close()

    def do_reach(self, command: dict[str, Any]) -> dict[str, Any]:
        """Connect to each of `targets`; answers the number of the first that fails, if one does, and why."""
        for number, (host, port) in enumerate(command["targets"]):
            try:
                socket.create_connection((host, port), command["patience_s"]).close()
            except OSError as error:
                return {"failed": number, "why": error.strerror or str(error)}
        return {}

    def do_start(self, command: dict[str, Any]) -> None:
        """Start node `node` in `home` with `arguments`, or start it again with more arguments, `extra`."""
        node = command["node"]
        with self._watching:
            if command["again"]:
                self._children[node].start(tuple(command["extra"]))
            else:
                python = str(self._inside("venv/bin/python"))
                self._children[node] = Child([python, *self._arguments(command)], self._inside(command["home"]))

    def do_signal(self, command: dict[str, Any]) -> None:
        """To a node's process, if it still runs."""
        process = self._children[command["node"]].process
        if process.poll() is None:
            process.send_signal(command["signal"])

    def do_flush(self, command: dict[str, Any]) -> None:
        """Say everything that there is to say about nodes and their files."""
        self._look()

    def do_get(self, command: dict[str, Any]) -> dict[str, Any]:
        """A file's contents follow the answer; "missing" if it is not there."""
        path = self._inside(command["path"])
        return {"send": path} if path.exists() else {"missing": True}

    def do_forget(self, command: dict[str, Any]) -> None:
        """Remove a run's directory, whose nodes have ended."""
        with self._watching:
            for node, child in list(self._children.items()):
                end_group(child.process)
                del self._children[node]
        if not self._keep:
            shutil.rmtree(self._inside(command["path"]))

    def do_end(self, command: dict[str, Any]) -> dict[str, Any]:
        """Remove everything; the connection closes afterwards."""
        self._end_all()
        if self._root is None or self._keep:
            return {"left": str(self._root or "")}
        shutil.rmtree(self._root)
        return {"left": ""}

    # -- what goes on by itself ----------------------------------------------------------------------------

    def _guard(self) -> None:
        while time.monotonic() < self._heard_at + self._silence_s:
            time.sleep(0.5)
        self.finish()

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_S)
            self._look()
            if time.monotonic() > self._said_at + BEAT_S:
                self._say({"push": "beat"})

    def _look(self) -> None:
        with self._watching:
            for node, child in self._children.items():
                # In this order: the last words of a node come before the news of its end.
                status = child.process.poll()
                for name in child.followed:
                    self._follow(node, child, name)
                if status is not None and not child.told:
                    child.told = True
                    self._say({"push": "ended", "node": node, "status": status})

    def _follow(self, node: int, child: Child, name: str) -> None:
        path = child.home / name
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(child.followed[name])
            while data := file.read(CHUNK):
                self._say({"push": "grown", "node": node, "file": name}, data)
                child.followed[name] += len(data)

    # -- helpers -------------------------------------------------------------------------------------------

    def _end_all(self) -> None:
        for process in [*(child.process for child in self._children.values()), *self._helpers]:
            end_group(process)

    def _say(self, header: dict[str, Any], data: bytes = b"") -> None:
        frame = json.dumps({**header, "size": len(data)}).encode() + b"\n" + data
        with self._writing:
            try:
                self._replies.write(frame)
                self._replies.flush()
            except OSError:
                # Nobody listens any more.
                self.finish()
        self._said_at = time.monotonic()

    def _send_file(self, header: dict[str, Any], path: Path) -> None:
        with path.open("rb") as file, self._writing:
            left = os.fstat(file.fileno()).st_size
            try:
                self._replies.write(json.dumps({**header, "size": left}).encode() + b"\n")
                while left:
                    data = file.read(min(CHUNK, left))
                    if not data:
                        raise OSError(f"{path} has become shorter")
                    self._replies.write(data)
                    left -= len(data)
                self._replies.flush()
            except OSError:
                self.finish()

    def _help(self, command: list[str], timeout_s: float) -> tuple[int, str]:
        """Run a process to its end; its status and what it printed."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=self._inside("."),
            env=environment(),
        )
        self._helpers.add(process)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            end_group(process)
            raise Trouble(f"{Path(command[0]).name} {command[1]} took longer than {timeout_s:g} s") from None
        finally:
            self._helpers.discard(process)
        return process.returncode, output.decode(errors="replace")

    def _arguments(self, command: dict[str, Any]) -> list[str]:
        """Those that begin with ./ are paths in the run directory."""
        return [str(self._inside(a[2:])) if a.startswith("./") else a for a in command["arguments"]]

    def _inside(self, path: str) -> Path:
        if self._root is None:
            raise Trouble("there is no run directory yet")
        return self._root / path


def environment() -> dict[str, str]:
    """Of what is started: nothing that would lead Python elsewhere, no option of ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HONEYBADGER_"))}


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and whatever it started; it leads a group of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_line(text: str) -> str:
    """Of an output, for people; pip's hints come after its errors."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no reason given"])[-1]


if __name__ == "__main__":
    Agent(sys.stdin.buffer, sys.stdout.buffer).run()
