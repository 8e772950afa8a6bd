"""How a node stands with its peers: who refuses whom, and who hears a second process with the same keys.

One peer may lie about it. Of f+1 that say the same, one is correct.
"""

from collections.abc import Callable

from honeybadger.cluster.manifest import Manifest
from honeybadger.network.codec import Hello
from honeybadger.node.notices import Notices
from honeybadger.protocols.faults import FaultKind


class Standing:
    """Who `Peers` of node `me` asks and tells. `fail(why)` stops the node."""

    def __init__(self, me: int, manifest: Manifest, notices: Notices, fail: Callable[[str], None]) -> None:
        self._me = me
        self._manifest = manifest
        self._notices = notices
        self._fail = fail
        self._refused: set[int] = set()
        self._twin_heard_by: set[int] = set()
        self.connection = notices.connection
        self.fault = notices.fault

    def difference(self, hello: Hello) -> str:
        """Why a peer that greets so is refused, or ""."""
        if hello.chain_id == self._manifest.chain_id:
            return ""
        return self._manifest.difference(hello.settings) or "its chain id differs, though it claims equal settings"

    def refused(self, peer: int, why: str) -> None:
        if self._notices.say_once(f"refused node {peer}, whose manifest differs: {why}"):
            self._notices.events.emit("refused", peer=peer, why=why)
        self._refused.add(peer)
        if len(self._refused) >= self._manifest.quorums.weak:
            # More peers than can be faulty run another chain: it is this node that is wrong.
            self._fail(f"the manifest of this node differs from that of nodes {sorted(self._refused)}: {why}")

    def twin_heard(self, peer: int) -> None:
        """The peer hears another process that uses this node's keys."""
        self._twin_heard_by.add(peer)
        if len(self._twin_heard_by) >= self._manifest.quorums.weak:
            heard_by = f"heard by nodes {sorted(self._twin_heard_by)}"
            self._notices.fault(self._me, FaultKind.KEYS_USED_TWICE, heard_by)
