"""Random runs of HotStuff with liars, crashes, lost journals and partitions, drawn from one seed each."""

import random
from collections import defaultdict
from unittest.mock import patch

from honeybadger.adversary.outbox import FilteredOutbox
from honeybadger.protocols.hotstuff import SPECIFICATION, pacemaker
from honeybadger.protocols.hotstuff.messages import Certificates, Proposal, Timeout, Vote
from honeybadger.simulation.cluster import HoldsBack, Strategy
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.restartable_node import CrashPoint
from honeybadger.simulation.schedulers import Late, Starve, fifo
from support.hotstuff.schemer import Schemer
from support.pbft.search import Plan

#: virtual seconds after which the schedule is fair and nobody crashes any more; deliveries within which all is done
UNFAIR_S, ENOUGH = 0.6, 30_000
LOST = 0.08


class Liar(Strategy):
    """Two correct objects with one identity that forget whom they voted for: each votes, and proposes, for itself.

    What they say reaches, kind by kind, a random part of the nodes: so they equivocate, vote twice and withhold
    certificates, time-outs and votes.
    """

    def __init__(self, seed):
        self._rng = random.Random(f"liar {seed}")
        self._heard = self._rng.choice([0.5, 0.8, 1.0])
        self._told = self._rng.choice([0.3, 0.6, 1.0])

    def start(self, node):
        nodes = node.context.quorums.nodes
        self.own_transactions = [b"%d of liar %d" % (k, node.me) for k in range(4)]
        node.submit(self.own_transactions)
        self._me = node.me
        self._sides = [{other for other in range(nodes) if self._rng.random() < 0.6} for _ in range(2)]
        objects = [
            node.honest(FilteredOutbox(node.outbox, nodes, lambda to, m, side=side: self._say(to, m, side)))
            for side in self._sides
        ]
        self._links = [HoldsBack(each) for each in objects]
        for each in objects:
            each.poke()

    def receive(self, node, sender, message):
        for link in self._links:
            if sender == self._me or self._rng.random() < self._heard:
                link.receive(sender, message)

    def _say(self, recipient, message, side):
        if recipient == self._me:
            return [message]
        if isinstance(message, Vote):
            return [message]
        if isinstance(message, Proposal) and recipient not in side:
            return []
        return [message] if self._rng.random() < self._told else []


class Witness:
    """Sees all messages: what correct nodes vote for, in all of their lives."""

    def __init__(self, made):
        self._made = made
        self._votes = {}
        self._stopped = defaultdict(int)
        self._transmit = made.network.transmit
        made.network.transmit = self

    def __call__(self, sender, recipient, message):
        if sender in self._made.nodes and sender not in self._made.excused:
            vote = message.vote if isinstance(message, Vote | Timeout) else None
            if vote is not None and vote.view:
                known = self._votes.setdefault((sender, vote.view), vote.block)
                assert known == vote.block, f"node {sender} voted twice in view {vote.view}"
            if isinstance(message, Vote):
                assert vote.view > self._stopped[sender], f"node {sender} voted in view {vote.view}, given up"
            if isinstance(message, Timeout):
                self._stopped[sender] = max(self._stopped[sender], message.view)
        self._transmit(sender, recipient, message)


def late(rng):
    """Of some kinds of messages many come late: views fail with blocks that are certified, and branches compete."""
    kinds = tuple(rng.sample([Proposal, Vote, Timeout, Certificates], rng.randint(1, 3)))
    share, by = rng.choice([0.2, 0.4, 0.6]), rng.choice([50, 100, 200])

    def schedule(step, sender, recipient, message, rng):
        is_late = isinstance(message, kinds) and rng.random() < share
        return step + rng.random() * 20 + (rng.random() * by if is_late else 0)

    return schedule


