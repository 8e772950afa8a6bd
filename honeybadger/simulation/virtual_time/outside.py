"""What one life of a simulated node stands in: virtual clock, network, disk and clients, and a price for its work."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from honeybadger.adversary import CorruptProtocol, StrategyError, find_strategy
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.ledger.chain import Chain
from honeybadger.network.faulty_transport import FaultyTransport
from honeybadger.network.transport import PeerTransport
from honeybadger.node.application import NodeApplication
from honeybadger.node.assembly import NodeConfig, Outside
from honeybadger.node.core import Core
from honeybadger.node.node import Node, NodeError
from honeybadger.node.reactor import Reactor
from honeybadger.protocols.context import Context, Outbox
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.wire import Message
from honeybadger.simulation.clock import Clock, ClockTimer
from honeybadger.simulation.virtual_time.application import ChargedApplication, ChargedRecovery, WatchedJournal
from honeybadger.simulation.virtual_time.clients import ReplyTo, VirtualClients
from honeybadger.simulation.virtual_time.codec import ChargedCodec, Decoded
from honeybadger.simulation.virtual_time.costs import Costs, Meter
from honeybadger.simulation.virtual_time.events import Trace
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.simulation.virtual_time.thread import Thread
from honeybadger.simulation.virtual_time.transport import VirtualTransport, Wires
from honeybadger.simulation.virtual_time.writer import VirtualWriter


@dataclass(frozen=True)
class Surroundings:
    """What all nodes share. `keys`: of each; `directory`/node-<i> are its files; `liars`: node → strategy;
    `payload`: what a carried transaction stands for."""

    clock: Clock
    wires: Wires
    costs: Costs
    decoded: Decoded
    manifest: Manifest
    keys: Sequence[NodeKeys]
    directory: Path
    clients: ReplyTo
    trace: Trace
    seed: int
    liars: Mapping[int, str]
    payload: Payload


class _Gate:
    """Nobody knocks."""

    def serve(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        """There is nothing to close."""


class _Wake:
    def __init__(self, wake: Callable[[], None]) -> None:
        self.set = wake


class VirtualOutside(Outside):
    """Of life number `life` of the node of `config`, on `host`. `wake()` asks for a tick; `now()`: the node's time."""

    journal = WatchedJournal

    def __init__(
        self,
        around: Surroundings,
        config: NodeConfig,
        life: int,
        host: Processors,
        meter: Meter,
        wake: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._around = around
        self._config = config
        self._me = config.keys.node
        self._name = f"node {self._me} life {life} {around.seed}"
        self._host = host
        self._meter = meter
        self._prices = around.costs.table.node
        self.wake = _Wake(wake)
        self.randbytes = random.Random(self._name).randbytes
        self.now = self.used = now
        self.application = partial(ChargedApplication, meter, self._prices, around.payload)
        if around.costs.mode == "table":
            self.recovery = partial(ChargedRecovery, meter, self._prices)

    def writer(self, chain: Chain, application: NodeApplication, node: Node) -> VirtualWriter:
        self.disk = VirtualWriter(
            chain, application, node, self._around.clock, self._host, self._meter, self._prices, self._around.payload
        )
        return self.disk

    def codec(
        self, types: Sequence[type[Message]], longest: int, limits: Mapping[type[Message], Mapping[str, int]]
    ) -> ChargedCodec:
        decoded = self._around.decoded if self._around.costs.mode == "table" else None
        return ChargedCodec(types, longest, limits, self._meter, self._prices, self._around.payload, decoded)

    def transport(self, codec: Any, node: Node) -> PeerTransport:
        around, manifest = self._around, self._config.manifest
        self.network = VirtualTransport(
            self._me, around.wires, codec, self._meter, self._prices, Thread(self._host, self._meter), self.wake.set
        )
        if not manifest.faults:
            return self.network
        return FaultyTransport(
            self.network,
            self._me,
            manifest.quorums.nodes,
            manifest.faults,
            self.wake.set,
            self._config.schedule_start,
            random.Random(f"faults of {self._name}"),
            self.now,
            node.leads,
            partial(ClockTimer, around.clock),
            codec.frame_size,
        )

    def protocol(self, context: Context) -> tuple[ConsensusProtocol, Outbox]:
        specification, byzantine = self._config.manifest.specification, self._config.byzantine
        if not byzantine:
            return specification.build(context), context.outbox
        try:
            strategy = find_strategy(specification.name, byzantine)
            liar: Any = CorruptProtocol(context, specification.build, strategy, self.now)
        except StrategyError as error:
            raise NodeError(f"{byzantine}: {error}") from None
        return liar, liar.outbox

    def gate(self) -> _Gate:
        return _Gate()

    def clients(self, core: Core, node: Node) -> VirtualClients:
        self.people = VirtualClients(
            self._me, core.application.submit, self.now, self._around.clients, self._around.trace
        )
        return self.people

    def report(self, core: Core, reactor: Reactor) -> "_Report":
        return _Report(core, reactor, self.network, self._meter, self._around.payload)


class _Report:
    """Counters as a real node reports them; what only a process has is left out."""

    def __init__(self, core: Core, reactor: Reactor, network: VirtualTransport, meter: Meter, payload: Payload) -> None:
        self._core = core
        self._payload = payload
        self._reactor = reactor
        self._network = network
        self._meter = meter

    def start(self) -> None:
        """Nothing else is measured."""

    def close(self) -> None:
        """Nothing is held."""

    def usage(self) -> dict[str, Any]:
        core, reactor = self._core, self._reactor
        longest_tick_s, reactor.longest_tick_s = reactor.longest_tick_s, 0.0
        crypto: dict[str, Any] = {"crypto_cpu_s": dict(self._meter.operations)} if self._meter.operations else {}
        return {
            "cpu_s": self._meter.total,
            "sent_bytes": self._network.sent_bytes,
            "received_bytes": self._network.received_bytes,
            "messages_handled": reactor.messages_handled,
            "messages_sent": dict(core.peers.messages_sent),
            "bytes_sent": dict(core.peers.bytes_sent),
            "ticks": reactor.ticks,
            "longest_tick_s": longest_tick_s,
            "mempool": self._payload.transactions(len(core.mempool)),
            "pending_blocks": len(core.application.pending),
            "height": core.chain.height,
            "durable_height": core.chain.durable_height,
            "faults": sum(core.notices.faults.values()),
            **crypto,
            **getattr(core.protocol, "lies", {}),
        }
