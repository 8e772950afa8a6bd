"""How a node is doing, in numbers: for `honeybadger status`, and once a second for measurement."""

import time
from typing import Any

from honeybadger.network.transport import Transport
from honeybadger.node.client_api import ClientApi
from honeybadger.node.core import Core
from honeybadger.node.crypto_time import CryptoTime
from honeybadger.node.observed import Observed
from honeybadger.node.reactor import Reactor
from honeybadger.node.usage import HubLag, ProcessUsage


class Report:
    """Reads the parts of a node. `observed`: what its events tell."""

    def __init__(
        self,
        core: Core,
        sockets: Transport,
        clients: ClientApi,
        reactor: Reactor,
        observed: Observed,
        crypto_time: CryptoTime,
    ) -> None:
        self._core = core
        self._sockets = sockets
        self._clients = clients
        self._reactor = reactor
        self._observed = observed
        self._crypto_time = crypto_time
        self._started = time.monotonic()
        self._usage = ProcessUsage()
        self._lag = HubLag()

    def start(self) -> None:
        """Begin to measure; in the thread of the main loop."""
        if self._core.runtime.instrumentation:
            self._lag.start()

    def close(self) -> None:
        self._usage.close()
        self._lag.close()

    def unwell(self) -> str:
        """Why the node cannot take part in consensus, for people; "" if it can."""
        core = self._core
        if through := core.silent_through:
            now = core.protocol.epoch
            return f"silent through epoch {through} (now {now}): votes of an earlier run may be lost"
        connected, needed = self._connected(), core.manifest.quorums.quorum - 1
        return f"connected to {connected} other nodes of {needed} needed" if connected < needed else ""

    def status(self) -> dict[str, Any]:
        """Plain data for `honeybadger status` and `honeybadger watch`."""
        core = self._core
        return {
            "node": core.keys.node,
            "protocol": core.manifest.specification.name,
            "height": core.chain.durable_height,
            "epoch": core.protocol.epoch,
            "tip": core.chain.tip_hash.hex(),
            "unwell": self.unwell(),
            "silent_through": core.silent_through,
            "peers_connected": self._connected(),
            "mempool": len(core.mempool),
            "mempool_bytes": core.mempool.held_bytes,
            "faults": [[node, kind, count] for (node, kind), count in sorted(core.notices.faults.items())],
            "connections_cut": self._connections_cut(),
            "uptime_s": time.monotonic() - self._started,
            "transactions": core.chain.transaction_count,
            "tx_per_s": self._observed.tx_per_s,
            "phases": self._observed.phases(),
            "totals": self._observed.totals(),
            "usage": self._observed.usage,
            "memory": self._bounds(),
            "leader": core.protocol.leader,
            "detail": core.protocol.status(),
        }

    def usage(self) -> dict[str, Any]:
        """Counters since the start, and what was longest since the last call."""
        core = self._core
        longest_tick_s, self._reactor.longest_tick_s = self._reactor.longest_tick_s, 0.0
        return {
            **self._usage.read(),
            "sent_bytes": self._sockets.sent_bytes,
            "received_bytes": self._sockets.received_bytes,
            "messages_handled": self._reactor.messages_handled,
            "longest_tick_s": longest_tick_s,
            **(self._details() if core.runtime.instrumentation else {}),
            "height": core.chain.height,
            "durable_height": core.chain.durable_height,
            "faults": sum(core.notices.faults.values()),
            # Only a protocol object in the hands of an adversary has it.
            **getattr(core.protocol, "lies", {}),
            "connections_cut": self._connections_cut(),
        }

    def _details(self) -> dict[str, Any]:
        """What costs something to find out: messages and bytes by type, cryptography, queues, how late timers are."""
        core = self._core
        return {
            "messages_sent": dict(core.peers.messages_sent),
            "bytes_sent": dict(core.peers.bytes_sent),
            "crypto_cpu_s": dict(self._crypto_time.seconds),
            "crypto_calls": dict(self._crypto_time.calls),
            "ticks": self._reactor.ticks,
            "hub_lag_s": self._lag.take(),
            "mempool": len(core.mempool),
            "pending_blocks": len(core.application.pending),
            **self._bounds(),
        }

    def _connected(self) -> int:
        return sum(link.connected for link in self._core.peers.links.values())

    def _connections_cut(self) -> dict[str, int]:
        """Incoming connections that brought too much, see `receive_guard`."""
        return {"peers": self._sockets.connections_cut, "clients": self._clients.connections_cut}

    def _bounds(self) -> dict[str, Any]:
        """Bytes held for peers (of entries that they may still need), by epoch, and of the largest instance; caps."""
        core = self._core
        held = core.protocol.held_bytes()
        links = core.peers.links.items()
        return {
            "held_bytes": {peer: link.outgoing.held_bytes for peer, link in links},
            "held_bytes_cap": core.peers.held_bytes_cap,
            "dropped_entries": {peer: link.outgoing.dropped for peer, link in links if link.outgoing.dropped},
            "epoch_bytes": held.epochs,
            "epoch_bytes_cap": held.epoch_cap,
            "instance_bytes": held.instance,
            "instance_bytes_cap": held.instance_cap,
        }