def search_run(seed, chain=None, scheme=None):
    """One run; every choice comes from the seed. Raises AssertionError if anything is wrong. Returns the cluster.

    `scheme`: whether a schemer among four nodes, and time-outs shorter than delays, are all that goes wrong; None: for
    a third of the seeds.
    """
    rng = random.Random(f"hotstuff {seed}")
    scheme = rng.random() < 0.33 if scheme is None else scheme
    nodes = 4 if scheme else rng.choice([4, 4, 4, 5, 7])
    f = (nodes - 1) // 3
    liars = sorted(rng.sample(range(nodes), rng.randint(0 if rng.random() < 0.3 and not scheme else f, f)))
    # A node that loses its votes counts as faulty.
    lost = rng.random() < LOST and len(liars) < f and not scheme
    chain = chain or rng.choice(["three", "three", "two"])
    parameters = SPECIFICATION.parameters(
        batch_size=rng.choice([1, 2, 3]),
        epoch_window=rng.choice([2, 4, 8]),
        max_proposal_bytes=1 << 17,
        view_timeout_s=rng.choice([0.01, 0.015, 0.025] if scheme else [0.03, 0.1, 0.2]),
        chain=chain,
    )
    others = [Late(30), Late(200), Starve([rng.randrange(nodes)], patience=300)]
    scheduler = late(rng) if scheme else rng.choice([late(rng), late(rng), *others])
    made = RestartableCluster(
        nodes,
        seed,
        specification=SPECIFICATION,
        parameters=parameters,
        scheduler=scheduler,
        byzantine={me: (Schemer if scheme else rng.choice([Liar, Schemer]))(seed * 10 + me) for me in liars},
        forgetful=[me for me in liars if rng.random() < 0.5],
        ideal=True,
    )
    Witness(made)
    for me in made.correct:
        made.submit(me, [b"%d of %d" % (k, me) for k in range(rng.randint(1, 4))])
    plan = Plan(made.network)
    for _ in range(0 if scheme else rng.randrange(6)):
        when, pause = rng.uniform(0.02, UNFAIR_S), rng.uniform(0, 0.2)
        for me in made.correct if rng.random() < 0.15 else [rng.choice(made.correct)]:
            if rng.random() < 0.6:
                point = (rng.randint(1, 12), rng.choice(list(CrashPoint)))
                plan.at(when, lambda me=me, point=point: setattr(made.live[me], "crash_at", point))
                plan.at(when + 3 * pause, lambda me=me: made.restart(me))
            else:
                plan.at(when, made.live[me].crash)
                plan.at(when + pause, lambda me=me: made.restart(me))
    if rng.random() < 0.3 and not scheme:
        sides = [[], []]
        for node in range(nodes):
            sides[rng.randrange(2)].append(node)
        when = rng.uniform(0.02, UNFAIR_S)
        plan.at(when, lambda: made.network.cut(sides))
        plan.at(when + rng.uniform(0.05, 0.5), made.network.heal)
    if lost:
        me, when = rng.choice(made.correct), rng.uniform(0.05, UNFAIR_S)
        made.excused.add(me)

        def lose():
            made.live[me].crash()
            made.live[me].journal.lose(rng.randint(2, 6) + len(made.live[me].ledger.blocks))

        plan.at(when, lose)
        plan.at(when + 0.05, lambda: made.restart(me))
    for k in range(30 if scheme else rng.randint(0, 10)):
        plan.submit(made, rng.choice(made.correct), b"later %d" % k, rng.uniform(0.05, UNFAIR_S))

    # Impatient nodes fail more views.
    doublings = pacemaker.MOST_DOUBLINGS

    def fair():
        pacemaker.MOST_DOUBLINGS = doublings
        made.network.heal()
        made.network.schedule_by(fifo)
        for me, node in made.live.items():
            node.crash_at = None
            if not node.up:
                made.restart(me)

    plan.at(2 * UNFAIR_S, fair)
    made.start()
    wanted = made.submitted

    def done():
        return all(
            node.up and wanted <= node.ledger._committed for me, node in made.live.items() if me not in made.excused
        )

    # What a node that has lost its votes was given waits until it leads again.
    wanted = {tx for tx in wanted if not any(tx.endswith(b" of %d" % me) for me in made.excused)}
    with patch.object(pacemaker, "MOST_DOUBLINGS", 0 if scheme else doublings):
        try:
            made.run(lambda: not plan.left and done(), ENOUGH if not lost else ENOUGH // 6)
        except Stalled:
            if not lost:
                raise
    made.network.faults = [fault for fault in made.network.faults if fault.node not in made.excused]
    made.check()
    return made
