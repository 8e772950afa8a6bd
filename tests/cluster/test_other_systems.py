"""What only Linux has is not needed to import anything, nor to run a node; who asks for it is told in one line.

There is no other system to try this on, so the test takes away what others lack. It runs in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from honeybadger.cluster.wan.namespaces import Namespaces, WanUnavailable
from honeybadger.node.journal import Journal

IMPORT_ALL = """
import importlib, os, pkgutil, select, socket, sys
import asyncssh, blake3, cryptography, gevent.socket, matplotlib.pyplot, msgspec, numpy, prometheus_client
import psutil, starlette.applications, uvicorn
import multiprocessing, rich.live, sqlite3, tomli_w, urllib.request, uuid, yaml, zmq.green, zmq.utils.monitor
for module, names in {
    os: "fdatasync sched_setscheduler sched_getaffinity sched_param SCHED_RR setns unshare pidfd_open posix_fadvise",
    select: "epoll", socket: "TCP_INFO TCP_QUICKACK SO_PEERCRED SOCK_CLOEXEC SOCK_NONBLOCK",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "darwin"
import bench, crypto, honeybadger
for package in (bench, crypto, honeybadger):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
from crypto.erasure import ReedSolomon
from bench.places.hardware import machine
print(len(sys.modules), machine()["cores"], len(ReedSolomon(2, 4).encode(b"value")))
"""


def test_every_module_can_be_imported_without_what_only_linux_has() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_journal_is_synced_where_there_is_no_fdatasync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fdatasync")
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), real(descriptor))[1])
    journal = Journal(tmp_path / "votes", bytes(32), 0, "fsync", 0)
    journal.remember(0, 2, 0, 0, b"vote")
    journal.sync()
    journal.remember(0, 3, 0, 0, b"vote")
    synced.clear()
    journal.sync()
    assert len(synced) == 1
    journal.close()


def test_an_emulated_wan_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(WanUnavailable, match=r"^--wan needs Linux, this is darwin$"):
        Namespaces(4).make()
