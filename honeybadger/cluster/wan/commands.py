"""Runs `ip` and `tc`; their complaints become one line."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from honeybadger.cluster.errors import WanUnavailable

#: where they are on systems that have them only in the PATH of root
_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/local/sbin"
TIMEOUT_S = 60.0


class CommandFailed(Exception):
    """The last line of what the command said."""


def find(name: str) -> str:
    """The path of `ip` or `tc`; WanUnavailable if it is missing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}")
    if path is None:
        raise WanUnavailable(f"--wan needs the command {name} (Debian and Ubuntu: package iproute2)")
    return path


def run(name: str, *arguments: str, lines: Sequence[str] = ()) -> str:
    """Its standard output; `lines` are its input (`-batch -`). CommandFailed with its last complaint."""
    try:
        done = subprocess.run(
            [find(name), *arguments],
            input="".join(line + "\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{name} did not end within {TIMEOUT_S:g} s") from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in said if not line.startswith(("Command failed", "We have an error"))]
        complaint = (told or said or [f"exit status {done.returncode}"])[-1]
        raise CommandFailed(complaint.removeprefix("Error: ").removesuffix("."))
    return done.stdout
