"""Other hosts as the `Place` of runs: prepared once, used for every run of an experiment, left as they were found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, TypeVar

from bench.hosts.deploy import Wheels
from bench.hosts.host_node import HostNode
from bench.hosts.inventory import Host, Inventory
from bench.hosts.link import HostError, Link
from bench.hosts.preflight import Clock, check_facts, check_ports, describe, only_errors, read_clock
from bench.machine import machine
from bench.place import Address
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest

T = TypeVar("T")

#: making an environment, and one command in it, may take so long on a slow host, seconds
INSTALL_TIMEOUT_S = 600.0
CHECK_TIMEOUT_S = 120.0
#: an agent that hears nothing gives up after so many times `lost-after`: not before we have given it up
SILENCE_FACTOR = 2.0
#: of a node that is stopped
LEDGER_FILES = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")


class HostsPlace:
    """See the module and `bench.place.Place`; a context manager, which ends and removes everything on the hosts.

    `known_hosts`: lists the hosts' keys; `wheels`: a folder to take all wheels from, or None; `keep`: leave the run
    directories on the hosts; `say` shows a line. Every failure is a ClusterError that names the host.
    """

    shares_clock = False

    def __init__(
        self, inventory: Inventory, known_hosts: Path, wheels: Path | None, keep: bool, say: Callable[[str], None]
    ) -> None:
        self._inventory = inventory
        self._known_hosts = known_hosts
        self._wheels_folder = wheels
        self._keep = keep
        self._say = say
        self._stack = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._links: list[Link] = []
        #: replaced by another link to the same host
        self._gone: list[Link] = []
        self._facts: dict[Link, dict[str, Any]] = {}
        self._clocks: dict[Link, Clock] = {}
        self._checked: dict[Link, dict[str, Any]] = {}
        self._last_clocks: dict[Link, Clock] = {}
        self._wheel: dict[str, str] = {}
        self._run = 0
        self._assigned: list[int] = []
        self._nodes: dict[int, HostNode] = {}

    # -- before and after all runs -------------------------------------------------------------------------

    def __enter__(self) -> HostsPlace:
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        scratch = Path(self._stack.enter_context(TemporaryDirectory(prefix="honeybadger-wheels-")))
        self._wheels = Wheels(self._wheels_folder, scratch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            for line in self._wait(self._leave()):
                self._say(line)
            self._loop.call_soon_threadsafe(self._loop.stop)

    def prepare(self, nodes: int, base_port: int | None) -> None:
        """Connect, check that `nodes` nodes can run, and bring the wheels."""
        counts = self._counts(nodes)
        self._say(f"connecting to {', '.join(host.name for host in self._inventory.hosts)}")
        self._links = [self._new_link(host) for host in self._inventory.hosts]
        self._everywhere(self._links, self._meet)
        for link, here in zip(self._links, counts, strict=True):
            check_facts(link, self._facts[link], self._clocks[link], self._inventory, nodes, here)
            self._say(f"host {link.host.name}: {describe(self._facts[link], self._clocks[link], here)}")
        self._raise(self._wait(check_ports(self._links, counts, self._base(base_port))))
        wheel = self._wheels.project()
        self._wheel = {"name": wheel.name, "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}
        self._say(f"deploying {wheel.name}, SHA-256 {self._wheel['sha256'][:16]}…")
        for link in self._links:
            self._wheels.for_host(self._facts[link])
        self._everywhere(self._links, self._deploy)

    def _new_link(self, host: Host) -> Link:
        return Link(host, self._known_hosts, self._inventory.lost_after, self._grown, self._ended)

    async def _meet(self, link: Link) -> None:
        await link.open()
        silence_s = self._inventory.lost_after * SILENCE_FACTOR
        self._facts[link] = await link.ask("begin", directory=link.host.directory, silence_s=silence_s, keep=self._keep)
        self._clocks[link] = await read_clock(link)

    async def _deploy(self, link: Link) -> None:
        for wheel in self._wheels.for_host(self._facts[link]):
            await link.put(f"wheels/{wheel.name}", wheel.read_bytes())
        await link.ask("install", limit_s=INSTALL_TIMEOUT_S, timeout_s=INSTALL_TIMEOUT_S + 60)

    async def _leave(self) -> list[str]:
        """Lines about what could not be removed, or was kept."""
        links = [*self._gone, *self._links]
        return [line for line in await asyncio.gather(*(self._leave_one(link) for link in links)) if line]

    async def _leave_one(self, link: Link) -> str:
        root = self._facts.get(link, {}).get("root", "")
        line = ""
        if root:
            try:
                left = (await link.ask("end"))["left"]
                line = f"host {link.host.name}: kept {left}" if left else ""
            except HostError as error:
                seconds = self._inventory.lost_after * SILENCE_FACTOR
                fate = "is kept" if self._keep else "is removed there"
                line = f"{error}; its nodes are ended and {root} {fate} {seconds:g} s after it last heard from us"
        await link.close()
        return line

    # -- a run ---------------------------------------------------------------------------------------------

    def addresses(self, nodes: int, base_port: int | None) -> list[Address]:
        """See `Place`."""
        counts = self._counts(nodes)
        self._assigned = self._inventory.assign(nodes)
        self._everywhere([link for link in self._used() if link.lost], self._come_back)
        base = self._base(base_port)

        async def choose(link: Link) -> list[int]:
            count = 2 * counts[self._links.index(link)]
            ports: list[int] = (await link.ask("listen", address=link.host.node_address, base=base, count=count))[
                "ports"
            ]
            await link.ask("close")
            return ports

        ports = dict(zip(self._used(), self._everywhere(self._used(), choose), strict=True))
        found = []
        for node in range(nodes):
            link = self._link(node)
            found.append(Address(link.host.node_address, ports[link].pop(0), ports[link].pop(0)))
        return found

    async def _come_back(self, link: Link) -> None:
        """The host was lost in an earlier run; its old agent has ended by itself, or will."""
        fresh = self._new_link(link.host)
        self._links[self._links.index(link)] = fresh
        self._gone.append(link)
        try:
            await self._meet(fresh)
            await self._deploy(fresh)
        except HostError as error:
            fresh.lost = fresh.lost or str(error).partition(": ")[2]
            raise

    def distribute(self, directory: Path, manifest: Manifest) -> None:
        """Manifest to all hosts, each key file to its node's host alone; then the hosts say what they have."""
        self._run += 1
        self._nodes = {}
        public = (directory / "cluster.toml").read_bytes()

        async def bring(link: Link) -> None:
            self._clocks[link] = await read_clock(link)
            link.silence_s = 0.0
            await link.put(f"{self._home()}/cluster.toml", public)
            mine = [node for node, number in enumerate(self._assigned) if self._links[number] is link]
            for node in mine:
                secret = (directory / f"node-{node}" / "keys.toml").read_bytes()
                await link.put(f"{self._home()}/node-{node}/keys.toml", secret, 0o600)
            files = [f"./{self._home()}/{name}" for name in ("cluster.toml", *(f"node-{i}/keys.toml" for i in mine))]
            answer = await link.ask(
                "python",
                arguments=["-m", "bench.hosts.check", *files],
                limit_s=CHECK_TIMEOUT_S,
                timeout_s=CHECK_TIMEOUT_S + 60,
            )
            if answer["status"]:
                raise HostError(link.host, (answer["output"].strip().splitlines() or ["its check failed"])[-1])
            checked = json.loads(answer["output"])
            if checked["fingerprint"] != manifest.chain_id.hex():
                raise HostError(link.host, f"its key set is {checked['fingerprint'][:16]}, not this run's")
            self._checked[link] = checked

        self._everywhere(self._used(), bring)

    def start(self, directory: Path, extras: Sequence[tuple[str, ...]]) -> list[HostNode]:
        """See `Place`."""
        return [self._start_one(directory, index, extra) for index, extra in enumerate(extras)]

    def _start_one(self, directory: Path, index: int, extra: tuple[str, ...]) -> HostNode:
        link = self._link(index)
        node = HostNode(link, self._ask, directory / f"node-{index}", index, self._clocks[link].offset_s)
        self._nodes[index] = node
        home = f"{self._home()}/node-{index}"
        arguments = [
            *("-m", "honeybadger.cli.main", "node", "--cluster", f"./{self._home()}/cluster.toml"),
            *("--keys", f"./{home}/keys.toml", "--data", f"./{home}/data", "--events", f"./{home}/events.jsonl"),
        ]
        self._ask(link, "start", node=index, home=home, arguments=[*arguments, *extra], again=False)
        return node

    def lost(self) -> Mapping[int, str]:
        """See `Place`."""
        return {
            index: f"host {node.link.host.name} (node {index}) was lost: {node.link.lost}"
            for index, node in self._nodes.items()
            if node.link.lost
        }

    def collect(self) -> None:
        """See `Place`. What is on a host that is lost stays there; its events came until then."""

        async def fetch(link: Link) -> None:
            try:
                await fetch_all(link)
            except HostError:
                # Lost right now: the run goes on without it, and says so.
                if not link.lost:
                    raise

        async def fetch_all(link: Link) -> None:
            self._last_clocks[link] = await read_clock(link)
            await link.ask("flush")
            for node in [node for node in self._nodes.values() if node.link is link]:
                node.data.mkdir(exist_ok=True)
                for name in LEDGER_FILES:
                    await link.get(f"{self._home()}/node-{node.index}/data/{name}", node.data / name)
            await link.ask("forget", path=self._home())

        self._everywhere([link for link in self._used() if not link.lost], fetch)

    def clean_up(self) -> None:
        """See `Place`: `collect` has removed the run; what a failed one leaves goes with the run directory, in the
        end."""

    def facts(self) -> dict[str, Any]:
        """The hosts one by one. `clock`: minus ours, `clock_after`: in the end; seconds."""
        hosts = []
        for link in self._used():
            facts, checked = self._facts[link], self._checked.get(link, {})
            after = self._last_clocks.get(link)
            hosts.append(
                {
                    "name": link.host.name,
                    "address": link.host.node_address,
                    "nodes": [node for node, number in enumerate(self._assigned) if self._links[number] is link],
                    "machine": checked.get("machine"),
                    "versions": checked.get("versions"),
                    "wheel": self._wheel,
                    "free_bytes": facts["free_bytes"],
                    "clock": self._clocks[link].as_dict(),
                    "clock_after": after.as_dict() if after is not None else None,
                    "longest_silence_s": link.silence_s,
                    "lost": link.lost,
                }
            )
        names = ", ".join(link.host.name for link in self._used())
        return {"place": "hosts", "hosts": hosts, "machine": {**machine(), "hosts": f"{len(hosts)}: {names}"}}

    # -- helpers -------------------------------------------------------------------------------------------

    def _counts(self, nodes: int) -> list[int]:
        assigned = self._inventory.assign(nodes)
        return [assigned.count(number) for number in range(len(self._inventory.hosts))]

    def _base(self, base_port: int | None) -> int | None:
        return base_port if base_port is not None else self._inventory.base_port

    def _used(self) -> list[Link]:
        return [self._links[number] for number in sorted(set(self._assigned))]

    def _link(self, node: int) -> Link:
        return self._links[self._assigned[node]]

    def _home(self) -> str:
        return f"run-{self._run}"

    def _grown(self, node: int, name: str, data: bytes) -> None:
        if node in self._nodes:
            self._nodes[node].grown(name, data)

    def _ended(self, node: int, status: int) -> None:
        if node in self._nodes:
            self._nodes[node].ended(status)

    def _ask(self, link: Link, do: str, **arguments: Any) -> dict[str, Any]:
        return self._wait(link.ask(do, **arguments))

    def _wait(self, what: Coroutine[Any, Any, T]) -> T:
        """Run it in the loop's thread; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            raise ClusterError("cancelled") from None

    def _everywhere(self, links: Sequence[Link], what: Callable[[Link], Coroutine[Any, Any, T]]) -> list[T]:
        """On these hosts at once; ClusterError says where it went wrong."""

        async def all_of_them() -> list[T | BaseException]:
            return await asyncio.gather(*(what(link) for link in links), return_exceptions=True)

        results = self._wait(all_of_them())
        self._raise(only_errors(results))
        return [result for result in results if not isinstance(result, BaseException)]

    def _raise(self, errors: Sequence[HostError]) -> None:
        if len(errors) > 1:
            for error in errors:
                self._say(str(error))
            raise ClusterError(f"{len(errors)} of {len(self._links)} hosts are not ready")
        for error in errors:
            raise error
