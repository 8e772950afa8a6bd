"""Random runs of PBFT with liars that could win, crashes and lost journals, drawn from one seed each."""

import random
from itertools import count

from honeybadger.adversary.pbft import Equivocate
from honeybadger.protocols.pbft import SPECIFICATION
from honeybadger.protocols.pbft.watch import REQUEST
from honeybadger.simulation.corrupt_node import Simulated
from honeybadger.simulation.network import Stalled
from honeybadger.simulation.recovery import RestartableCluster
from honeybadger.simulation.restartable_node import CrashPoint
from honeybadger.simulation.schedulers import Late, Starve, Together, fifo, shuffled
from honeybadger.simulation.search.pbft_witness import PBFTWitness
from support.pbft.replica import settings

#: virtual seconds after which the schedule is fair and nobody crashes any more; deliveries within which all is done
UNFAIR_S, ENOUGH = 1.0, 20_000
#: how likely it is that a node loses its journal
LOST = 0.1


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
    made = RestartableCluster(
        nodes,
        seed,
        specification=SPECIFICATION,
        parameters=parameters,
        scheduler=scheduler,
        byzantine={me: Simulated(Equivocate) for me in liars},
        forgetful=[me for me in liars if rng.random() < 0.5],
        ideal=True,
    )
    witness = PBFTWitness(made)
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
