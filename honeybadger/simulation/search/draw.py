"""What a person wants to search, and how a case is drawn from it."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from honeybadger.protocols.contract import Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol
from honeybadger.simulation.search import liars as liar_names
from honeybadger.simulation.search.case import LENGTH, POINTS, VOTES, Case, Outage, Part

#: the schedule that is drawn
ANY = "any"
#: small enough that a liar can exceed them cheaply
LONGEST_TX, LONGEST_PROPOSAL = 2000, 8100

#: protocols that bring everything to everybody: without catch-up they must do so in a search, unless a node restarts
TOTAL = ("honeybadger",)

Draw = Callable[[random.Random], dict[str, Any]]


def _of_honeybadger(rng: random.Random) -> dict[str, Any]:
    """Encryption takes time, and seldom matters."""
    return {
        "encryption": rng.choice(["never"] * 5 + ["every:2", "always"]),
        "coin_schedule": rng.choice(["fixed-fixed-coin", "fixed-fixed-coin", "every-round"]),
        "pipeline_depth": rng.choice([1, 1, 2, 3]),
    }


def _of_pbft(rng: random.Random) -> dict[str, Any]:
    """Small batches make many numbers; patience is short beside the steps of a search."""
    return {
        "batch_size": rng.choice([2, 3]),
        "pipeline_depth": rng.randint(1, 2),
        "epoch_window": rng.choice([2, 4]),
        "view_timeout_s": rng.choice([0.1, 0.2, 0.5]),
    }


#: protocol → parameters to vary, and the liars to be met most often
VARIED: Mapping[str, Draw] = {"honeybadger": _of_honeybadger, "pbft": _of_pbft}
WORST = {"honeybadger": [liar_names.CONSPIRATOR], "pbft": ["equivocate", "vote-twice"]}


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """`nodes`: numbers of nodes to draw from; `faults`: None for the most that they allow.

    `schedule`: ANY draws the order, and whatever else is None, for each run; `parameters`: those that are chosen.
    `liars`: None: as many as f allows, or fewer. `restarts`, `crashes`: how many, at random moments. The rest is as in
    `Case`.
    """

    protocol: str = "honeybadger"
    part: Part = "whole"
    nodes: Sequence[int] = (4,)
    faults: int | None = None
    schedule: str = ANY
    parameters: Mapping[str, Any] = field(default_factory=dict)
    liars: Mapping[int, str] | None = None
    restarts: int | None = None
    crashes: int = 0
    waves: int | None = None
    transactions: int | None = None
    steps: int = 50_000
    ideal: bool = True

    def quorums(self, nodes: int) -> Quorums:
        """ValueError if so many nodes cannot tolerate the faults."""
        model = find_protocol(self.protocol).fault_model
        return model.quorums(nodes, model.largest_faults(nodes) if self.faults is None else self.faults)

    def record(self, nodes: int, varied: Mapping[str, Any]) -> Parameters:
        """The parameters, of which some are `varied`; ValueError, in one line, if they do not fit each other."""
        specification = find_protocol(self.protocol)
        longest = self.parameters.get("max_tx_bytes", LONGEST_TX)
        usual = {"batch_size": 4 * nodes, "max_tx_bytes": LONGEST_TX}
        usual["max_proposal_bytes"] = max(LONGEST_PROPOSAL, longest + 100)
        made = specification.parameters(**{**usual, **varied, **self.parameters})
        made.check(nodes)
        return made


def draw(wishes: Wishes, seed: int) -> Case:
    """The case of this seed: the same for the same wishes."""
    rng = random.Random(f"case {seed}")
    nodes = rng.choice(list(wishes.nodes))
    quorums = wishes.quorums(nodes)
    free = wishes.schedule == ANY
    vary = VARIED.get(wishes.protocol)
    varied = vary(rng) if vary and free else {}
    if "epoch_window" in wishes.parameters or "pipeline_depth" in wishes.parameters:
        # They must fit each other.
        varied = {name: value for name, value in varied.items() if name not in ("epoch_window", "pipeline_depth")}
    liars = _liars(wishes, quorums, rng, free)
    correct = [node for node in range(nodes) if node not in liars]
    outages = _outages(wishes, rng, correct, free)
    eager = rng.choice([1.0, 0.1, 0.01])
    restarted = any(outage.pause is not None for outage in outages)
    return Case(
        protocol=wishes.protocol,
        part=wishes.part,
        nodes=nodes,
        faults=quorums.faults,
        parameters=msgspec.structs.asdict(wishes.record(nodes, varied)),
        seed=seed,
        schedule=_schedule(find_protocol(wishes.protocol), rng, correct, LENGTH[wishes.part])
        if free
        else wishes.schedule,
        fair_after=rng.randrange(LENGTH[wishes.part], 4 * LENGTH[wishes.part]) if free else None,
        liars=liars,
        forgetful=[node for node in liars if rng.random() < 0.5],
        outages=outages,
        waves=wishes.waves or (rng.choice([1, 1, 2, 3]) if free else 1),
        transactions=wishes.transactions or (rng.choice([1, 3, 6]) if free else 3),
        steps=wishes.steps,
        ideal=wishes.ideal,
        disk=eager if restarted else 1.0,
        catch_up=wishes.protocol not in TOTAL or (restarted and rng.random() < 0.7),
    )


def _liars(wishes: Wishes, quorums: Quorums, rng: random.Random, free: bool) -> dict[int, str]:
    if wishes.liars is not None or not free:
        return dict(wishes.liars or {})
    most = max(0, quorums.faults - wishes.crashes)
    nodes = sorted(rng.sample(range(quorums.nodes), rng.choice([*range(most + 1), most])))
    worst = WORST.get(wishes.protocol, [liar_names.TWINS])
    # The first primary is the one to lie in a protocol that has one.
    if nodes and find_protocol(wishes.protocol).has_leader and rng.random() < 0.5:
        nodes[0] = 0
    others = [liar_names.TWINS] if wishes.part != "whole" else liar_names.names(wishes.protocol)
    kinds = [rng.choice(worst), rng.choice(worst), rng.choice(worst), liar_names.TWINS, rng.choice(others)]
    return {node: rng.choice(kinds) for node in nodes}


def _outages(wishes: Wishes, rng: random.Random, correct: Sequence[int], free: bool) -> list[Outage]:
    length, votes = LENGTH[wishes.part], VOTES[wishes.part]
    restarts = wishes.restarts
    if restarts is None:
        restarts = rng.choice([0, 0, 1, 2, 4]) if free else 0
    gone = rng.sample(correct, min(wishes.crashes, len(correct)))
    made = [Outage(node, rng.randrange(length), None) for node in gone]
    for _ in range(restarts):
        back = [node for node in correct if node not in gone]
        victims = [rng.choice(back)] if rng.random() < 0.8 else back
        point, at, pause = rng.choice(POINTS), rng.randrange(length), rng.randrange(1, length // 3)
        for node in victims:
            made.append(Outage(node, at, pause, point, 0 if point == POINTS[0] else rng.randrange(1, votes)))
    return made


def _schedule(specification: Specification, rng: random.Random, correct: Sequence[int], length: int) -> str:
    """Patience and lateness are below what a run takes, or there would be nothing to overtake."""
    some = rng.randrange(length // 10, length)
    orders = ["fifo", "lifo", "random", f"late:{some}", f"late:{3 * some}", f"biased:{some}", f"split:{some}"]
    orders += [f"starve:{rng.choice(correct)}+random"]
    if specification.has_leader:
        orders += [f"leader:{some}+random"]
    return rng.choice(orders)
