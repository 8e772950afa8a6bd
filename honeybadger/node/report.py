"""How a node is doing, in numbers: for whoever asks (`honeybadger status`), and once a second for measurement."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from honeybadger.cluster.manifest import Runtime
from honeybadger.ledger.chain import Chain
from honeybadger.network.faulty_transport import PeerTransport
from honeybadger.node.application import NodeApplication
from honeybadger.node.client_api import ClientApi
from honeybadger.node.mempool import Mempool
from honeybadger.node.observed import Observed
from honeybadger.node.peers import Peers
from honeybadger.node.reactor import Reactor
from honeybadger.node.usage import HubLag, ProcessUsage
from honeybadger.protocols.base import ConsensusProtocol


@dataclass
class Report:
    """Reads the parts of node `me`. `faults`: how often, by node and kind; `observed`: what its events tell;
    `silent_through()`: the epoch through which the node says nothing, because it lost its votes, 0 if it speaks;
    `needed`: to how many others it must be connected for consensus."""

    me: int
    protocol_name: str
    runtime: Runtime
    protocol: ConsensusProtocol
    chain: Chain
    mempool: Mempool
    application: NodeApplication
    transport: PeerTransport
    peers: Peers
    clients: ClientApi
    reactor: Reactor
    faults: Mapping[tuple[int, str], int]
    observed: Observed
    silent_through: Callable[[], int]
    needed: int
    _started: float = field(default_factory=time.monotonic)
    _usage: ProcessUsage = field(default_factory=ProcessUsage)
    _lag: HubLag = field(default_factory=HubLag)

    def start(self) -> None:
        """Begin to measure; in the thread of the main loop."""
        if self.runtime.instrumentation:
            self._lag.start()

    def close(self) -> None:
        """Stop."""
        self._usage.close()
        self._lag.close()

    def unwell(self) -> str:
        """Why the node cannot take part in consensus, for people; "" if it can."""
        if through := self.silent_through():
            now = self.protocol.epoch
            return f"silent through epoch {through} (now {now}): votes of an earlier run may be lost"
        connected = self._connected()
        return f"connected to {connected} other nodes of {self.needed} needed" if connected < self.needed else ""

    def status(self) -> dict[str, Any]:
        """Plain data for `honeybadger status`, and for HTTP, which shows nothing else of how the node is."""
        return {
            "node": self.me,
            "protocol": self.protocol_name,
            "height": self.chain.durable_height,
            "epoch": self.protocol.epoch,
            "tip": self.chain.tip_hash.hex(),
            "unwell": self.unwell(),
            "silent_through": self.silent_through(),
            "peers_connected": self._connected(),
            "mempool": len(self.mempool),
            "mempool_bytes": self.mempool.bytes,
            "faults": [[node, kind, count] for (node, kind), count in sorted(self.faults.items())],
            "connections_cut": self._connections_cut(),
            "uptime_s": time.monotonic() - self._started,
            "transactions": self.chain.transaction_count,
            "tx_per_s": self.observed.tx_per_s,
            "phases": self.observed.phases(),
            "memory": self._bounds(),
            "detail": self.protocol.status(),
        }

    def usage(self) -> dict[str, Any]:
        """Counters since the start, and what was longest since the last call."""
        longest_tick_s, self.reactor.longest_tick_s = self.reactor.longest_tick_s, 0.0
        return {
            **self._usage.read(),
            "sent_bytes": self.transport.sent_bytes,
            "received_bytes": self.transport.received_bytes,
            "messages_handled": self.reactor.messages_handled,
            "longest_tick_s": longest_tick_s,
            **(self._details() if self.runtime.instrumentation else {}),
            "height": self.chain.height,
            "durable_height": self.chain.durable_height,
            "faults": sum(self.faults.values()),
            "connections_cut": self._connections_cut(),
        }

    def _details(self) -> dict[str, Any]:
        """What costs something to find out: messages and bytes by type, queues, how late timers are."""
        return {
            "messages_sent": dict(self.peers.messages_sent),
            "bytes_sent": dict(self.peers.bytes_sent),
            "ticks": self.reactor.ticks,
            "hub_lag_s": self._lag.take(),
            "mempool": len(self.mempool),
            "pending_blocks": len(self.application.pending),
            **self._bounds(),
        }

    def _connected(self) -> int:
        return sum(link.connected for link in self.peers.links.values())

    def _connections_cut(self) -> dict[str, int]:
        """Incoming connections that brought too much, see `receive_guard`."""
        return {"peers": self.transport.connections_cut, "clients": self.clients.connections_cut}

    def _bounds(self) -> dict[str, Any]:
        """Bytes held for peers (of entries that they may still need), by epoch, and of the largest instance; caps."""
        held = self.protocol.held_bytes()
        links = self.peers.links.items()
        return {
            "held_bytes": {peer: link.outgoing.held_bytes for peer, link in links},
            "held_bytes_cap": self.peers.held_bytes_cap,
            "dropped_entries": {peer: link.outgoing.dropped for peer, link in links if link.outgoing.dropped},
            "epoch_bytes": held.epochs,
            "epoch_bytes_cap": held.epoch_cap,
            "instance_bytes": held.instance,
            "instance_bytes_cap": held.instance_cap,
        }
