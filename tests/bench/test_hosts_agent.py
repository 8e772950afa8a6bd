"""The program that runs on a host, here on pipes instead of SSH: what it does, and that it leaves nothing behind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.places.hosts import agent

pytestmark = pytest.mark.processes

NODE = "import sys, time\nopen('events.jsonl', 'w').write('{}\\n' * 3)\nprint(sys.argv, flush=True)\ntime.sleep(600)\n"


class Talk:
    """An agent's process, and the frames to and from it."""

    def __init__(self, directory: Path, silence_s: float = 60.0, keep: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-u", agent.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pushed: list[tuple[dict, bytes]] = []
        self.begun = self.ask("begin", directory=str(directory), silence_s=silence_s, keep=keep)
        self.root = Path(self.begun["root"])

    def send(self, do: str, data: bytes = b"", **arguments) -> None:
        header = {"do": do, "id": 7, "size": len(data), **arguments}
        self.process.stdin.write(json.dumps(header).encode() + b"\n" + data)
        self.process.stdin.flush()

    def frame(self) -> tuple[dict, bytes]:
        header = json.loads(self.process.stdout.readline())
        return header, self.process.stdout.read(header["size"])

    def ask(self, do: str, data: bytes = b"", **arguments) -> dict:
        self.send(do, data, **arguments)
        while True:
            header, data = self.frame()
            if "re" in header:
                return {**header, "data": data}
            self.pushed.append((header, data))

    def put(self, path: str, data: bytes, sha256: str = "") -> dict:
        return self.ask("put", data, path=path, mode=0o600, sha256=sha256 or hashlib.sha256(data).hexdigest())

    def start(self) -> int:
        """A node that never ends; its process id."""
        (self.root / "venv" / "bin").mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (self.root / "venv" / "bin" / "python").symlink_to(sys.executable)
        self.put("run-1/node-2/node.py", NODE.encode())
        home = "run-1/node-2"
        arguments = [f"./{home}/node.py", "plain"]
        assert "error" not in self.ask("start", node=2, home=home, arguments=arguments, again=False)
        while not any(header.get("file") == "log.txt" for header, _ in self.pushed):
            self.pushed.append(self.frame())
        (pid,) = (
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if str(self.root / home / "node.py") in (process.info["cmdline"] or ())
        )
        return pid


@pytest.fixture
def talk(tmp_path):
    made: list[Talk] = []

    def talk(**changes) -> Talk:
        made.append(Talk(tmp_path / "place", **changes))
        return made[-1]

    yield talk
    for one in made:
        one.process.kill()
        one.process.wait()
        one.process.stdin.close()
        one.process.stdout.close()


def gone(pid: int) -> bool:
    """Whether a process has ended, waiting for a while."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_it_says_what_a_node_writes_and_how_it_ends(talk):
    one = talk()
    pid = one.start()
    said = {header["file"]: data for header, data in one.pushed if header["push"] == "grown"}
    assert said["events.jsonl"] == b"{}\n" * 3
    assert f"{one.root}/run-1/node-2/node.py" in said["log.txt"].decode() and "'plain'" in said["log.txt"].decode()
    one.ask("signal", node=2, signal=int(signal.SIGKILL))
    while not any(header["push"] == "ended" for header, _ in one.pushed):
        one.pushed.append(one.frame())
    assert one.pushed[-1][0] == {"push": "ended", "node": 2, "status": -9, "size": 0} and gone(pid)


@pytest.mark.parametrize("how", ["end of input", "silence", "SIGTERM"])
def test_whatever_ends_it_nothing_is_left(talk, tmp_path, how):
    one = talk(silence_s=6.0 if how == "silence" else 60.0)
    pid = one.start()
    if how == "end of input":
        one.process.stdin.close()
    elif how == "SIGTERM":
        one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(30) == 0
    assert gone(pid) and list((tmp_path / "place").iterdir()) == []


def test_to_keep_is_to_keep_files_not_processes(talk):
    one = talk(keep=True)
    pid = one.start()
    assert one.ask("end")["left"] == str(one.root)
    assert gone(pid) and (one.root / "run-1").is_dir()


def test_a_damaged_file_is_refused_and_the_next_command_is_understood(talk):
    one = talk()
    assert one.put("a/b", b"x" * 1000, sha256="0" * 64)["error"] == "b arrived damaged"
    assert "error" not in one.put("a/b", b"x") and "exists" in one.put("a/b", b"y")["error"].lower()
    assert "error" not in one.put("a/c", b"secret")
    assert (one.root / "a" / "c").stat().st_mode & 0o777 == 0o600
    assert one.ask("get", path="a/c", offset=0, most=4)["data"] == b"secr"
    assert one.ask("get", path="a/c", offset=4, most=4)["data"] == b"et"
    assert one.ask("get", path="a/none", offset=0, most=4)["missing"] is True


def test_a_port_in_use_is_named_and_the_others_are_given_back(talk):
    one = talk()
    first = one.ask("listen", address="127.0.0.1", base=None, count=1)["ports"][0]
    refused = one.ask("listen", address="127.0.0.1", base=first, count=2)["error"]
    assert refused == f"port {first} on 127.0.0.1 cannot be used: Address already in use"
    # What it had opened is closed now.
    assert one.ask("listen", address="127.0.0.1", base=first, count=1)["ports"] == [first]
    assert one.ask("reach", targets=[["127.0.0.1", first]], patience_s=5)["re"] == 7
    one.ask("close")
    answer = one.ask("reach", targets=[["127.0.0.1", first]], patience_s=5)
    assert (answer["failed"], answer["why"]) == (0, "Connection refused")
