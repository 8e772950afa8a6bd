"""Gathers what a host needs to run nodes: a wheel of this project, the same for all, and those of its dependencies.

All wheels are gathered here and sent, so hosts need no internet. They come from a folder that the user names, or from
pip, in the versions that are installed here. Those that were compiled here (`make charm`) go to hosts with the same
architecture and version of Python.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import honeybadger
from honeybadger.cluster.errors import ClusterError

#: everything that goes into the wheel
SOURCES = ("honeybadger", "crypto", "bench", "pyproject.toml", "setup.py", "README.md", "LICENSE")
PIP_TIMEOUT_S = 600.0


class Wheels:
    """Wheels by kind of host. `given`: the folder to take all of them from, or None; `scratch`: for temporary files."""

    def __init__(self, given: Path | None, scratch: Path) -> None:
        self._given = given
        self._scratch = scratch
        self._project: Path | None = None
        self._found: dict[tuple[str, str, str], list[Path]] = {}

    def project(self) -> Path:
        """This project's wheel: from the given folder, else built from this checkout."""
        if self._project is None:
            wheels = sorted(self._given.glob("honeybadger-*.whl")) if self._given is not None else []
            if len(wheels) > 1:
                raise ClusterError(f"{self._given} has {len(wheels)} wheels of honeybadger, but it must have one")
            root = Path(honeybadger.__file__).resolve().parent.parent
            if not wheels and not (root / "pyproject.toml").exists():
                raise ClusterError("no wheel of honeybadger: run from a checkout, or put one into --wheels")
            self._project = wheels[0] if wheels else self._build(root)
        return self._project

    def for_host(self, facts: dict[str, Any]) -> list[Path]:
        """All that a host with these facts needs, pip included; ClusterError says what is missing."""
        python = ".".join(facts["python"].split(".")[:2])
        kind = (python, facts["glibc"], facts["architecture"])
        if kind not in self._found:
            target = self._scratch / "-".join(part or "none" for part in kind)
            source = ["--no-index", "--find-links", str(self._given)] if self._given is not None else []
            compiled = self._compiled(python, facts["architecture"])
            pins = self._scratch / "pins.txt"
            # Constraints: those of packages that are not asked for do nothing.
            versions = [] if self._given is not None else [(d.name, d.version) for d in distributions()]
            pins.write_text("".join(f"{name}=={version}\n" for name, version in versions if name != "honeybadger"))
            _pip(
                *("download", "--dest", str(target), "--only-binary=:all:", "--constraint", str(pins)),
                *("--implementation", "cp", "--python-version", python, *_platforms(*kind[1:]), *source),
                *(f"{self.project()}[charm]" if compiled else str(self.project()), "pip"),
            )
            fetched = [path for path in target.glob("*.whl") if not _names(compiled) & _names([path])]
            self._found[kind] = sorted([*fetched, *compiled], key=lambda path: path.name)
        return self._found[kind]

    def _compiled(self, python: str, architecture: str) -> list[Path]:
        """Wheels that pip can get from no index, if there are any for such a host."""
        folder = Path(sys.prefix) / "wheels" if self._given is None else self._given
        tag = "cp" + python.replace(".", "")
        charm = folder.glob(f"charm_crypto_framework-*-{tag}-*_{architecture}.whl")
        return [*charm, *(folder.glob(f"zfec-*-{tag}-*_{architecture}.whl") if self._given is None else ())]

    def _build(self, root: Path) -> Path:
        # From a copy: the build must leave nothing in the checkout, and use nothing old from it.
        copy, target = self._scratch / "source", self._scratch / "project"
        copy.mkdir()
        for name in SOURCES:
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (root / name).exists():
                shutil.copy2(root / name, copy / name)
        # With isolation, pip would fetch these even if they are installed.
        flags = ["--no-build-isolation"] if find_spec("setuptools") and find_spec("wheel") else []
        _pip("wheel", "--no-deps", *flags, "--wheel-dir", str(target), str(copy))
        (wheel,) = target.glob("honeybadger-*.whl")
        return wheel


def _names(wheels: Iterable[Path]) -> set[str]:
    """The packages that these are of."""
    return {path.name.partition("-")[0] for path in wheels}


def _platforms(glibc: str, architecture: str) -> Iterator[str]:
    """The wheel tags that such a host can use, as options of pip."""
    if glibc:
        newest = int(glibc.split(".")[1])
        names = [f"manylinux_2_{minor}" for minor in range(newest, 4, -1)] + ["manylinux2014", "manylinux2010"]
    else:
        names = ["musllinux_1_2", "musllinux_1_1"]
    for name in names:
        yield from ("--platform", f"{name}_{architecture}")


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
