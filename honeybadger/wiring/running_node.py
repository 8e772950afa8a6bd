"""What a running node stands in: sockets, threads, the machine's clock and randomness."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gevent.event import Event

from honeybadger.ledger.chain import Chain
from honeybadger.network.codec import Codec
from honeybadger.network.faulty_transport import FaultyTransport
from honeybadger.network.gate import Gate
from honeybadger.network.security import Credentials
from honeybadger.network.transport import PeerTransport, Transport
from honeybadger.node.application import NodeApplication
from honeybadger.node.assembly import NodeConfig, Outside, assemble
from honeybadger.node.block_service import BlockService
from honeybadger.node.client_api import ClientApi
from honeybadger.node.core import Core
from honeybadger.node.crypto_time import CryptoTime
from honeybadger.node.ledger_writer import LedgerWriter
from honeybadger.node.node import Node, NodeError
from honeybadger.node.observed import Observed
from honeybadger.node.reactor import Reactor
from honeybadger.node.report import Report
from honeybadger.protocols.context import Context, Outbox
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.wire import Message


def build_node(config: NodeConfig) -> Node:
    """A node, ready to `run`. NodeError, JournalError, LedgerError or OSError, in one line, if it cannot be built."""
    crypto_time = CryptoTime()
    if config.runtime.instrumentation:
        manifest, keys = crypto_time.of(config.manifest, config.keys)
        config = replace(config, manifest=manifest, keys=keys)
    observed = Observed(config.manifest.specification.phases)
    config.events.subscribe(observed)
    return assemble(config, _Machine(config, observed, crypto_time))


class _Machine(Outside):
    """This machine."""

    def __init__(self, config: NodeConfig, observed: Observed, crypto_time: CryptoTime) -> None:
        self._config = config
        self._observed = observed
        self._crypto_time = crypto_time
        self.wake = Event()
        self.randbytes = secrets.token_bytes

    def writer(self, chain: Chain, application: NodeApplication, node: Node) -> LedgerWriter:
        return LedgerWriter(chain, node.blocks_durable, lambda error: node.fail(f"ledger: {error}"))

    def codec(
        self, types: Sequence[type[Message]], longest: int, limits: Mapping[type[Message], Mapping[str, int]]
    ) -> Codec:
        return Codec(types, longest, limits)

    def transport(self, codec: Codec, node: Node) -> PeerTransport:
        """The sockets to all peers; between them and the node, the faults of the manifest's schedule."""
        manifest, me = self._config.manifest, self._config.keys.node
        self._credentials = Credentials(
            me,
            manifest.members[me].public_key,
            self._config.keys.curve_secret_key,
            [member.public_key for member in manifest.members],
            self._config.runtime.curve,
        )
        self._gate = Gate(self._credentials, manifest.quorums.nodes, self.wake.set)
        addresses = [(member.host, member.port) for member in manifest.members]
        self._sockets = Transport(self._gate.context, self._credentials, addresses, codec.longest_part, self.wake.set)
        if not manifest.faults:
            return self._sockets
        return FaultyTransport(
            self._sockets,
            me,
            manifest.quorums.nodes,
            manifest.faults,
            self.wake.set,
            self._config.schedule_start,
            leads=node.leads,
        )

    def protocol(self, context: Context) -> tuple[ConsensusProtocol, Outbox]:
        specification, byzantine = self._config.manifest.specification, self._config.byzantine
        if not byzantine:
            return specification.build(context), context.outbox
        # Here and not above: an honest node does not load attacks.
        from honeybadger.adversary import CorruptProtocol, StrategyError, find_strategy

        try:
            liar: Any = CorruptProtocol(context, specification.build, find_strategy(specification.name, byzantine))
        except StrategyError as error:
            raise NodeError(f"{byzantine}: {error}") from None
        return liar, liar.outbox

    def gate(self) -> Gate:
        return self._gate

    def clients(self, core: Core, node: Node) -> ClientApi:
        member = core.manifest.members[core.keys.node]
        self._clients = ClientApi(
            self._gate.context,
            self._credentials,
            (member.host, member.client_port),
            core.application.submit,
            lambda: self._report.status(),
            self.wake.set,
            BlockService(core.store, core.chain.committed),
        )
        return self._clients

    def report(self, core: Core, reactor: Reactor) -> Report:
        self._report = Report(core, self._sockets, self._clients, reactor, self._observed, self._crypto_time)
        return self._report
