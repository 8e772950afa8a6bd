"""Calls Docker and Compose, looks into images, and checks that containers share this machine's clock."""

import ipaddress
import random
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from honeybadger.cluster.errors import ClusterError

#: seconds to wait for the engine
TIMEOUT_S = 120.0
#: networks of runs are chosen from this range, which is reserved for measurements (RFC 2544)
NETWORKS = ipaddress.IPv4Network("198.18.0.0/15")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

#: run in the image: versions as in every result, and the boot id of the kernel that containers run on
_QUESTION = """
import json, pathlib, bench.places.hardware as m
print(json.dumps([m.versions(), pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()]))
"""


class Image(msgspec.Struct, frozen=True):
    """The content of an image. `versions`: as in every result; `commit`: of its code, "" if the image does not say."""

    name: str
    id: str
    versions: dict[str, str]
    commit: str


def docker(*arguments: str) -> str:
    """The output of `docker …`; ClusterError, with its last line, if it fails."""
    return _run(["docker", *arguments])


def compose_program() -> list[str]:
    """`docker compose`, or the older `docker-compose`; ClusterError if neither is installed."""
    try:
        docker("compose", "version")
        return ["docker", "compose"]
    except ClusterError:
        if shutil.which("docker-compose"):
            return ["docker-compose"]
        raise ClusterError("neither `docker compose` nor `docker-compose` is installed") from None


def compose(project: str, file: Path, *arguments: str) -> str:
    """Run Compose for this project and file."""
    return _run([*compose_program(), "--project-name", project, "--file", str(file), *arguments])


def engine() -> str:
    """Name and version of the engine; ClusterError if none answers."""
    version = docker("version", "--format", "{{.Server.Version}}").strip()
    driver = docker("info", "--format", "{{.Driver}}").strip()
    return f"Docker {version}, {driver}"


def look_into(image: str) -> Image:
    """Describe an image; ClusterError if there is no such image, or if it cannot be used from here."""
    try:
        inspected = docker("image", "inspect", image)
    except ClusterError as error:
        if "no such image" not in str(error).lower():
            raise
        raise ClusterError(f"this engine has no image {image}; docker/README.md says how to build it") from None
    images: list[dict[str, Any]] = msgspec.json.decode(inspected)
    answer = docker("run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", _QUESTION)
    try:
        versions, boot = msgspec.json.decode(answer, type=tuple[dict[str, str], str])
    except msgspec.DecodeError:
        raise ClusterError(f"image {image} does not hold this project: {answer.strip()[-200:]}") from None
    if not BOOT_ID.exists() or boot != BOOT_ID.read_text():
        raise ClusterError(
            "the Docker engine runs on another machine, but it must share the clock and the networks of this one"
        )
    labels = images[0]["Config"].get("Labels") or {}
    return Image(image, images[0]["Id"], versions, labels.get("org.opencontainers.image.revision", ""))


def free_network(addresses: int) -> ipaddress.IPv4Network:
    """A network with room for `addresses`, which neither Docker nor this machine uses now."""
    prefix = next(prefix for prefix in (24, 20, 16) if 2 ** (32 - prefix) - 8 >= addresses)
    used = [
        ipaddress.IPv4Network((one.address, one.netmask or 32), strict=False)
        for interface in psutil.net_if_addrs().values()
        for one in interface
        if one.family == socket.AF_INET
    ]
    networks = docker("network", "ls", "--quiet").split()
    described = msgspec.json.decode(docker("network", "inspect", *networks)) if networks else []
    subnets = [config["Subnet"] for network in described for config in network["IPAM"]["Config"] or []]
    used += [ipaddress.IPv4Network(subnet, strict=False) for subnet in subnets if ":" not in subnet]
    # Chosen at random, so that two runs that begin together rarely choose the same.
    candidates = list(NETWORKS.subnets(new_prefix=prefix))
    random.SystemRandom().shuffle(candidates)
    for candidate in candidates:
        if not any(map(candidate.overlaps, used)):
            return candidate
    raise ClusterError(f"no network in {NETWORKS} is free")


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command[:3])} took longer than {TIMEOUT_S:g} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise ClusterError(f"{' '.join(command[:3])}: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout
