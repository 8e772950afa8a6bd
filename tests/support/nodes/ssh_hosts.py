"""Hosts for tests: network namespaces on a bridge, each with its own address and its own sshd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import tomli_w

from honeybadger.cluster.wan.namespaces import _free_network

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def why_not() -> str:
    """What is missing here to make such hosts, and the remedy; or ""."""
    if os.geteuid() != 0:
        return "no right to make network namespaces: run as root"
    for program, package in (("ip", "iproute2"), ("ssh-keygen", "openssh-client"), (SSHD, "openssh-server")):
        if shutil.which(program) is None:
            return f"no {Path(program).name}: apt-get install {package}"
    name = f"hbtry{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if tried.returncode:
        return f"no network namespaces ({tried.stderr.decode().strip()}): run as root with CAP_SYS_ADMIN"
    bridge = ["ip", "-n", name, "link", "add", "bridge", "type", "bridge"]
    made = subprocess.run(bridge, capture_output=True, check=False)
    ip("netns", "del", name)
    return f"no bridges ({made.stderr.decode().strip()}): modprobe bridge" if made.returncode else ""


def ip(*arguments: str) -> str:
    """Run `ip`."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


class SshHosts:
    """`count` hosts; each has a directory of its own in `root` for everything that is put there."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self.count = count
        self._id = os.getpid()
        self._network = _free_network(self._id)
        self._switch = f"hb{self._id}-switch"
        self._cable = f"hbv{self._id}"
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.key = root / "id"
        self.known_hosts = root / "known_hosts"

    def __enter__(self) -> SshHosts:
        self.root.mkdir(parents=True, exist_ok=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self) -> None:
        self._keygen(self.key)
        shutil.copy(f"{self.key}.pub", self.root / "authorized_keys")
        # The bridge has a namespace of its own: rules of this machine for what it forwards do not apply there.
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")
        ip("link", "add", self._cable, "type", "veth", "peer", "name", "outside", "netns", self._switch)
        ip("-n", self._switch, "link", "set", "outside", "master", "bridge", "up")
        ip("addr", "add", f"{self._network[254]}/24", "dev", self._cable)
        ip("link", "set", self._cable, "up")
        lines = []
        for number in range(self.count):
            self._make_namespace(number)
            host_key = self.directory(number) / "host_key"
            self._keygen(host_key)
            kind, key, *_ = Path(f"{host_key}.pub").read_text().split()
            lines.append(f"{self.address(number)} {kind} {key}\n")
            self._daemons.append(self._sshd(number, host_key))
        self.known_hosts.write_text("".join(lines))
        for number in range(self.count):
            limit = time.monotonic() + 20
            while time.monotonic() < limit:
                with suppress(OSError):
                    socket.create_connection((self.address(number), 22), 1).close()
                    break
                time.sleep(0.05)
            else:
                raise RuntimeError((self.directory(number) / "sshd.log").read_text())

    def _make_namespace(self, number: int) -> None:
        name, outside = self.namespace(number), f"port-{number}"
        (self.directory(number) / "place").mkdir(parents=True)
        ip("netns", "add", name)
        ip("-n", self._switch, "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", self._switch, "link", "set", outside, "master", "bridge", "up")
        ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")

    def _sshd(self, number: int, host_key: Path) -> subprocess.Popen[bytes]:
        config = self.directory(number) / "sshd_config"
        config.write_text(
            f"ListenAddress {self.address(number)}\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.root}/authorized_keys\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        )
        with (self.directory(number) / "sshd.log").open("wb") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.namespace(number), SSHD, "-D", "-e", "-f", str(config)], stderr=log
            )

    def __exit__(self, *_: object) -> None:
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait()
        for number in range(self.count):
            for pid in self.processes(number):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", self.namespace(number)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self._cable], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self._switch], capture_output=True, check=False)

    # -- names ---------------------------------------------------------------------------------------------

    def namespace(self, number: int) -> str:
        return f"hb{self._id}-{number}"

    def address(self, number: int) -> str:
        return str(self._network[number + 1])

    def directory(self, number: int) -> Path:
        return self.root / f"host-{number}"

    def left(self, number: int) -> list[Path]:
        """Run directories that are there now."""
        return sorted((self.directory(number) / "place").iterdir())

    def processes(self, number: int) -> list[int]:
        """Who runs on a host now."""
        found = subprocess.run(["ip", "netns", "pids", self.namespace(number)], capture_output=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def pythons(self, number: int) -> list[int]:
        """Processes of a host that run Python: agents and nodes."""
        found = []
        for pid in self.processes(number):
            with suppress(OSError):
                if b"python" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                    found.append(pid)
        return found

    # -- what tests do -------------------------------------------------------------------------------------

    def inventory(self, path: Path, *, top: dict[str, object] | None = None, **changes: dict[str, object]) -> Path:
        """Write hosts.toml; `changes`: h0={…} and so on."""
        hosts = [
            {
                "name": f"h{number}",
                "ssh": self.address(number),
                "user": "root",
                "key": str(self.key),
                "directory": str(self.directory(number) / "place"),
                **changes.get(f"h{number}", {}),
            }
            for number in range(self.count)
        ]
        path.write_text(tomli_w.dumps({**(top or {}), "hosts": hosts}))
        return path

    def cut(self, number: int) -> None:
        """Take a host's network away."""
        ip("-n", self._switch, "link", "set", f"port-{number}", "down")

    def mend(self, number: int) -> None:
        """Give it back."""
        ip("-n", self._switch, "link", "set", f"port-{number}", "up")

    @staticmethod
    def _keygen(path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
