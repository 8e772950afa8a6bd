"""Hardware and versions, which every result records."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import zmq

PACKAGES = ("honeybadger", "blake3", "ckzg", "cryptography", "gevent", "msgspec", "numpy", "pyzmq", "pyeclib")

#: of suites that need not be installed: named where they are
OPTIONAL = ("charm-crypto-framework", "pycryptodomex", "zfec")


def machine() -> dict[str, Any]:
    """Processor, cores usable by this process, memory, operating system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that do the work."""
    installed = {"python": platform.python_version(), "libzmq": zmq.zmq_version()}
    for name in (*PACKAGES, *OPTIONAL):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            if name in PACKAGES:
                installed[name] = "not installed"
    return installed
