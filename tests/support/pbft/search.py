"""Random runs of PBFT with liars that could win, crashes and lost journals, drawn from one seed each."""

import random
from collections import defaultdict
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from unittest.mock import patch

from honeybadger.adversary.pbft import Equivocate
from honeybadger.protocols.batching.batch import batch_digest, decode_batch
from honeybadger.protocols.pbft import SPECIFICATION
from honeybadger.protocols.pbft.certificates import NULL
from honeybadger.protocols.pbft.messages import Batch, Commit, Prepare, PrePrepare, ViewChange
from honeybadger.protocols.pbft.watch import REQUEST
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.restartable_node import CrashPoint
from honeybadger.simulation.schedulers import Late, Starve, Together, fifo, shuffled
from support.pbft.replica import settings

#: virtual seconds after which the schedule is fair and nobody crashes any more; deliveries within which all is done
UNFAIR_S, ENOUGH = 1.0, 20_000
#: how likely it is that a node loses its journal
LOST = 0.1


class QuickKeys:
    """Keyed hashes in place of Ed25519: as hard to forge for a liar that has its own key only, and quick."""

    def __init__(self, node):
        self._node = node

    def sign(self, statement):
        return self._signature(self._node, statement)

    def verify(self, node, statement, signature):
        return self._signature(node, statement) == signature

    @staticmethod
    def _signature(node, statement):
        return blake2b(statement, key=b"secret of node %d" % node).digest()


@lru_cache
def quick_keys(nodes):
    keys = [QuickKeys(node) for node in range(nodes)]
    return keys[0], keys


class Witness:
    """Sees all messages: what correct nodes COMMIT, and which batch is behind a digest."""

    def __init__(self, made):
        self._made = made
        self._commits = defaultdict(set)
        self._prepares = defaultdict(set)
        self._batches = {}
        #: (correct node, kind, view, number) → digest; node → number → the highest view in which it sent COMMIT
        self._said = {}
        self._promised = defaultdict(dict)
        self._transmit = made.network.transmit
        made.network.transmit = self

    def __call__(self, sender, recipient, message):
        kind = type(message)
        if sender in self._made.nodes and sender not in self._made.excused:
            self._hold_to_its_word(sender, kind, message)
        if kind is Commit or kind is Prepare:
            if sender in self._made.nodes:
                votes = self._commits if kind is Commit else self._prepares
                votes[message.epoch, message.view, message.digest].add(sender)
        elif kind is PrePrepare or kind is Batch:
            self._batches[batch_digest(message.batch)] = message.batch
        self._transmit(sender, recipient, message)

    def _hold_to_its_word(self, sender, kind, message):
        """No correct node sends two PREPAREs, COMMITs or PRE-PREPAREs for one view and number, in any of its lives;
        what it promised with a COMMIT, its VIEW-CHANGEs claim."""
        promised = self._promised[sender]
        if kind in (PrePrepare, Prepare, Commit):
            key = (sender, kind, message.view, message.epoch)
            assert self._said.setdefault(key, message.digest) == message.digest, f"said twice: {key}"
            if kind is Commit:
                promised[message.epoch] = max(message.view, promised.get(message.epoch, 0))
        elif kind is ViewChange:
            claimed = {proof.number: proof.view for proof in message.prepared}
            for number, view in promised.items():
                if number > message.stable.number and view < message.view:
                    assert claimed.get(number, -1) >= view, f"node {sender} forgot its COMMIT of {number}"

    def check(self):
        """What f+1 correct nodes sent COMMIT for may be decided: one digest a number, for which alone correct nodes
        vote in later views; and that was executed."""
        made = self._made
        decided = defaultdict(set)
        for (number, view, digest), nodes in self._commits.items():
            if len(nodes) >= made.quorums.weak:
                decided[number].add(digest)
                for later, other in [key[1:] for key in self._prepares if key[0] == number]:
                    assert later <= view or other == digest, f"{number}: a vote against what was decided in view {view}"
        seen = set()
        for number, proposers, transactions in max((ledger.blocks for ledger in made.ledgers.values()), key=len):
            assert len(decided[number]) == 1, f"{number}: {len(decided[number])} batches were decided"
            (digest,) = decided[number]
            content = None
            if digest != NULL:
                content = decode_batch(self._batches[digest], made.parameters, made.quorums.nodes)
            assert proposers == (() if content is None else (content[0],)), f"{number}: another batch was executed"
            new = () if content is None else tuple(tx for tx in dict.fromkeys(content[1]) if tx not in seen)
            assert transactions == new, f"{number}: another batch was executed"
            seen.update(transactions)


