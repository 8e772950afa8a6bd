"""A simulated cluster from one description. Nodes write the files of real ones: events, and a ledger that is verified
afterwards."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from crypto.dealer import deal
from crypto.signatures import deal_signing_keys
from crypto.suite import Suite
from honeybadger.adversary import CorruptProtocol, find_strategy
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.codec import Codec
from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.virtual_time.application import ChargedApplication, SeededMempool
from honeybadger.simulation.virtual_time.charged import charged_keys
from honeybadger.simulation.virtual_time.costs import Costs, Meter
from honeybadger.simulation.virtual_time.events import NodeEvents, Trace
from honeybadger.simulation.virtual_time.links import Links, Network
from honeybadger.simulation.virtual_time.node import ReplyTo, Surroundings, VirtualNode
from honeybadger.simulation.virtual_time.outbox import Frame
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.transactions import FingerprintKey


@dataclass(frozen=True)
class Description:
    """What to simulate.

    `suite`: a real one or `ideal.IDEAL`. `cores`: processors; all nodes share them, or, if `own_hosts`, each node has
    so many. `mempool`: most transactions, most bytes. `liars`: node → strategy. `recovery`: see `Surroundings`.
    """

    specification: Specification
    parameters: Parameters
    quorums: Quorums
    suite: Suite
    costs: Costs
    seed: int = 0
    cores: int = 2
    own_hosts: bool = False
    network: Network = field(default_factory=Network)
    mempool: tuple[int, int] = (1_000_000, 1 << 30)
    liars: Mapping[int, str] = field(default_factory=dict)
    recovery: bool = True


class World:
    """`nodes`, on `hosts`, in time of `clock`. Nodes keep their files in `directory`/node-<i>."""

    def __init__(self, what: Description, directory: Path, clients: ReplyTo, trace: Trace) -> None:
        self.clock = Clock()
        count = what.quorums.nodes
        hosts = count if what.own_hosts else 1
        self.hosts = [Processors(self.clock, what.cores) for _ in range(hosts)]
        rng = random.Random(f"links {what.seed}")
        links = Links(self.clock, count, what.network, rng, lambda node: self.nodes[node].leads)
        specification, parameters = what.specification, what.parameters
        codec = Codec(
            specification.message_types,
            specification.longest_message(parameters, what.quorums),
            specification.limits(parameters, what.quorums),
        )
        around = Surroundings(
            self.clock,
            links,
            what.costs,
            count,
            what.quorums.weak,
            codec,
            what.recovery,
            self._deliver,
            clients,
        )
        public, secret = deal(count, what.quorums.faults, random.Random(f"keys {what.seed}").randbytes, what.suite)
        signing = deal_signing_keys(count, random.Random(f"signing keys {what.seed}").randbytes)
        chain_id = sha256(f"simulated chain {what.seed}".encode()).digest()
        key = FingerprintKey(sha256(f"fingerprints {what.seed}".encode()).digest())
        self.nodes: list[VirtualNode] = []
        for me in range(count):
            home = directory / f"node-{me}"
            home.mkdir(parents=True)
            meter = Meter(what.costs)
            events = NodeEvents(me, home / "events.jsonl", self.clock, _elapsed(meter), trace)
            store = SQLiteStore(home / "ledger.sqlite", "os", chain_id=chain_id)
            node = VirtualNode(me, around, self.hosts[me % hosts], meter, events, store)
            chain = Chain(store, chain_id, scratch=home, key=key)
            randbytes = random.Random(f"node {me} {what.seed}").randbytes
            mempool = SeededMempool((*what.mempool, parameters.max_tx_bytes), key, randbytes)
            table = what.costs.table
            application = ChargedApplication(count, parameters, mempool, chain, meter, table.node)
            node.build(chain, mempool, application)
            keys = (public, secret[me])
            if what.costs.mode == "table":
                keys = charged_keys(*keys, meter, table.crypto)
            context = Context(
                me=me,
                parameters=parameters,
                quorums=what.quorums,
                chain_id=chain_id,
                public_keys=keys[0],
                secret_keys=keys[1],
                outbox=node.outbox,
                application=application,
                randbytes=randbytes,
                observe=events.phase,
                journal=node.journal,
                timers=node.timers,
                signing_keys=signing[0],
                signing_key=signing[1][me],
            )
            node.protocol = self._protocol(what, context, node)
            self.nodes.append(node)

    def begin(self) -> None:
        for node in self.nodes:
            node.begin()

    def run(self, until: Callable[[], bool]) -> None:
        """Run events until `until()` holds, asked after each."""
        while not until() and self.clock.step():
            pass

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _deliver(self, sender: int, receiver: int, frame: Frame) -> None:
        self.nodes[receiver].receive(sender, frame)

    @staticmethod
    def _protocol(what: Description, context: Context, node: VirtualNode) -> Any:
        if context.me not in what.liars:
            return what.specification.build(context)
        strategy = find_strategy(what.specification.name, what.liars[context.me])
        return CorruptProtocol(context, what.specification.build, strategy, node.now)


def _elapsed(meter: Meter) -> Callable[[], float]:
    return lambda: meter.elapsed
