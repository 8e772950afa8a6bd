"""A case on its network, with everything that watches it."""

import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.parameters import read_parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol
from honeybadger.protocols.wire import Message
from honeybadger.simulation.coin_attack import CoinAttack
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.restartable_node import CrashPoint
from honeybadger.simulation.schedulers.catalogue import find_scheduler
from honeybadger.simulation.search import liars
from honeybadger.simulation.search.case import LENGTH, POINTS, Case, Link, Outage
from honeybadger.simulation.search.lateness import Recorded, Recorder
from honeybadger.simulation.search.part import PARTS, Goal
from honeybadger.simulation.search.rules import RULES, Rules

#: what is kept of the deliveries: the last ones, and the last ones that were late
KEPT = 50


@dataclass(frozen=True)
class Delivery:
    """`late`: by how many steps it was not in order of sending."""

    step: int
    sender: int
    recipient: int
    message: Message
    late: float


class Running:
    """One run. `said`: the messages of liars, in order; `late`: how many deliveries were not in order of sending."""

    def __init__(self, case: Case) -> None:
        self._case = case
        specification = find_protocol(case.protocol)
        parameters = read_parameters(specification.parameters, case.parameters)
        quorums = Quorums(case.nodes, case.faults)
        strategies = liars.make(case.protocol, case.liars, quorums, case.seed)
        self.order = self._order()
        if isinstance(self.order, Recorder) and isinstance(self.order.inner, CoinAttack):
            strategies[case.nodes - 1] = self.order.inner
        self._liars = frozenset(strategies)
        self.rules = RULES.get(case.protocol, Rules)(quorums, parameters, self._liars)
        self._part = PARTS[case.part](case, specification.build)
        self.cluster = RestartableCluster(
            case.nodes,
            case.seed,
            faults=case.faults,
            scheduler=self.order,
            parameters=parameters,
            byzantine=strategies,
            specification=replace(specification, build=self._build),
            forgetful=case.forgetful,
            ideal=case.ideal,
        )
        self.rules.attach(self.cluster)
        self.said: list[Link] = []
        self.last: deque[Delivery] = deque(maxlen=KEPT)
        self.last_late: deque[Delivery] = deque(maxlen=KEPT)
        self.late = 0
        self.cluster.network.witness = self._delivered
        self._silence()
        self._plan()

    def run(self) -> None:
        """To the end, unless something is wrong: then it raises."""
        left, network = self._case.steps, self.cluster.network
        for number, goal in enumerate(self._part.goals(self.cluster, self.rules)):
            if not number:
                self.cluster.start()
            before = network.steps
            try:
                self.cluster.run(self._reached(goal), left)
            except Stalled:
                if not self._part.may_stall:
                    raise
            left = max(1, left - network.steps + before)
        self.rules.finish()

    def _order(self) -> Recorder | Recorded:
        case = self._case
        if case.late is None:
            return Recorder(find_scheduler(case.schedule, case.nodes), case.fair_after)
        return Recorded({(s, r, k): late for s, r, k, late in case.late})

    def _build(self, context: Context) -> ConsensusProtocol:
        return self._part.build(context) if context.me in self._liars else self.rules.build(context, self._part.build)

    def _reached(self, goal: Goal) -> Callable[[], bool]:
        """All that was planned has happened, and every node that is to be up is, and where it should be."""
        cluster = self.cluster
        nodes = [node for me, node in cluster.live.items() if me not in self._case.gone]

        def reached() -> bool:
            up = {node.me: node.protocol for node in nodes if node.up}
            return goal(up) and len(up) == len(nodes) and not cluster.planned

        return reached

    def _delivered(self, sent: float, sender: int, recipient: int, message: Message) -> None:
        late = self.order.late.get(self.order.link(sent, sender, recipient), 0.0)
        delivery = Delivery(self.cluster.network.steps, sender, recipient, message, late)
        self.last.append(delivery)
        if late:
            self.last_late.append(delivery)
            self.late += 1

    def _silence(self) -> None:
        """Liars keep to themselves what the case says."""
        unsaid, counts = set(self._case.unsaid), defaultdict[tuple[int, int], int](int)
        transmit = self.cluster.network.transmit

        def say(sender: int, recipient: int, message: Message) -> None:
            if sender in self._liars:
                link = (sender, recipient, counts[sender, recipient])
                counts[sender, recipient] += 1
                if link in unsaid:
                    return
                self.said.append(link)
            transmit(sender, recipient, message)

        self.cluster.network.transmit = say  # type: ignore[method-assign]

    def _plan(self) -> None:
        case, cluster = self._case, self.cluster
        for outage in case.outages:
            cluster.at(outage.at, partial(self._begin, outage))
        luck = random.Random(f"disk {case.seed}")
        if case.disk < 1:
            cluster.disk = lambda node, epoch: luck.random() < case.disk
            cluster.at(2 * LENGTH[case.part], lambda: setattr(cluster, "disk", lambda node, epoch: True))
        if not case.catch_up:
            cluster.certify = lambda node, epoch: False
            cluster.far_behind = None

    def _begin(self, outage: Outage) -> None:
        node = self.cluster.live[outage.node]
        if outage.point == POINTS[0]:
            node.crash()
        else:
            node.crash_at = (node.remembered + outage.votes, CrashPoint[outage.point.upper().replace(" ", "_")])
        if outage.pause is not None:
            self.cluster.at(outage.pause, lambda: self._end(outage.node))

    def _end(self, me: int) -> None:
        self.cluster.live[me].crash_at = None
        self.cluster.restart(me)
