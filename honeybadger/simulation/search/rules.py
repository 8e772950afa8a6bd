"""What is checked while a case runs. A rule that a correct node breaks raises an AssertionError that says which.

`Rules` are those of every protocol; `HoneyBadgerRules` and `PBFTRules` add what their messages let one see.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters, is_encrypted
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.search.evidence import Evidence, Watched
from honeybadger.simulation.search.pbft_witness import PBFTWitness
from honeybadger.simulation.search.said_once import OneShotMonitor
from honeybadger.transactions import Transactions

Contributions = Sequence[tuple[int, Transactions]]


class Broken(AssertionError):
    """A rule that holds in every run was broken."""


class Rules:
    """Agreement at the moment of each commit, and `SimulatedCluster.check` at the end."""

    def __init__(self, quorums: Quorums, parameters: Parameters, liars: Collection[int]) -> None:
        self._quorums = quorums
        self._parameters = parameters
        self._liars = frozenset(liars)
        #: epoch → what the first correct node committed
        self._committed: dict[int, list[tuple[int, list[bytes]]]] = {}
        #: correct node → what clients gave it
        self.given: dict[int, set[bytes]] = defaultdict(set)
        self._cluster: SimulatedCluster

    def attach(self, cluster: SimulatedCluster) -> None:
        """Called when the cluster is built, before it starts."""
        self._cluster = cluster
        for me, application in cluster.applications.items():
            application.commit = self._watched(me, application.commit)  # type: ignore[method-assign,assignment]

    def build(self, context: Context, make: Callable[[Context], ConsensusProtocol]) -> ConsensusProtocol:
        """The object of a correct node, perhaps behind an oracle."""
        return make(context)

    def finish(self) -> None:
        """Called after the run."""
        self._cluster.check()
        known = set(self._cluster.submitted)
        for node in self._cluster.byzantine.values():
            known.update(node.strategy.own_transactions)
        for me, application in self._cluster.applications.items():
            if strange := set(application.transactions) - known:
                raise Broken(f"node {me} committed what nobody submitted: {min(strange)[:40]!r}")

    def commits(self, me: int, epoch: int, contributions: list[tuple[int, list[bytes]]]) -> None:
        """Node `me` is about to commit this."""
        first = self._committed.setdefault(epoch, contributions)
        if first != contributions:
            raise Broken(f"chains differ: node {me} commits other contributions in epoch {epoch} than another did")

    def _watched(self, me: int, commit: Callable[[int, Contributions], None]) -> Callable[[int, Contributions], None]:
        def committed(epoch: int, contributions: Contributions) -> None:
            self.commits(me, epoch, [(j, sorted(transactions)) for j, transactions in contributions])
            commit(epoch, contributions)

        return committed


class HoneyBadgerRules(Rules):
    """Validity, votes with a reason, nothing said twice."""

    def __init__(self, quorums: Quorums, parameters: Parameters, liars: Collection[int]) -> None:
        super().__init__(quorums, parameters, liars)
        self._encryption = HoneyBadgerParameters.of(parameters).encryption
        self._evidence = Evidence(quorums.nodes, quorums.faults, HoneyBadgerParameters.of(parameters))

    def attach(self, cluster: SimulatedCluster) -> None:
        super().attach(cluster)
        OneShotMonitor(cluster.network, self._liars)

    def build(self, context: Context, make: Callable[[Context], ConsensusProtocol]) -> ConsensusProtocol:
        watched: Any = Watched(context, self._evidence, make)
        return watched  # type: ignore[no-any-return]

    def commits(self, me: int, epoch: int, contributions: list[tuple[int, list[bytes]]]) -> None:
        super().commits(me, epoch, contributions)
        secret = set().union(*self.given.values()) if is_encrypted(self._encryption, epoch) else set()
        for j, transactions in contributions:
            if j not in self._liars and not set(transactions) <= self.given[j]:
                raise Broken(f"correct node {j} never proposed what node {me} commits as its own in epoch {epoch}")
            if j in self._liars and secret & set(transactions):
                raise Broken(f"liar {j} contributes in epoch {epoch} what is encrypted")


class PBFTRules(Rules):
    """One digest a number, and every COMMIT kept."""

    def attach(self, cluster: SimulatedCluster) -> None:
        super().attach(cluster)
        self._witness = PBFTWitness(cluster)

    def finish(self) -> None:
        super().finish()
        self._witness.check()


RULES: Mapping[str, type[Rules]] = {"honeybadger": HoneyBadgerRules, "pbft": PBFTRules}
