"""Random searches: liars that can win, crashes at journal points with restart, any order; every choice from one seed.

- `agreement`: one binary agreement alone, any inputs.
- `broadcast`: one reliable broadcast alone; of a liar's, all deliver the same or nobody does.
- `subset`: one plaintext epoch. Nobody can take blocks over, so totality must come from the protocol.
- `epochs`: several epochs of whole nodes, encrypted or not, in a pipeline, with partitions, slow disks and catch-up.

Checked in each: agreement; validity (a decided bit was a correct node's input, a correct node's contribution is what
it proposed, nobody contributes what others keep secret); |S| >= N-f; no exception; only liars are accused; nothing
one-shot is said twice, by any incarnation; every vote is justified (`watched`); all correct nodes finish.
"""

import random
from dataclasses import replace
from functools import cache, partial

from msgspec.structs import replace as with_changes

from honeybadger.adversary import Adversary
from honeybadger.protocols.honey_badger.parameters import is_encrypted
from honeybadger.protocols.honey_badger.protocol import HoneyBadger
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.simulation.cluster import Strategy
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.lone_agreement import LoneAgreement, with_ideal_coins
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.schedulers import Late, Starve, Together, fifo, lifo, shuffled
from honeybadger.simulation.twins import Twins
from support.byzantine import STRATEGIES
from support.byzantine.attacks import Copier, NoVoter, TermSpam
from support.byzantine.harness import parameters, verify
from support.simulation.conspiracy import Conspirator, Plot
from support.simulation.crash_runs import POINTS, crash_in_tick, finish
from support.simulation.lone_broadcast import LoneBroadcast
from support.simulation.watched import Evidence, OneShotMonitor, Watched

ADVERSARIES = {**STRATEGIES, "honest": Adversary, "no voter": NoVoter, "term spam": TermSpam}
LIES = {**{name: partial(Simulated, make) for name, make in ADVERSARIES.items()}, "twins": lambda: Twins(7)}


def biased(seed: int, patience: int):
    """Each kind of message is always quick, or always late, from one node to another."""
    choices = random.Random(f"bias {seed}")
    late = cache(lambda sender, recipient, kind: choices.random() < 0.3)
    return lambda step, sender, recipient, message, rng: (
        step + rng.random() * 20 + late(sender, recipient, type(message)) * patience
    )


