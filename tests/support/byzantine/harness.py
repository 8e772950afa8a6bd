"""Runs of whole clusters under attack, watched at every message a correct node sends."""

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

from honeybadger.adversary import Adversary
from honeybadger.protocols.context import Context
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.messages import CoinShare, DecryptionShares
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import BYZANTINE
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import SimulatedCluster, Strategy
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.schedulers import Order, shuffled
from honeybadger.simulation.search.said_once import OneShotMonitor

#: N = 3f+1, and the sizes between
ALL_SIZES = (4, 5, 6, 7, 8, 9, 10)


def parameters(nodes: int, **changes: object) -> Parameters:
    """Small limits, so that garbage can exceed them cheaply."""
    values = {"batch_size": 4 * nodes, "max_tx_bytes": 2000, "max_proposal_bytes": 8100} | changes
    return HoneyBadgerParameters(**values)  # type: ignore[arg-type]


def slower(nodes: Collection[int], steps: int) -> Order:
    """What these nodes send arrives later."""

    def schedule(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        return shuffled(step, sender, recipient, message, rng) + (steps if sender in nodes else 0)

    return schedule


def rushing(favoured: Collection[int]) -> Order:
    """Messages of `favoured` nodes arrive before all others."""
    return slower(favoured, -5_000)


def faulty_nodes(nodes: int) -> list[int]:
    """The f last nodes."""
    return list(range(nodes - BYZANTINE.largest_faults(nodes), nodes))


class Monitor(OneShotMonitor):
    """Watches what correct nodes send: nothing is revealed too early, nothing one-shot is said twice."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        super().__init__(cluster.network, cluster.byzantine)
        self._cluster = cluster

    def transmit(self, sender: int, recipient: int, message: Message) -> None:
        if sender in self._cluster.nodes:
            self._check(sender, message)
        super().transmit(sender, recipient, message)

    def _check(self, sender: int, message: Message) -> None:
        if isinstance(message, DecryptionShares | CoinShare):
            epochs = self._cluster.nodes[sender]._epochs  # type: ignore[attr-defined]
            epoch = epochs.get(message.epoch)
            if epoch is None:
                return  # held messages on their way again
            agreements = epoch.subset.agreements
            if isinstance(message, DecryptionShares):
                decisions = [agreement.decision for agreement in agreements]
                early = None in decisions or not all(decisions[j] for j, _ in message.shares)
                assert not early, f"node {sender} revealed shares with decisions {decisions}"
            else:
                votes = agreements[message.proposer]._rounds[message.round]
                assert votes.candidate, f"node {sender} released a coin share without a CONF quorum"


def watched(nodes: int, seed: int, **how: Any) -> SimulatedCluster:
    """A cluster with small limits and a monitor."""
    how.setdefault("parameters", parameters(nodes))
    cluster = SimulatedCluster(nodes, seed, **how)
    Monitor(cluster)
    return cluster


def attacked(
    nodes: int,
    make: Callable[[Context], Adversary] | None = None,
    seed: int = 1,
    *,
    scheduler: Order | None = None,
    starved: bool = False,
    epochs: int = 2,
    settings: Parameters | None = None,
    faulty: Sequence[int] | None = None,
    strategy: type[Simulated] = Simulated,
) -> SimulatedCluster:
    """A run under attack, to the end, with all invariants checked. Without `make` the faulty nodes are silent.

    The attacker's messages arrive first, unless `scheduler` says otherwise. `starved`: as many correct nodes as there
    are faulty ones are very slow, so that the subset needs the faulty.
    """
    faulty = faulty_nodes(nodes) if faulty is None else faulty
    if scheduler is None:
        victims = [k for k in range(nodes) if k not in faulty][: len(faulty)]
        scheduler = slower(victims, 8_000) if starved else rushing(faulty)
    byzantine = {me: strategy(make) if make else Strategy() for me in faulty}
    cluster = watched(nodes, seed, scheduler=scheduler, parameters=settings or parameters(nodes), byzantine=byzantine)
    # Nothing promises that a starved node's proposals are ever included, so only the others get transactions.
    quick = cluster.correct[len(faulty) :] if starved else cluster.correct
    transactions = [b"tx %d of %d" % (k, me) for me in quick for k in range(2)]
    for me in quick:
        cluster.submit(me, [tx for tx in transactions if tx.endswith(b" of %d" % me)])
    cluster.start()
    cluster.run_until_committed(transactions)
    for k in range(epochs - 1):
        more = [b"more %d" % k]
        me = quick[k % len(quick)]
        cluster.submit(me, more)
        cluster.poke(me)
        cluster.run_until_committed(more)
    verify(cluster)
    return cluster


def verify(cluster: SimulatedCluster) -> None:
    """`check`, and: ascending contributions; every committed transaction was submitted, by somebody."""
    cluster.check()
    known = set(cluster.submitted)
    for node in cluster.byzantine.values():
        known.update(node.strategy.own_transactions)
    for application in cluster.applications.values():
        assert all(list(js) == sorted(set(js)) for _, js, _ in application.blocks), "not ascending by proposer"
        strange = set(application.transactions) - known
        assert not strange, f"committed, but never submitted: {strange}"


def proposers(cluster: SimulatedCluster) -> set[int]:
    """Whose proposals were included at least once."""
    return {j for app in cluster.applications.values() for _, js, _ in app.blocks for j in js}


def accused(cluster: SimulatedCluster, *kinds: FaultKind) -> set[int]:
    """The nodes named by a fault of one of these kinds (or of any)."""
    return {fault.node for fault in cluster.network.faults if not kinds or fault.kind in kinds}
