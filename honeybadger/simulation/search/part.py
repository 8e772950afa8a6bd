"""What of a protocol is searched: all of it, or one binary agreement or reliable broadcast of Honey Badger alone."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.simulation.lone_agreement import LoneAgreement
from honeybadger.simulation.lone_broadcast import LoneBroadcast
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.search.case import Case, Part
from honeybadger.simulation.search.rules import Broken, Rules

Build = Callable[[Context], ConsensusProtocol]
#: asked after each step, of the correct nodes that are up: whether they are where they should be
Goal = Callable[[Mapping[int, ConsensusProtocol]], bool]


class Searched(ABC):
    """A part; `build` makes the object of a node of the whole protocol."""

    def __init__(self, case: Case, build: Build) -> None:
        self._case = case
        self._build = build

    def build(self, context: Context) -> ConsensusProtocol:
        """The object of a node, correct or a liar's honest side."""
        return self._build(context)

    @abstractmethod
    def goals(self, cluster: RestartableCluster, rules: Rules) -> Iterator[Goal]:
        """What to reach next, each when it is asked for."""

    @property
    def may_stall(self) -> bool:
        """Whether it is in order that the goal is not reached."""
        return False


class Whole(Searched):
    """Transactions are committed, wave after wave."""

    def goals(self, cluster: RestartableCluster, rules: Rules) -> Iterator[Goal]:
        """Each wave is submitted when it is asked for."""
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
            yield partial(self._have_all, cluster, wanted)

    @staticmethod
    def _have_all(cluster: RestartableCluster, wanted: Set[bytes], up: Mapping[int, ConsensusProtocol]) -> bool:
        return all(cluster.ledgers[me].has_committed(wanted) for me in up)


class OneAgreement(Searched):
    """All decide one bit, and it was the input of a correct node."""

    def __init__(self, case: Case, build: Build) -> None:
        super().__init__(case, build)
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
        yield lambda up: all(node.agreement.decision is not None for node in up.values())  # type: ignore[attr-defined]

    def _decide(self, me: int, bit: int) -> None:
        if me not in self._correct:
            return
        self._decided[me] = bit
        if len(set(self._decided.values())) > 1:
            raise Broken(f"decisions differ: {self._decided}")
        if bit not in {self._inputs[node] for node in self._correct}:
            raise Broken(f"node {me} decided {bit}, which was the input of no correct node")


class OneBroadcast(Searched):
    """All deliver one value, that of a correct proposer; of a liar's broadcast, all do or nobody."""

    def __init__(self, case: Case, build: Build) -> None:
        super().__init__(case, build)
        rng = random.Random(f"inputs {case.seed}")
        liars = sorted(case.liars)
        # Mostly a liar, if there are any.
        self._proposer = rng.choice([*liars, *liars, rng.randrange(case.nodes)])
        self._value = rng.randbytes(rng.randrange(1, 900))
        self._of_liars = rng
        self._delivered: set[bytes] = set()

    def build(self, context: Context) -> ConsensusProtocol:
        """Each side of a liar has another value."""
        value = self._of_liars.randbytes(100) if context.me in self._case.liars else self._value
        return LoneBroadcast(context, self._proposer, value)

    def goals(self, cluster: RestartableCluster, rules: Rules) -> Iterator[Goal]:
        """One goal: that each node has delivered."""
        yield self._have_delivered

    @property
    def may_stall(self) -> bool:
        """A liar's value need not be delivered to anybody."""
        return self._proposer in self._case.liars and not self._delivered

    def _have_delivered(self, up: Mapping[int, ConsensusProtocol]) -> bool:
        """A node is asked after its tick: if that ended in a crash, nothing has left the node, so nothing counts."""
        done = True
        for me, node in up.items():
            instance, delivered = node.instance, node.delivered  # type: ignore[attr-defined]
            if instance.held_bytes > instance.most_held:
                raise Broken(f"node {me} holds {instance.held_bytes} bytes, and {instance.most_held} are allowed")
            self._delivered.update(delivered)
            done = done and bool(delivered)
            if len(delivered) > 1:
                raise Broken(f"node {me} delivered twice")
        if len(self._delivered) > 1:
            raise Broken("nodes delivered different values")
        if self._proposer not in self._case.liars and not self._delivered <= {self._value}:
            raise Broken("a value was delivered that the proposer did not broadcast")
        return done


PARTS: Mapping[Part, type[Searched]] = {"whole": Whole, "agreement": OneAgreement, "broadcast": OneBroadcast}
