"""A simulated cluster from one description. Nodes write the files of real ones: events, votes, and a ledger that is
verified afterwards."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from crypto.dealer import deal
from crypto.suite import Suite
from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.schedulers.catalogue import find_scheduler
from honeybadger.simulation.schedulers.frames import FrameDelays
from honeybadger.simulation.virtual_time.clients import ReplyTo
from honeybadger.simulation.virtual_time.codec import Decoded
from honeybadger.simulation.virtual_time.costs import Costs
from honeybadger.simulation.virtual_time.events import Trace
from honeybadger.simulation.virtual_time.ideal import IDEAL
from honeybadger.simulation.virtual_time.links import Links, Network
from honeybadger.simulation.virtual_time.node import VirtualNode
from honeybadger.simulation.virtual_time.outside import Surroundings
from honeybadger.simulation.virtual_time.payload import CARRIED_AS_IT_IS, Payload
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.simulation.virtual_time.transport import Wires

#: the suite whose keys a manifest has if the cluster uses ideal ones
NOMINAL_SUITE = "bls"


@dataclass(frozen=True)
class Description:
    """What to simulate.

    `suite`: `ideal.IDEAL`, or that of `parameters`. `cores`: processors; all nodes share them, or, if `own_hosts`, each
    node has so many. `runtime`: its files are written with durability "os", whatever it says. `faults`: of links.
    `liars`: node → strategy. `payload`: what a carried transaction stands for; `parameters` and the limits of `runtime`
    are those of what is carried. `schedule`: the scheduler that delays frames, "" for none.
    """

    parameters: Parameters
    quorums: Quorums
    suite: Suite
    costs: Costs
    seed: int = 0
    cores: int = 2
    own_hosts: bool = False
    network: Network = field(default_factory=Network)
    runtime: Runtime = field(default_factory=Runtime)
    faults: Sequence[LinkFault] = ()
    liars: Mapping[int, str] = field(default_factory=dict)
    payload: Payload = CARRIED_AS_IT_IS
    schedule: str = ""


class World:
    """`nodes`, on `hosts`, in time of `clock`. Nodes keep their files in `directory`/node-<i>; `directory`/cluster.toml
    is for whoever verifies a ledger, if the keys are real ones.

    `schedule_zero`: when all nodes were first connected to all others, and link faults began; 0 before.
    """

    def __init__(self, what: Description, directory: Path, clients: ReplyTo, trace: Trace) -> None:
        self.clock = Clock()
        count = what.quorums.nodes
        hosts = count if what.own_hosts else 1
        self.hosts = [Processors(self.clock, what.cores) for _ in range(hosts)]
        links = Links(self.clock, count, what.network, random.Random(f"links {what.seed}"))
        self._wires = Wires(self.clock, links)
        if what.schedule:
            rng = random.Random(f"schedule {what.seed}")
            scheduler = find_scheduler(what.schedule, count)
            self._wires.delays = FrameDelays(scheduler, self.clock, count, self._leaders, rng)
        manifest, keys = _dealt(what)
        directory.mkdir(parents=True, exist_ok=True)
        if what.suite is not IDEAL:
            manifest.save(directory / "cluster.toml")
        around = Surroundings(
            self.clock,
            self._wires,
            what.costs,
            Decoded(),
            manifest,
            keys,
            directory,
            clients,
            trace,
            what.seed,
            what.liars,
            what.payload,
        )
        self.nodes = [VirtualNode(me, around, self.hosts[me % hosts]) for me in range(count)]
        self.schedule_zero = 0.0

    def begin(self) -> None:
        """Start all nodes, and wait until all have been connected to all."""
        for node in self.nodes:
            node.start()
        count = len(self.nodes)
        self.run(lambda: self._wires.met == count * (count - 1))
        self.schedule_zero = self.clock.now

    def restart(self, node: int) -> None:
        """Start a node again on what its last life left; link faults go on where they are."""
        self.nodes[node].start(self.schedule_zero)

    def _leaders(self) -> set[int]:
        """Those on whose proposals the nodes that are up wait."""
        leaders = {node.protocol.leader for node in self.nodes if node.alive}
        return {leader for leader in leaders if leader is not None}

    def run(self, until: Callable[[], bool]) -> None:
        """Run events until `until()` holds, asked after each."""
        while not until() and self.clock.step():
            pass

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def _dealt(what: Description) -> tuple[Manifest, list[NodeKeys]]:
    """Manifest and keys, which depend on the seed alone. Addresses are of no network."""
    count, faults = what.quorums.nodes, what.quorums.faults
    addresses = [(f"node-{node}.invalid", 7000, 7001) for node in range(count)]
    runtime = msgspec.structs.replace(what.runtime, durability="os")
    randbytes = random.Random(f"keys {what.seed}").randbytes
    parameters = what.parameters
    if what.suite is IDEAL:
        parameters = msgspec.structs.replace(parameters, suite=NOMINAL_SUITE)
    manifest, keys = make_cluster(count, faults, parameters, addresses, runtime, randbytes)
    if what.faults:
        manifest = manifest.with_faults(what.faults)
    if what.suite is IDEAL:
        manifest.public_keys, secret = deal(count, faults, randbytes, IDEAL)
        keys = [replace(one, secret_keys=ideal) for one, ideal in zip(keys, secret, strict=True)]
    manifest.public_keys = replace(manifest.public_keys, suite=what.payload.suite(manifest.public_keys.suite))
    return manifest, keys
