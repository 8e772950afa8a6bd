"""The agent: the one program that the controller starts over SSH, on each host. It arrives through its own input.

It runs under the host's own Python, so it uses only the standard library and nothing of this project. It keeps one run
directory, starts processes in it, sends the files that they write, and answers commands. When its input ends, or after
`silence_s` seconds without a word (a broken network closes no connection), it kills all its processes and removes the
run directory. So nothing is left behind, whatever happens to the controller.

Both directions carry frames: a line of JSON, whose "size" says how many bytes follow it.
"""

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
#: seconds between looks at children and their files, and between signs of life
WATCH_S = 0.2
BEAT_S = 1.0


class Trouble(Exception):
    """The agent cannot do what the controller asked for; the text is for people."""


class Child:
    """A node's process. `home`: its directory; `status`: like `Popen.returncode`, None while it runs."""

    def __init__(self, command: list[str], home: Path) -> None:
        self.command = command
        self.home = home
        self.followed = {"events.jsonl": 0, "log.txt": 0}
        self.told = False
        self.start(())

    def start(self, extra: tuple[str, ...]) -> None:
        with (self.home / "log.txt").open("ab") as log:
            self.process = spawn([*self.command, *extra], self.home, log)
        self.told = False


class Agent:
    """`commands`, `replies`: the two directions."""

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
        """Obey commands until the input ends."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: self.finish())
        threading.Thread(target=self._guard, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        while line := self._commands.readline():
            self._heard_at = time.monotonic()
            command = json.loads(line)
            command["data"] = self._take(command["size"])
            what = getattr(self, "do_" + command["do"])
            if command["do"] == "clock":
                # At once: nothing may delay a look at the clock.
                self._obey(what, command)
            else:
                threading.Thread(target=self._obey, args=(what, command), daemon=True).start()
        self.finish()

    def finish(self) -> None:
        """Kill what was started, remove the run directory, and end."""
        # Never released: any other thread that wants to end waits here until it is done.
        self._ending.acquire()
        self._end_all()
        if self._root is not None and not self._keep:
            shutil.rmtree(self._root, ignore_errors=True)
        os._exit(0)

    def _take(self, size: int) -> bytes:
        """The bytes that follow a command; each piece of them is a sign of life."""
        pieces = []
        while size:
            if not (data := self._commands.read(min(CHUNK, size))):
                self.finish()
            self._heard_at = time.monotonic()
            pieces.append(data)
            size -= len(data)
        return b"".join(pieces)

    def _obey(self, what: Callable[[dict[str, Any]], dict[str, Any] | None], command: dict[str, Any]) -> None:
        try:
            answer = what(command) or {}
        except (Trouble, OSError, subprocess.SubprocessError, RuntimeError) as error:
            # The text of an OSError names the file or address; a RuntimeError says that there is no home.
            answer = {"error": str(error)}
        data = answer.pop("data", b"")
        self._say({"re": command["id"], **answer}, data)

    # -- commands ------------------------------------------------------------------------------------------

    def do_begin(self, command: dict[str, Any]) -> dict[str, Any]:
        """Make the run directory; answers facts about this host."""
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

    def do_put(self, command: dict[str, Any]) -> None:
        """Write a file; the bytes that came must have the announced hash."""
        path = self._inside(command["path"])
        if hashlib.sha256(command["data"]).hexdigest() != command["sha256"]:
            raise Trouble(f"{path.name} arrived damaged")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, command["mode"]), "wb") as file:
            file.write(command["data"])

    def do_install(self, command: dict[str, Any]) -> None:
        """Make a virtual environment with the wheels in `wheels`.

        Pip runs from its own wheel, so the host needs neither pip nor ensurepip.
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
                *("--no-index", "--no-deps", "--no-cache-dir", "--no-compile"),
                *(str(path) for path in wheels if path != pip),
            ],
            command["limit_s"],
        )
        if status:
            raise Trouble(f"pip install fails: {last_line(output)}")

    def do_python(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run the environment's Python with `arguments`; answers its status and output."""
        python = str(self._inside("venv/bin/python"))
        status, output = self._help([python, *self._arguments(command)], command["limit_s"])
        return {"status": status, "output": output[-20_000:]}

    def do_listen(self, command: dict[str, Any]) -> dict[str, Any]:
        """Listen on `count` ports of `address`, from `base` on or on free ones. They stay open until `close`."""
        address, base = command["address"], command["base"]
        ports = []
        for number in range(command["count"]):
            listener = socket.socket()
            self._listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port = base + number if base is not None else 0
            try:
                listener.bind((address, port))
                listener.listen(64)
            except OSError as error:
                self.do_close(command)
                what = f"port {port} on {address}" if port else f"address {address}"
                raise Trouble(f"{what} cannot be used: {error.strerror}") from None
            ports.append(listener.getsockname()[1])
        return {"ports": ports}

    def do_close(self, command: dict[str, Any]) -> None:
        """Close what `listen` opened."""
        while self._listeners:
            self._listeners.pop().close()

    def do_reach(self, command: dict[str, Any]) -> dict[str, Any]:
        """Connect to each of `targets`; answers the number of the first that fails, and why."""
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
        """Send a signal to a node's process, if it still runs."""
        process = self._children[command["node"]].process
        if process.poll() is None:
            process.send_signal(command["signal"])

    def do_flush(self, command: dict[str, Any]) -> None:
        """Send all news of nodes and their files."""
        self._look()

    def do_get(self, command: dict[str, Any]) -> dict[str, Any]:
        """A piece of a file, from `offset`; "missing" if it does not exist."""
        path = self._inside(command["path"])
        if not path.exists():
            return {"missing": True}
        with path.open("rb") as file:
            file.seek(command["offset"])
            return {"data": file.read(command["most"])}

    def do_forget(self, command: dict[str, Any]) -> None:
        """Remove the directory of a run whose nodes have ended."""
        with self._watching:
            while self._children:
                end_group(self._children.popitem()[1].process)
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
                # In this order: the last output of a node comes before the news of its end.
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

    def _help(self, command: list[str], timeout_s: float) -> tuple[int, str]:
        """Run a process to its end; returns status and output."""
        process = spawn(command, self._inside("."), subprocess.PIPE)
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
        """The arguments; those that begin with ./ become paths in the run directory."""
        return [str(self._inside(a[2:])) if a.startswith("./") else a for a in command["arguments"]]

    def _inside(self, path: str) -> Path:
        if self._root is None:
            raise Trouble("there is no run directory yet")
        return self._root / path


def spawn(command: list[str], directory: Path, output: Any) -> subprocess.Popen[bytes]:
    """Start a process that leads its own group, without this one's variables of Python and of this project."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=directory,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HONEYBADGER_"))},
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with everything that it started; it leads its own group."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_line(text: str) -> str:
    """The line of an output to show: the last error, because pip prints hints after its errors."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no reason given"])[-1]


if __name__ == "__main__":
    Agent(sys.stdin.buffer, sys.stdout.buffer).run()
