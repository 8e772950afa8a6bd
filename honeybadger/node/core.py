"""What a node's consensus stands on, in one record: all that the parts around it (recovery, report, main loop) read."""

from dataclasses import dataclass
from pathlib import Path

from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest, Runtime
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.node.application import NodeApplication
from honeybadger.node.journal import Journal
from honeybadger.node.mempool import Mempool
from honeybadger.node.notices import Notices
from honeybadger.node.peers import Peers
from honeybadger.protocols.context import Outbox
from honeybadger.protocols.contract import ConsensusProtocol


@dataclass(frozen=True)
class Core:
    """Everything between a node's sockets and its disk.

    `runtime`: the manifest's, or what the command line put in its place; `ledger`: the file of `store`, or where a
    ledger in memory is saved in the end; `outbox`: where the node's own messages about blocks go. That is `peers`, or,
    at a node that lies, its adversary in front of them.
    """

    manifest: Manifest
    runtime: Runtime
    keys: NodeKeys
    notices: Notices
    ledger: Path
    store: SQLiteStore
    chain: Chain
    journal: Journal
    mempool: Mempool
    application: NodeApplication
    peers: Peers
    protocol: ConsensusProtocol
    outbox: Outbox

    @property
    def silent_through(self) -> int:
        """The epoch through which this node says nothing, because it lost its votes; 0 if it speaks."""
        through = self.journal.silent_through
        return through if self.protocol.epoch <= through else 0
