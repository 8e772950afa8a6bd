"""What a host needs to run nodes: one wheel of this project, the same for all, and those of its dependencies.

Everything is gathered here and sent, so that hosts need no internet: from a folder that the user names, or with pip
from where pip gets packages, in the versions that are installed here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import honeybadger
from honeybadger.cluster.errors import ClusterError

#: everything that goes into the wheel
SOURCES = ("honeybadger", "crypto", "bench", "pyproject.toml", "setup.py", "README.md", "LICENSE")
PIP_TIMEOUT_S = 600.0


class Wheels:
    """Wheels by kind of host. `given`: the only folder to take them from, if the user names one; `scratch`: ours."""

    def __init__(self, given: Path | None, scratch: Path) -> None:
        self._given = given
        self._scratch = scratch
        self._project: Path | None = None
        self._found: dict[tuple[str, str, str], list[Path]] = {}

    def project(self) -> Path:
        """This project's wheel: out of the given folder, else built from the checkout that runs now."""
        if self._project is None:
            found = sorted(self._given.glob("honeybadger-*.whl")) if self._given is not None else []
            if len(found) > 1:
                raise ClusterError(f"{self._given}: {len(found)} wheels of honeybadger are there, one is needed")
            root = Path(honeybadger.__file__).resolve().parent.parent
            if not found and not (root / "pyproject.toml").exists():
                raise ClusterError("no wheel of honeybadger: run from a checkout, or put one into --wheels")
            self._project = found[0] if found else self._build(root)
        return self._project

    def for_host(self, facts: dict[str, Any]) -> list[Path]:
        """All that a host with these facts needs, pip included; ClusterError says what is missing."""
        python = ".".join(facts["python"].split(".")[:2])
        kind = (python, facts["glibc"], facts["architecture"])
        if kind not in self._found:
            target = self._scratch / "-".join(part or "none" for part in kind)
            source = ["--no-index", "--find-links", str(self._given)] if self._given is not None else []
            pins = self._scratch / "pins.txt"
            pins.write_text("".join(f"{line}\n" for line in _pins()) if self._given is None else "")
            _pip(
                *("download", "--dest", str(target), "--only-binary=:all:", "--constraint", str(pins)),
                *("--implementation", "cp", "--python-version", python, *_platforms(*kind[1:]), *source),
                *(str(self.project()), "pip"),
            )
            self._found[kind] = sorted(target.glob("*.whl"))
        return self._found[kind]

    def _build(self, root: Path) -> Path:
        # A copy, so that building leaves nothing in the checkout and takes nothing old out of it.
        copy, target = self._scratch / "source", self._scratch / "project"
        copy.mkdir()
        for name in SOURCES:
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (root / name).exists():
                shutil.copy2(root / name, copy / name)
        # With isolation, pip would fetch these even if they are here.
        flags = ["--no-build-isolation"] if _has("setuptools") and _has("wheel") else []
        _pip("wheel", "--no-deps", *flags, "--wheel-dir", str(target), str(copy))
        (wheel,) = target.glob("honeybadger-*.whl")
        return wheel


def _platforms(glibc: str, architecture: str) -> Iterator[str]:
    """The wheel tags that such a host can use, as flags of pip."""
    names = []
    if glibc:
        newest = int(glibc.split(".")[1])
        names = [f"manylinux_2_{minor}" for minor in range(newest, 4, -1)] + ["manylinux2014", "manylinux2010"]
    else:
        names = ["musllinux_1_2", "musllinux_1_1"]
    for name in names:
        yield from ("--platform", f"{name}_{architecture}")


def _pins() -> Iterator[str]:
    """What is installed here of what this project needs, directly or not."""
    left, seen = ["honeybadger"], set()
    while left:
        name = left.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            # Needed on some other system, or by an extra.
            continue
        if name in seen:
            continue
        seen.add(name)
        if name != "honeybadger":
            yield f"{name}=={found.version}"
        for line in found.requires or ():
            if "extra ==" not in line and (match := re.match(r"[A-Za-z0-9._-]+", line)):
                left.append(match[0])


def _has(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _pip(*arguments: str) -> None:
    """ClusterError with pip's last error."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"pip {arguments[0]} took longer than {PIP_TIMEOUT_S:g} s") from None
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = (errors or lines or ["no reason given"])[0]
        raise ClusterError(f"pip {arguments[0]}: {reason.removeprefix('ERROR: ')[:300]}")
