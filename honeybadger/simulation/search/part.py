"""What of a protocol is searched: all of it, or one binary agreement of Honey Badger alone."""

import random
from collections.abc import Callable, Iterator, Set
from functools import partial

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.simulation.lone_agreement import LoneAgreement
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.search.case import Case
from honeybadger.simulation.search.rules import Broken, Rules

#: of a correct node's protocol object and its index: whether it is where it should be
Goal = Callable[[ConsensusProtocol, int], bool]


class Whole:
    """Transactions are committed, wave after wave."""

    def __init__(self, case: Case, build: Callable[[Context], ConsensusProtocol]) -> None:
        self._case = case
        self.build = build

    def goals(self, cluster: RestartableCluster, rules: Rules) -> Iterator[Goal]:
        """What to reach next. Each wave is submitted when it is asked for."""
        case = self._case
        rng = random.Random(f"submitted {case.seed}")
        staying = [node for node in case.correct if node not in case.gone]
        for wave in range(case.waves):
            for number in range(case.transactions):
                transaction = b"transaction %d of wave %d" % (number, wave)
                # Nothing promises that the proposals of any f nodes are ever included.
                for me in rng.sample(staying, min(cluster.quorums.weak, len(staying))):
                    rules.given[me].add(transaction)
                    cluster.submit(me, [transaction])
            if wave:
                for me in staying:
                    cluster.poke(me)
            wanted = frozenset(cluster.submitted)
            yield partial(self._has_all, cluster, wanted)

    @staticmethod
    def _has_all(cluster: RestartableCluster, wanted: Set[bytes], node: ConsensusProtocol, me: int) -> bool:
        return cluster.ledgers[me].has_committed(wanted)


class Alone:
    """All decide one bit, and it was the input of a correct node."""

    def __init__(self, case: Case, build: Callable[[Context], ConsensusProtocol]) -> None:
        self._correct = frozenset(case.correct)
        rng = random.Random(f"inputs {case.seed}")
        unanimous = rng.choice([None, None, 0, 1])
        bits = [rng.randrange(2) if unanimous is None else unanimous for _ in range(case.nodes)]
        # Its roles are fixed.
        self._inputs = [0, 0, 1, 0] if case.schedule == "coin-attack" else bits
        self._decided: dict[int, int] = {}

    def build(self, context: Context) -> ConsensusProtocol:
        me = context.me
        return LoneAgreement(context, self._inputs[me], lambda bit: self._decide(me, bit))

    def goals(self, cluster: RestartableCluster, rules: Rules) -> Iterator[Goal]:
        """One goal: that each node has decided."""
        yield lambda node, _: node.agreement.decision is not None  # type: ignore[attr-defined]

    def _decide(self, me: int, bit: int) -> None:
        if me not in self._correct:
            return
        self._decided[me] = bit
        if len(set(self._decided.values())) > 1:
            raise Broken(f"decisions differ: {self._decided}")
        if bit not in {self._inputs[node] for node in self._correct}:
            raise Broken(f"node {me} decided {bit}, which was the input of no correct node")
