"""One agreement among four nodes, with and without the attack on its coin: how many rounds until all have decided."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.honey_badger.parameters import Agreement, CoinSchedule, HoneyBadgerParameters
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.simulation.cluster import SimulatedCluster, Strategy
from honeybadger.simulation.coin_attack import CoinAttack
from honeybadger.simulation.lone_agreement import LoneAgreement, with_ideal_coins
from honeybadger.simulation.schedulers import shuffled

NODES = 4


@dataclass(frozen=True)
class Outcome:
    """`rounds`: that the slowest correct node began; `decisions`: node → bit, of those that have decided; `faults`: by
    correct nodes about each other."""

    rounds: int
    decisions: dict[int, int]
    inputs: dict[int, int]
    faults: int

    @property
    def stalled(self) -> bool:
        """Whether nobody has decided."""
        return not self.decisions

    @property
    def safe(self) -> bool:
        """Whether decisions agree and are inputs, and no correct node was accused."""
        chosen = set(self.decisions.values())
        return len(chosen) <= 1 and chosen <= set(self.inputs.values()) and not self.faults


def attempt(
    agreement: Agreement,
    seed: int,
    *,
    attack: bool,
    most_rounds: int,
    schedule: CoinSchedule = "every-round",
    ideal_coins: bool = True,
) -> Outcome:
    """Run until all three correct nodes have decided, or one begins round `most_rounds`.

    Inputs are two against one, drawn with the roles and the coins from `seed`. Without the attack the fourth node is
    silent, and messages are shuffled. `ideal_coins`: without pairings.
    """
    rng = random.Random(f"attempt {seed}")
    first, second, trailing, faulty = rng.sample(range(NODES), NODES)
    bit = rng.getrandbits(1)
    inputs = {first: bit, second: bit, trailing: 1 - bit}
    decisions: dict[int, int] = {}
    made: list[LoneAgreement] = []

    def build(context: Context) -> ConsensusProtocol:
        if ideal_coins:
            context = with_ideal_coins(context, seed)
        me = context.me
        made.append(LoneAgreement(context, inputs[me], lambda value: decisions.update({me: value})))
        return made[-1]

    attacker = CoinAttack((first, second), trailing)
    cluster = SimulatedCluster(
        NODES,
        seed,
        scheduler=attacker if attack else shuffled,
        parameters=HoneyBadgerParameters(agreement=agreement, coin_schedule=schedule),
        byzantine={faulty: attacker if attack else Strategy()},
        specification=replace(SPECIFICATION, build=build),
    )
    if ideal_coins:
        liar = cluster.byzantine[faulty]
        liar.context = with_ideal_coins(liar.context, seed)
    cluster.start()
    cluster.run(lambda: len(decisions) == len(inputs) or max(one.agreement.round for one in made) >= most_rounds)
    return Outcome(
        max(one.agreement.rounds for one in made) if len(decisions) == len(inputs) else most_rounds,
        decisions,
        inputs,
        sum(fault.node in inputs for fault in cluster.network.faults),
    )
