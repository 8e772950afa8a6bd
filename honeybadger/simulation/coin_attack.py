"""The scheduler that learns the coin early, and its faulty node. It stalls MMR14 for as long as it runs.

N = 4: `leading` are two correct nodes with the same estimate v, `trailing` is the third with the opposite, and one node
is faulty. In each round:
  1. One leading node hears 2f+1 BVAL(not-v) first, the other 2f+1 BVAL(v), so their AUXs differ; then both values.
  2. They hear the AUXs of each other and of the faulty node, so both are left with {0, 1}. Without CONF they now reveal
     their shares of the coin. The faulty node adds its own share, and knows the coin s.
  3. The trailing node has heard nothing yet. Now it hears 2f+1 BVAL(not-s), and AUX(not-s) of a leading node and of the
     faulty one. With its own that is N-f: it is left with {not-s}, decides nothing, and keeps not-s.
  4. Everything else is delivered. The leading nodes take s, and the next round begins as this one did.

With CONF or Crain's algorithm the same moves are made, and the faulty node answers CONF({0, 1}) and ⊥. But when
the first share is out, the CONFs have bound what the trailing node can be left with.

The attack needs an unpredictable coin only where there is one: in rounds with a fixed coin it knows s beforehand. It
reads messages and decides on their order, as an asynchronous network may, and uses the faulty node's keys. It never
looks into a correct node. Every message is delivered in the end.

Source: MacBrough, in amiller/HoneyBadgerBFT issue 59; Tholoniat and Gramoli, arXiv:1909.07453.
"""

from __future__ import annotations

import random
from typing import Self

from honeybadger.protocols.honey_badger.messages import Aux, Aux2, BVal, BVal2, CoinShare, Conf, Term
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import ByzantineNode, Strategy
from honeybadger.simulation.lone_agreement import EPOCH, PROPOSER, identity_of
from honeybadger.simulation.schedulers import Scheduler, View

#: keys of one round are below those of the next
ROUND = 100
#: within a round: to the faulty node, and the moves in order
AT_ONCE, FIRST_VALUE, OTHER_VALUE, AUXS, BOUND, SHARES, STEERED, REST = range(8)
BOTH = 3


class CoinAttack(Scheduler, Strategy):
    """The faulty node learns each coin early, and keeps the nodes of an agreement apart.

    Both the faulty node's strategy and the network's scheduler: one object for the two.

    `leading`: two correct nodes, whose inputs must be the same; `trailing`: the third, with the other input. N = 4 and
    one `LoneAgreement` only.
    """

    needs = "one agreement alone, of four nodes: 0 and 1 have one input, 2 the other, and 3 is faulty and in league"
    whole_nodes = False

    def __init__(self, leading: tuple[int, int] = (0, 1), trailing: int = 2) -> None:
        self._leading, self._trailing = leading, trailing
        #: round → the leading nodes' estimate, and the coin as far as it is known
        self._estimates: dict[int, int] = {}
        self._coins: dict[int, int] = {}
        self._node: ByzantineNode | None = None

    def start(self, node: ByzantineNode) -> None:
        self._node = node

    # -- the scheduler -------------------------------------------------------------------------------------

    @classmethod
    def of(cls, argument: str, nodes: int) -> Self:
        if nodes != 4:
            raise ValueError(f"needs four nodes, not {nodes}")
        return super().of(argument, nodes)

    def begin(self, view: View) -> None:
        self._view = view

    def __call__(self, step: float, sender: int, recipient: int, message: Message, rng: random.Random) -> float:
        """The message's key: its round, and within it the move that it is part of."""
        if isinstance(message, Term):
            # As late as possible, without holding up what no round can bring any more.
            return (max(self._estimates, default=0) + 2) * ROUND
        number: int = getattr(message, "round", 0)
        if isinstance(message, BVal) and sender == self._leading[0] and number not in self._estimates:
            self._estimates[number] = int(message.value)
        return number * ROUND + self._move(number, sender, recipient, message)

    def _move(self, number: int, sender: int, recipient: int, message: Message) -> int:
        if recipient == self._trailing:
            return self._move_to_trailing(number, sender, message)
        if recipient not in self._leading:
            return AT_ONCE
        if isinstance(message, BVal):
            estimate = self._estimates.get(number)
            first = estimate if recipient == self._leading[1] or estimate is None else 1 - estimate
            return FIRST_VALUE if message.value == first else OTHER_VALUE
        if isinstance(message, CoinShare) or sender == self._trailing:
            return REST
        return AUXS if isinstance(message, Aux) else BOUND

    def _move_to_trailing(self, number: int, sender: int, message: Message) -> int:
        """Nothing while the coin is unknown; then its opposite first."""
        coin = self._coins.get(number)
        if coin is None or not isinstance(message, BVal | Aux) or message.value == coin:
            return REST
        return SHARES if isinstance(message, BVal) else STEERED

    # -- the faulty node -----------------------------------------------------------------------------------

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        number: int = getattr(message, "round", 0)
        if isinstance(message, BVal) and sender == self._leading[0] and self._estimates.get(number) == message.value:
            self._begin(node, number)
        elif isinstance(message, CoinShare) and number not in self._coins:
            context, identity = node.context, identity_of(node.context, number)
            shares = {sender: message.share, node.me: context.secret_keys.coin.sign_share(identity)}
            coin, _ = context.public_keys.coin.toss(identity, shares, set())
            if coin is not None:
                self._steer(node, number, coin)

    def _begin(self, node: ByzantineNode, number: int) -> None:
        """What the leading nodes need to be left with both values."""
        parameters = HoneyBadgerParameters.of(node.context.parameters)
        for value in (False, True):
            node.outbox.broadcast(BVal(EPOCH, PROPOSER, number, value))
        for leading in self._leading:
            node.outbox.send(leading, Aux(EPOCH, PROPOSER, number, bool(self._estimates[number])))
        if parameters.agreement != "mmr14":
            node.outbox.broadcast(Conf(EPOCH, PROPOSER, number, BOTH))
        if parameters.agreement == "crain20":
            node.outbox.broadcast(BVal2(EPOCH, PROPOSER, number, BOTH))
            node.outbox.broadcast(Aux2(EPOCH, PROPOSER, number, BOTH))
        if parameters.coin_schedule != "every-round" and number % 3 != 2:
            self._steer(node, number, 1 - number % 3)

    def _steer(self, node: ByzantineNode, number: int, coin: int) -> None:
        """The coin is known: leave the trailing node with its opposite."""
        self._coins[number] = coin
        node.outbox.send(self._trailing, Aux(EPOCH, PROPOSER, number, not coin))
        # The order of what is under way depends on it.
        self._view.reschedule()
