"""Sees all messages of PBFT: what correct nodes COMMIT, and which batch is behind a digest."""

from collections import defaultdict

from honeybadger.protocols.batching.batch import batch_digest, decode_batch
from honeybadger.protocols.pbft.certificates import NULL
from honeybadger.protocols.pbft.messages import Batch, Commit, Prepare, PrePrepare, ViewChange
from honeybadger.protocols.pbft.parameters import PBFTParameters
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import SimulatedCluster


class BrokenPromise(AssertionError):
    """A correct replica contradicts what it said, or what was decided."""


class PBFTWitness:
    """Sits in front of `network.transmit`. `excused`: correct nodes that lost their journal, so count as faulty."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._excused: set[int] = getattr(cluster, "excused", set())
        #: (number, view, digest) → correct nodes
        self._commits: dict[tuple[int, int, bytes], set[int]] = defaultdict(set)
        self._prepares: dict[tuple[int, int, bytes], set[int]] = defaultdict(set)
        self._batches: dict[bytes, bytes] = {}
        #: (correct node, kind, view, number) → digest
        self._said: dict[tuple[int, type[Message], int, int], bytes] = {}
        #: node → number → the highest view in which it sent COMMIT
        self._promised: dict[int, dict[int, int]] = defaultdict(dict)
        self._transmit = cluster.network.transmit
        cluster.network.transmit = self.transmit  # type: ignore[method-assign]

    def transmit(self, sender: int, recipient: int, message: Message) -> None:
        correct = sender in self._cluster.nodes
        if correct and sender not in self._excused:
            self._hold_to_its_word(sender, message)
        if isinstance(message, Commit | Prepare):
            if correct:
                votes = self._commits if isinstance(message, Commit) else self._prepares
                votes[message.epoch, message.view, message.digest].add(sender)
        elif isinstance(message, PrePrepare | Batch):
            self._batches[batch_digest(message.batch)] = message.batch
        self._transmit(sender, recipient, message)

    def _hold_to_its_word(self, sender: int, message: Message) -> None:
        """No correct node sends two PREPAREs, COMMITs or PRE-PREPAREs for one view and number, in any of its lives;
        what it promised with a COMMIT, its VIEW-CHANGEs claim."""
        promised = self._promised[sender]
        if isinstance(message, PrePrepare | Prepare | Commit):
            key = (sender, type(message), message.view, message.epoch)
            if self._said.setdefault(key, message.digest) != message.digest:
                raise BrokenPromise(f"node {sender} said twice: {type(message).__name__} of {message.epoch}")
            if isinstance(message, Commit):
                promised[message.epoch] = max(message.view, promised.get(message.epoch, 0))
        elif isinstance(message, ViewChange):
            claimed = {proof.number: proof.view for proof in message.prepared}
            for number, view in promised.items():
                if number > message.stable.number and view < message.view and claimed.get(number, -1) < view:
                    raise BrokenPromise(f"node {sender} forgot its COMMIT of {number}")

    def check(self) -> None:
        """What f+1 correct nodes sent COMMIT for may be decided: one digest a number, for which alone correct nodes
        vote in later views; and that was executed."""
        decided = self._decided()
        cluster, seen = self._cluster, set[bytes]()
        parameters = PBFTParameters.of(cluster.parameters)
        chains = (application.blocks for application in cluster.applications.values())
        for number, proposers, transactions in max(chains, key=len):
            if len(decided[number]) != 1:
                raise BrokenPromise(f"{len(decided[number])} batches of number {number} were decided")
            (digest,) = decided[number]
            content = None
            if digest != NULL:
                content = decode_batch(self._batches[digest], parameters, cluster.quorums.nodes)
            new = () if content is None else tuple(tx for tx in dict.fromkeys(content[1]) if tx not in seen)
            if proposers != (() if content is None else (content[0],)) or transactions != new:
                raise BrokenPromise(f"another batch of number {number} was executed than was decided")
            seen.update(transactions)

    def _decided(self) -> dict[int, set[bytes]]:
        decided: dict[int, set[bytes]] = defaultdict(set)
        for (number, view, digest), nodes in self._commits.items():
            if len(nodes) >= self._cluster.quorums.weak:
                decided[number].add(digest)
                for other_number, later, other in self._prepares:
                    if other_number == number and later > view and other != digest:
                        raise BrokenPromise(f"a vote against what was decided of number {number} in view {view}")
        return decided