class Plan:
    """What happens when, in virtual seconds."""

    def __init__(self, network):
        self._timers = network.timers(-1)
        self.left = {}
        self._names = count()
        self._timers.expired = lambda name: self.left.pop(name)()

    def at(self, when, action):
        name = str(next(self._names))
        self.left[name] = action
        self._timers.set(name, when)

    def lose(self, made, rng):
        """A node dies and loses its votes, and knows it (of a real journal a bound above 0 is left, or the ledger)."""
        me, when, margin = rng.choice(made.correct), rng.uniform(0.05, 0.8), rng.randint(1, 3)
        made.excused.add(me)

        # Shortly before, it may have left a view that the others stay in.
        self.give_up(made, me, when - rng.uniform(0, 0.05))

        def lose():
            made.live[me].crash()
            made.live[me].journal.lose(margin)

        self.at(when, lose)
        self.at(when + rng.uniform(0, 0.1), lambda: made.restart(me))

    def give_up(self, made, me, when):
        """A node loses its patience too early: clocks may do that."""

        def expire():
            protocol = made.live[me].protocol
            for _ in range(2):
                made.live[me].tick(lambda: protocol.timeout(REQUEST))

        self.at(when, expire)

    def submit(self, made, me, transaction, when):
        """A client gives a node a transaction."""
        made.submitted.add(transaction)

        def submit():
            made.submit(me, [transaction])
            made.poke(me)

        self.at(when, submit)


def search_run(seed):
    """One run; every choice comes from the seed. Raises AssertionError if anything is wrong. Returns the cluster."""
    rng = random.Random(f"pbft {seed}")
    nodes = rng.choice([4, 4, 4, 4, 4, 4, 5, 7])
    f = (nodes - 1) // 3
    liars = sorted(rng.sample(range(nodes), rng.randint(0 if rng.random() < 0.2 else f, f)))
    if liars and rng.random() < 0.5:
        liars[0] = 0
    # A node that loses its votes counts as faulty; with f liars as well, safety remains.
    lost = rng.random() < LOST
    live = not lost or len(liars) < f
    unfair_s = 3 * UNFAIR_S if lost else UNFAIR_S
    parameters = settings(
        batch_size=rng.choice([2, 3]),
        pipeline_depth=rng.randint(1, 3),
        epoch_window=2 if lost else rng.choice([2, 4]),
        view_timeout_s=rng.choice([0.1, 0.2, 0.5]),
    )
    scheduler = rng.choice(
        [Late(30), Late(200), Late(200), Together(shuffled, Starve([rng.randrange(nodes)], patience=300))]
    )
    with patch("honeybadger.simulation.cluster.dealt_signing_keys", quick_keys):
        made = RestartableCluster(
            nodes,
            seed,
            specification=SPECIFICATION,
            parameters=parameters,
            scheduler=scheduler,
            byzantine={me: Simulated(Equivocate) for me in liars},
            forgetful=[me for me in liars if rng.random() < 0.5],
        )
    witness = Witness(made)
    for me in made.correct:
        made.submit(me, [b"%d of %d" % (k, me) for k in range(rng.randint(1, 3))])
    plan = Plan(made.network)
    for _ in range(rng.randrange(4)):
        plan.give_up(made, rng.choice(made.correct), rng.uniform(0.02, unfair_s))
    for _ in range(rng.randrange(5)):
        when, pause = rng.uniform(0.02, 0.7), rng.uniform(0, 0.1)
        for me in made.correct if rng.random() < 0.1 else [rng.choice(made.correct)]:
            if rng.random() < 0.6:
                point = (rng.randint(1, 25), rng.choice(list(CrashPoint)))
                plan.at(when, lambda me=me, point=point: setattr(made.live[me], "crash_at", point))
                plan.at(when + 5 * pause, lambda me=me: made.restart(me))
            else:
                plan.at(when, made.live[me].crash)
                plan.at(when + pause, lambda me=me: made.restart(me))

    def fair():
        made.network.schedule_by(fifo)
        for me, node in made.live.items():
            node.crash_at = None
            if not node.up:
                made.restart(me)

    plan.at(unfair_s, fair)
    if lost:
        plan.lose(made, rng)
        for k in range(rng.randint(6, 16)):
            plan.submit(made, rng.choice(made.correct), b"later %d" % k, rng.uniform(0.1, unfair_s))
    made.start()
    wanted = made.submitted

    def done():
        return all(node.up and wanted <= node.ledger._committed for node in made.live.values())

    try:
        made.run(lambda: not plan.left and done(), ENOUGH if live else ENOUGH // 10)
    except Stalled:
        if live:
            raise
    made.network.faults = [fault for fault in made.network.faults if fault.node not in made.excused]
    made.check()
    witness.check()
    return made
