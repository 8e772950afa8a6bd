"""Other hosts as the `Place` of runs: prepared once, used for all runs of an experiment, and cleaned up."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from bench.places.hardware import machine
from bench.places.hosts.deploy import Wheels
from bench.places.hosts.host_node import HostNode
from bench.places.hosts.inventory import Host, Inventory
from bench.places.hosts.link import HostError, HostErrors, Link, T, everywhere
from bench.places.hosts.preflight import Clock, check_facts, check_ports, describe, read_clock
from bench.places.place import Address, Place
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger.body_log import segment_path

#: seconds for installing an environment, or for one command in it, on a slow host
INSTALL_TIMEOUT_S = 600.0
CHECK_TIMEOUT_S = 120.0
#: an agent that hears nothing gives up after this many times `lost-after`: later than the controller
SILENCE_FACTOR = 2.0
#: the files of a stopped node, besides the bodies
LEDGER_FILES = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")


class HostsPlace(Place):
    """A context manager that stops and removes everything on the hosts at its end.

    `known_hosts`: file with the hosts' keys; `wheels`: a folder to take all wheels from, or None; `keep`: leave the run
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
            self._everywhere([*self._gone, *self._links], self._leave)
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
        self._wait(check_ports(self._links, counts, self._base(base_port)))
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

    async def _leave(self, link: Link) -> None:
        """Clean up a host; says what was kept, or could not be removed."""
        if root := self._facts.get(link, {}).get("root", ""):
            try:
                if left := (await link.ask("end"))["left"]:
                    self._say(f"host {link.host.name}: kept {left}")
            except HostError as error:
                seconds = self._inventory.lost_after * SILENCE_FACTOR
                fate = "is kept" if self._keep else "is removed there"
                self._say(f"{error}; {seconds:g} s after it last heard from us it stops its nodes, and {root} {fate}")
        await link.close()

    # -- a run ---------------------------------------------------------------------------------------------

    def addresses(self, nodes: int, base_port: int | None) -> list[Address]:
        counts = self._counts(nodes)
        self._assigned = self._inventory.assign(nodes)
        self._everywhere([link for link in self._used() if link.lost], self._come_back)
        base = self._base(base_port)

        async def choose(link: Link) -> list[int]:
            count = 2 * counts[self._links.index(link)]
            answer = await link.ask("listen", address=link.host.node_address, base=base, count=count)
            await link.ask("close")
            return list(answer["ports"])

        ports = dict(zip(self._used(), self._everywhere(self._used(), choose), strict=True))
        links = map(self._link, range(nodes))
        return [Address(link.host.node_address, ports[link].pop(0), ports[link].pop(0)) for link in links]

    async def _come_back(self, link: Link) -> None:
        """Connect again to a host that was lost in an earlier run; its old agent ends by itself."""
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
        """Send the manifest to all hosts, each key file to its node's host only, and have the hosts check them."""
        self._run += 1
        self._nodes = {}
        public = (directory / "cluster.toml").read_bytes()

        async def bring(link: Link) -> None:
            self._clocks[link] = await read_clock(link)
            link.silence_s = 0.0
            await link.put(f"{self._home()}/cluster.toml", public)
            mine = self._nodes_of(link)
            for node in mine:
                secret = (directory / f"node-{node}" / "keys.toml").read_bytes()
                await link.put(f"{self._home()}/node-{node}/keys.toml", secret, 0o600)
            files = [f"./{self._home()}/{name}" for name in ("cluster.toml", *(f"node-{i}/keys.toml" for i in mine))]
            answer = await link.ask(
                "python",
                arguments=["-m", "bench.places.hosts.check", *files],
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
        for index, extra in enumerate(extras):
            link, home = self._link(index), f"{self._home()}/node-{index}"
            node = HostNode(link, self._ask, directory / f"node-{index}", index, self._clocks[link].offset_s)
            self._nodes[index] = node
            arguments = [
                *("-m", "honeybadger.cli.main", "node", "--cluster", f"./{self._home()}/cluster.toml"),
                *("--keys", f"./{home}/keys.toml", "--data", f"./{home}/data", "--events", f"./{home}/events.jsonl"),
                *extra,
            ]
            self._ask(link, "start", node=index, home=home, arguments=arguments, again=False)
        return list(self._nodes.values())

    def lost(self) -> Mapping[int, str]:
        return {
            index: f"host {node.link.host.name} (node {index}) was lost: {node.link.lost}"
            for index, node in self._nodes.items()
            if node.link.lost
        }

    def collect(self) -> None:
        """Also removes the run. The files of a lost host stay there; its events came until then.

        What a failed run leaves is removed at the very end.
        """

        async def fetch(link: Link) -> None:
            try:
                self._last_clocks[link] = await read_clock(link)
                await link.ask("flush")
                for node in [node for node in self._nodes.values() if node.link is link]:
                    node.data.mkdir(exist_ok=True)
                    data = f"{self._home()}/node-{node.index}/data"
                    for name in LEDGER_FILES:
                        await link.get(f"{data}/{name}", node.data / name)
                    for number in count(1):
                        segment = segment_path(node.data, number)
                        if not await link.get(f"{data}/{segment.name}", segment):
                            break
                await link.ask("forget", path=self._home())
            except HostError:
                # If it was lost just now, the run goes on without it, and says so.
                if not link.lost:
                    raise

        self._everywhere([link for link in self._used() if not link.lost], fetch)

    def facts(self) -> dict[str, Any]:
        """Facts about each host. `clock`: minus ours, in seconds; `clock_after`: the same at the end."""
        hosts = []
        for link in self._used():
            facts, checked = self._facts[link], self._checked.get(link, {})
            after = self._last_clocks.get(link)
            hosts.append(
                {
                    "name": link.host.name,
                    "address": link.host.node_address,
                    "nodes": self._nodes_of(link),
                    "machine": checked.get("machine"),
                    "versions": checked.get("versions"),
                    "wheel": self._wheel,
                    "free_bytes": facts["free_bytes"],
                    "clock": asdict(self._clocks[link]),
                    "clock_after": asdict(after) if after is not None else None,
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

    def _nodes_of(self, link: Link) -> list[int]:
        return [node for node, number in enumerate(self._assigned) if self._links[number] is link]

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
        """Run it in the thread of the loop; an interrupt cancels it. ClusterError names the hosts that failed."""
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            raise ClusterError("cancelled") from None
        except HostErrors as failed:
            if len(failed.errors) == 1:
                raise failed.errors[0] from None
            for error in failed.errors:
                self._say(str(error))
            raise ClusterError(f"{len(failed.errors)} of {len(self._links)} hosts are not ready") from None

    def _everywhere(self, links: Sequence[Link], what: Callable[[Link], Coroutine[Any, Any, T]]) -> list[T]:
        """Do something on all these hosts at once."""
        return self._wait(everywhere(map(what, links)))
