"""Node 0 of N on a bench: its outbox and application collect, and what others would say is made with their keys."""

import random
from collections.abc import Iterator

from crypto.erasure import ReedSolomon
from honeybadger.adversary.dispersal import dispersal, echo_of
from honeybadger.protocols.context import Context, NoJournal
from honeybadger.protocols.honey_badger.messages import Ready, Term
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import SimulatedCluster, Strategy, dealt_keys
from support.byzantine.harness import parameters
from support.byzantine.scripted import CHAIN, Recorder


class Bench(Recorder):
    """`waiting`: transactions that node 0 may propose; `blocks`: (epoch, contributions) as they are committed."""

    def __init__(self, nodes: int = 4, *, journal=None, first_epoch: int = 1, **changes) -> None:
        super().__init__()
        self.quorums = q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        self.code = ReedSolomon(q.data_shards, nodes)
        self.public, self.secrets = dealt_keys(nodes, q.faults)
        self.waiting: list[bytes] = []
        self.selected: list[int] = []
        self.blocks: list[tuple[int, list]] = []
        self.context = Context(
            me=0,
            parameters=parameters(nodes, **changes),
            quorums=q,
            chain_id=CHAIN,
            public_keys=self.public,
            secret_keys=self.secrets[0],
            outbox=self,
            application=self,  # type: ignore[arg-type]
            randbytes=random.Random(1).randbytes,
            first_epoch=first_epoch,
            journal=journal or NoJournal(),
        )

    def has_transactions(self) -> bool:
        return bool(self.waiting)

    def select(self, epoch: int) -> list[bytes]:
        self.selected.append(epoch)
        return list(self.waiting)

    def commit(self, epoch: int, contributions) -> None:
        self.blocks.append((epoch, list(contributions)))

    def broadcast_of(self, epoch: int, proposer: int, value: bytes) -> Iterator[tuple[int, Message]]:
        """(sender, message): ECHOs and READYs that make a broadcast deliver here."""
        vals = dispersal(self.code.encode(value), epoch, proposer)
        # Not of node 0, which may have voted for what it really proposed.
        for sender in range(1, 1 + self.quorums.data_shards):
            yield sender, echo_of(vals[sender])
        for sender in range(self.quorums.ready):
            yield sender, Ready(epoch, proposer, vals[0].root)

    def terms(self, epoch: int, proposer: int, bit: bool) -> Iterator[tuple[int, Message]]:
        """(sender, message): TERMs of f+1 nodes, which decide here."""
        for sender in range(self.quorums.weak):
            yield sender, Term(epoch, proposer, bit)


def run_with_lingering(epochs: int, **changes) -> SimulatedCluster:
    """That many epochs whose agreements are never erased: TERMs of node 2 are held back forever, and node 3 is silent,
    so that 2f+1 TERMs never come together."""
    cluster = SimulatedCluster(4, 1, parameters=parameters(4, **changes), byzantine={3: Strategy()})
    transmit = cluster.network.transmit

    def send(sender: int, recipient: int, message: Message) -> None:
        if not (isinstance(message, Term) and sender == 2):
            transmit(sender, recipient, message)

    cluster.network.transmit = send  # type: ignore[method-assign]
    for k in range(epochs):
        transaction = b"a transaction of more than sixty-four bytes, to be found again, if anything keeps it %d" % k
        cluster.submit(0, [transaction])
        cluster.poke(0)
        cluster.run_until_committed([transaction])
    cluster.network.run()
    assert cluster.nodes[0]._lingering
    return cluster
