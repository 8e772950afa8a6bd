"""Runs of whole clusters under attack, watched at every message a correct node sends."""

import random
from collections.abc import Callable, Collection, Sequence

from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.messages import CoinShare, DecryptionShares, Message
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import SimulatedCluster, Strategy
from honeybadger.simulation.schedulers import Scheduler, shuffled

#: steps within which every run here must reach its goal; the largest, with replays at N = 10, take some 10^5
LIMIT = 600_000

#: N = 3f+1, and the sizes between
SIZES = (4, 7, 10)
ODD_SIZES = (5, 6, 8, 9)
ALL_SIZES = (4, 5, 6, 7, 8, 9, 10)


def parameters(nodes: int, **changes: object) -> Parameters:
    """Small limits, so that garbage can exceed them cheaply."""
    values = {"batch_size": 4 * nodes, "max_tx_bytes": 2000, "max_proposal_bytes": 8100} | changes
    return Parameters(**values)  # type: ignore[arg-type]


def rushing(favoured: Collection[int], then: Scheduler = shuffled) -> Scheduler:
    """Messages of `favoured` nodes arrive before all others."""

    def schedule(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        return then(step, sender, recipient, message, rng) - (5_000 if sender in favoured else 0)

    return schedule


def faulty_nodes(nodes: int) -> list[int]:
    """The f last nodes."""
    return list(range(nodes - Quorums.largest_faults(nodes), nodes))


class Monitor:
    """Watches what correct nodes send: nothing is revealed too early, nothing one-shot is said twice."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._said: dict[tuple[int, int, tuple[object, ...]], Message] = {}
        self._transmit = cluster.network.transmit
        cluster.network.transmit = self.transmit  # type: ignore[method-assign]

    def transmit(self, sender: int, recipient: int, message: Message) -> None:
        if sender in self._cluster.nodes:
            self._check(sender, recipient, message)
        self._transmit(sender, recipient, message)

    def _check(self, sender: int, recipient: int, message: Message) -> None:
        name = type(message).__name__
        if name != "BVal":
            address = tuple(getattr(message, key, None) for key in ("epoch", "proposer", "round"))
            first = self._said.setdefault((sender, recipient, (name, *address)), message)
            if first != message:
                raise AssertionError(f"correct node {sender} said {first} and {message}")
        if isinstance(message, DecryptionShares | CoinShare):
            epochs = self._cluster.nodes[sender]._epochs  # type: ignore[attr-defined]
            epoch = epochs.get(message.epoch)
            if epoch is None:
                return  # held messages on their way again
            agreements = epoch.subset.agreements
            if isinstance(message, DecryptionShares):
                decisions = [agreement.decision for agreement in agreements]
                if None in decisions or not all(decisions[j] for j, _ in message.shares):
                    raise AssertionError(f"node {sender} revealed shares with decisions {decisions}")
            else:
                votes = agreements[message.proposer]._rounds[message.round]
                if not votes.candidate:
                    raise AssertionError(f"node {sender} released a coin share without a CONF quorum")


def attacked(
    nodes: int,
    make: Callable[[int], Strategy],
    seed: int = 1,
    *,
    scheduler: Scheduler | None = None,
    starved: bool = False,
    epochs: int = 2,
    settings: Parameters | None = None,
    faulty: Sequence[int] | None = None,
) -> SimulatedCluster:
    """A run under attack, to the end, with all invariants checked.

    `starved`: as many correct nodes as there are faulty ones are very slow, so that the subset needs the faulty.
    """
    faulty = faulty_nodes(nodes) if faulty is None else faulty
    byzantine = {me: make(me) for me in faulty}
    if scheduler is None:
        scheduler = starve_some(nodes, faulty) if starved else rushing(faulty)
    cluster = SimulatedCluster(
        nodes, seed, scheduler=scheduler, parameters=settings or parameters(nodes), byzantine=byzantine
    )
    Monitor(cluster)
    # Nothing promises that a starved node's proposals are ever included, so only the others get transactions.
    quick = cluster.correct[len(faulty) :] if starved else cluster.correct
    transactions = [b"tx %d of %d" % (k, me) for me in quick for k in range(2)]
    for me in quick:
        cluster.submit(me, [tx for tx in transactions if tx.endswith(b" of %d" % me)])
    cluster.start()
    cluster.run_until_committed(transactions, LIMIT)
    for k in range(epochs - 1):
        more = [b"more %d" % k]
        cluster.submit(quick[0], more)
        cluster.nodes[quick[0]].poke()
        cluster.run_until_committed(more, LIMIT)
    verify(cluster)
    return cluster


def verify(cluster: SimulatedCluster) -> None:
    """`check`, and: ascending contributions; every committed transaction was submitted, by somebody."""
    cluster.check()
    known = set(cluster.submitted)
    for node in cluster.byzantine.values():
        known.update(getattr(node.strategy, "own_transactions", ()))
    for application in cluster.applications.values():
        if any(list(js) != sorted(set(js)) for _, js, _ in application.blocks):
            raise AssertionError("contributions are not ascending by proposer")
        strange = set(application.transactions) - known
        if strange:
            raise AssertionError(f"committed, but never submitted: {strange}")


def starve_some(nodes: int, faulty: Collection[int]) -> Scheduler:
    victims = [k for k in range(nodes) if k not in faulty][: len(faulty)]

    def schedule(step: int, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        return shuffled(step, sender, recipient, message, rng) + (8_000 if sender in victims else 0)

    return schedule


def proposers(cluster: SimulatedCluster) -> set[int]:
    """Whose proposals were included at least once."""
    return {j for app in cluster.applications.values() for _, js, _ in app.blocks for j in js}


def accused(cluster: SimulatedCluster, *kinds: FaultKind) -> set[int]:
    """The nodes named by a fault of one of these kinds (or of any)."""
    return {fault.node for fault in cluster.network.faults if not kinds or fault.kind in kinds}