class Search:
    """One run, before it starts. `length`: deliveries, and `votes`: calls of the journal, in which to crash."""

    length, votes = 900, 60
    agreement, broadcast = "mmr14-conf", "hash-echo"
    sizes = (4, 4, 4, 4, 4, 4, 4, 5, 6, 7)

    def __init__(self, seed: int) -> None:
        print(f"{type(self).__name__}({seed})")
        self.seed, self.rng = seed, random.Random(f"{type(self).__name__} {seed}")
        rng = self.rng
        nodes = rng.choice(self.sizes)
        quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        self.liars = sorted(rng.sample(range(nodes), rng.choice([*range(quorums.faults + 1), quorums.faults])))
        correct = [node for node in range(nodes) if node not in self.liars]
        self.plot = Plot(rng, correct, quorums.quorum - len(self.liars))
        self.copied = False
        liars = {me: self.liar(correct) for me in self.liars}
        self.parameters = self.settings(nodes)
        self.fast_coins = rng.random() < 0.95
        self.evidence = Evidence(nodes, quorums.faults, self.parameters)
        self.contributions: dict[int, list] = {}
        self.proposed: dict[int, set[bytes]] = {}
        self.cluster = RestartableCluster(
            nodes,
            seed,
            scheduler=self.scheduler(correct),
            parameters=self.parameters,
            byzantine=liars,
            specification=replace(SPECIFICATION, build=self.build),
            forgetful=[me for me in self.liars if rng.random() < 0.5],
        )
        OneShotMonitor(self.cluster.network, self.liars)
        for ledger in self.cluster.ledgers.values():
            ledger.commit = partial(self.committed, ledger.commit)  # type: ignore[method-assign]
        for k in range(rng.choice([1, 3, 6])):
            # Nothing promises that the proposals of any f nodes are ever included, so f+1 have each transaction.
            for me in rng.sample(correct, quorums.weak):
                self.submit(me, [b"transaction %d" % k])
        self.trail = [self.plan() for _ in range(rng.choice([0, 1, 1, 2, 4]))]

    def liar(self, correct) -> Strategy:
        return Conspirator(self.plot)

    def settings(self, nodes: int):
        schedule = self.rng.choice(["fixed-fixed-coin", "fixed-fixed-coin", "every-round"])
        chosen = {"agreement": self.agreement, "broadcast": self.broadcast}
        return parameters(nodes, encryption="never", coin_schedule=schedule, **chosen)

    def scheduler(self, correct):
        rng = self.rng
        orders = [fifo, lifo, shuffled, Late(rng.randrange(100, 3 * self.length)), biased(self.seed, self.length)]
        return rng.choice(
            [*orders, Together(shuffled, Starve([rng.choice(correct)], patience=rng.randrange(self.length)))]
        )

    def build(self, context):
        if self.fast_coins:
            context = with_ideal_coins(context, 0)
        return self.inner(context) if context.me in self.liars else Watched(context, self.evidence, self.inner)

    def inner(self, context):
        return HoneyBadger(context)

    def submit(self, me: int, transactions: list[bytes]) -> None:
        self.cluster.submit(me, transactions)
        self.proposed.setdefault(me, set()).update(transactions)

    def plan(self):
        """One event at a random moment, and its end: a crash of one or of all, between two ticks or inside one."""
        cluster, rng = self.cluster, self.rng
        steps, pause = rng.randrange(self.length), rng.randrange(1, self.length // 3)
        kind = rng.choice(["between ticks", "in a tick", "in a tick"])
        victims = [rng.choice(cluster.correct)] if rng.random() < 0.7 else list(cluster.correct)
        for me in victims:
            if kind == "in a tick":
                crash_in_tick(cluster, me, rng.randrange(1, self.votes), rng.choice(POINTS), pause)
            else:
                cluster.at(steps, cluster.live[me].crash)
                cluster.at(steps + pause, lambda me=me: cluster.restart(me))
        return kind, victims, steps, pause

    def committed(self, commit, epoch: int, contributions) -> None:
        """A correct node commits: the same as the others, and of each correct node what it proposed."""
        plain = [(j, sorted(transactions)) for j, transactions in contributions]
        assert self.contributions.setdefault(epoch, plain) == plain, f"epoch {epoch}"
        secret = is_encrypted(self.parameters.encryption, epoch)
        for j, transactions in plain:
            if j in self.proposed:
                assert set(transactions) <= self.proposed[j], f"node {j} never proposed {transactions}"
            if secret and j in self.liars:
                assert not set(transactions) & set().union(*self.proposed.values()), f"liar {j} contributed a secret"
        commit(epoch, contributions)

    def run(self):
        """To the end; returns what happened, for comparison."""
        self.cluster.start()
        self.finish()
        verify(self.cluster)
        return self.trail, self.cluster.network.steps, self.contributions

    def run_all(self, done, max_steps: int | None = None) -> None:
        """Until all that was planned has happened, and each correct node is up and `done`."""
        nodes, cluster = self.cluster.live.values(), self.cluster
        self.cluster.run(lambda: not cluster.planned and all(n.up and done(n.protocol) for n in nodes), max_steps)

    def without_certificates(self) -> None:
        """Nobody can take blocks over."""
        self.cluster.certify = lambda node, epoch: False
        self.cluster.far_behind = None


class Agreement(Search):
    length, votes = 150, 15
    sizes = (4, 4, 5, 6, 7, 7, 7)

    def __init__(self, seed: int) -> None:
        self.bits: dict[int, int] = {}
        self.decided: dict[int, int] = {}
        self.unanimous = random.Random(seed).choice([None, None, 0, 1])
        super().__init__(seed)

    def inner(self, context):
        me = context.me
        if me in self.liars:
            return LoneAgreement(context, self.rng.randrange(2), lambda bit: None)
        if me not in self.bits:
            self.bits[me] = self.rng.randrange(2) if self.unanimous is None else self.unanimous
        return LoneAgreement(context, self.bits[me], partial(self.decide, me))

    def decide(self, me: int, bit: int) -> None:
        self.decided[me] = bit
        assert set(self.decided.values()) == {bit}, f"decisions differ: {self.decided}"
        assert bit in self.bits.values(), f"{bit} was decided, and the inputs are {self.bits}"

    def finish(self) -> None:
        self.run_all(lambda node: node.agreement.decision is not None, max_steps=20_000)
        self.contributions = {1: [sorted(self.decided.items())]}


class Broadcast(Search):
    length, votes = 100, 8
    sizes = (4, 4, 4, 5, 6, 7, 7, 8, 9, 10)

    def __init__(self, seed: int) -> None:
        self.values: dict[int, bytes] = {}
        super().__init__(seed)

    def settings(self, nodes: int):
        self.proposer = self.rng.choice([*self.liars, *self.liars, self.rng.randrange(nodes)])
        self.value = self.rng.randbytes(self.rng.randrange(1, 900))
        return super().settings(nodes)

    def inner(self, context):
        value = self.rng.randbytes(100) if context.me in self.liars else self.value
        return LoneBroadcast(context, self.proposer, value)

    def all_delivered(self) -> bool:
        """What is delivered in a tick that ends in a crash is not: nothing that it led to has left the node."""
        here = {me: node.protocol.delivered for me, node in self.cluster.live.items() if node.up}
        for me, delivered in here.items():
            for value in delivered:
                assert len(delivered) == 1 and set(self.values.values()) <= {value}, "deliveries differ"
                assert self.proposer in self.liars or value == self.value, "the proposer did not say that"
                self.values[me] = value
        return not self.cluster.planned and all(here.values()) and len(here) == len(self.cluster.live)

    def finish(self) -> None:
        try:
            self.cluster.run(self.all_delivered, max_steps=20_000)
        except Stalled:
            if self.values or self.proposer not in self.liars:
                raise
        self.contributions = {1: sorted(self.values.items())}


class AvidBroadcast(Broadcast):
    broadcast = "avid"


class BrachaBroadcast(Broadcast):
    broadcast = "bracha"


class Subset(Search):
    length, votes = 500, 40

    def finish(self) -> None:
        self.without_certificates()
        self.run_all(lambda node: node.epoch > 1)


class Epochs(Search):
    def liar(self, correct) -> Strategy:
        kind = self.rng.choice(["plot", "plot", "copy", "other"])
        if kind == "copy":
            self.copied = True
            victim, later = self.rng.choice(correct), self.rng.randrange(2)
            return Simulated(lambda context: Copier(context, victim, later))
        return super().liar(correct) if kind == "plot" else LIES[self.rng.choice(sorted(LIES))]()

    def settings(self, nodes: int):
        """Encryption takes time, and matters most where somebody copies."""
        encryption = self.rng.choice(["always", "never"] if self.copied else ["never"] * 7 + ["every:2"])
        return with_changes(
            super().settings(nodes), encryption=encryption, pipeline_depth=self.rng.choice([1, 1, 2, 3])
        )

    def plan(self):
        if self.rng.random() < 0.8:
            return super().plan()
        cluster, rng = self.cluster, self.rng
        steps, pause = rng.randrange(self.length), rng.randrange(1, self.length // 3)
        order = rng.sample(range(cluster.quorums.nodes), cluster.quorums.nodes)
        size = rng.randrange(1, len(order))
        cluster.at(steps, lambda: cluster.network.cut([order[:size], order[size:]]))
        cluster.at(steps + pause, cluster.network.heal)
        return "partition", order[:size], steps, pause

    def finish(self) -> None:
        """Disks are slow for a while. In some runs nothing is certified, so that nobody can take blocks over: what
        lingers of committed epochs, and what is said again after a crash, must be enough for the slowest node."""
        cluster, disk = self.cluster, random.Random(f"disk {self.seed}")
        eagerness = self.rng.choice([1.0, 0.1, 0.01])
        cluster.disk = cluster.certify = lambda node, epoch: disk.random() < eagerness
        if self.rng.random() < 0.3:
            self.without_certificates()
            cluster.run(lambda: not cluster.planned)
            cluster.run_until_committed(sorted(cluster.submitted))
            return

        def hurry() -> None:
            cluster.disk = cluster.certify = lambda node, epoch: True

        cluster.at(2 * self.length, hurry)
        cluster.run(lambda: not cluster.planned)
        finish(cluster)


class Mmr14Agreement(Agreement):
    """Flawed, but not so that random orders stall it."""

    agreement = "mmr14"


class CrainAgreement(Agreement):
    length, votes = 220, 22
    agreement = "crain20"


class CrainEpochs(Epochs):
    agreement = "crain20"


class AvidSubset(Subset):
    broadcast = "avid"


class BrachaSubset(Subset):
    broadcast = "bracha"


class AvidEpochs(Epochs):
    broadcast = "avid"


class BrachaEpochs(Epochs):
    broadcast = "bracha"


OF_AGREEMENTS = (Agreement, Mmr14Agreement, CrainAgreement, CrainEpochs)
OF_BROADCASTS = (Broadcast, AvidBroadcast, BrachaBroadcast, Subset, AvidSubset, BrachaSubset)
OF_EPOCHS = (Epochs, AvidEpochs, BrachaEpochs)
SEARCHES = (*OF_AGREEMENTS, *OF_BROADCASTS, *OF_EPOCHS)
