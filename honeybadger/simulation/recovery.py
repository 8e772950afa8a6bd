"""Nodes that crash and start again, on the in-memory network, and how they come to what they missed.

What the model takes over from a real node, in addition to what `restartable_node` models:

- Blocks reach the disk some time after the commit (`disk`). A block is certified at a node once f+1 nodes have it on
  disk, as far as the node can reach them. A node announces its newest certified epoch and prunes its journal up to
  there.
- Who is behind takes certified blocks over from any node it reaches: at once if it is far behind, else when nothing
  else happens.
"""

import random
from collections.abc import Callable, Collection
from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import Specification
from honeybadger.simulation.cluster import SimulatedApplication, SimulatedCluster
from honeybadger.simulation.journals import JournalModel
from honeybadger.simulation.network import InMemoryNetwork
from honeybadger.simulation.restartable_network import RestartableNetwork
from honeybadger.simulation.restartable_node import Ledger, RestartableNode
from honeybadger.simulation.schedulers import Order

#: this many epochs behind f+1 others, a node fetches blocks without waiting for a standstill
FAR_BEHIND = 4
#: after this many deliveries without a new block, a node fetches what any one node has, as a real one does after a
#: while: all others may have forgotten what it lacks, although messages keep coming
STANDSTILL_STEPS = 10_000


class RestartableCluster(SimulatedCluster):
    """A simulated cluster whose correct nodes may crash and restart; `how`: as for any simulated cluster.

    `make_journal(node)` is called once per node. `disk(node, epoch)` says whether the block may become durable now;
    `certify(node, epoch)` whether the node learns now that f+1 nodes have it. `far_behind`: see `FAR_BEHIND`; None:
    never.
    """

    MAX_STEPS = 200_000

    def __init__(
        self,
        nodes: int,
        seed: int = 0,
        *,
        make_journal: Callable[[int], JournalModel] = lambda node: JournalModel(),
        forgetful: Collection[int] = (),
        **how: Any,
    ) -> None:
        self._seed = seed
        self._forgetful = forgetful
        self._make_journal = make_journal
        self.live: dict[int, RestartableNode] = {}
        self.ledgers: dict[int, Ledger] = {}
        self.disk: Callable[[int, int], bool] = lambda node, epoch: True
        self.certify: Callable[[int, int], bool] = lambda node, epoch: True
        self.far_behind: int | None = FAR_BEHIND
        #: by node: its epoch when that last changed, and the step at which it did
        self._moved: dict[int, tuple[int, int]] = {}
        #: correct nodes that count as faulty for a while (their journal was lost)
        self.excused: set[int] = set()
        #: how many actions that `at` was asked for are still to come
        self.planned = 0
        super().__init__(nodes, seed, **how)
        self.network.idle = self._idle

    def at(self, steps: int, action: Callable[[], None]) -> None:
        """Do this when so many steps of virtual time have passed; a delivery takes one at least."""

        def happen() -> None:
            self.planned -= 1
            action()

        self.planned += 1
        self.network.clock.after(steps, happen)

    def restart(self, me: int) -> None:
        self.live[me].start()
        self.nodes[me] = self.live[me].protocol

    def poke(self, node: int) -> None:
        self.live[node].tick(self.live[node].protocol.poke)

    def is_up(self, node: int) -> bool:
        return self.live[node].up

    def run_until_durable(self, epoch: int) -> None:
        """Run until every correct node is up and has the block of `epoch` on disk, certified."""
        self.run(lambda: all(node.up and node.ledger.certified >= epoch for node in self.live.values()))

    def _idle(self) -> bool:
        """Nothing is left to deliver: disks finish, who is behind fetches blocks."""

        def progress() -> list[tuple[int, int, int]]:
            return [(each.certified, each.durable, len(each.blocks)) for each in self.ledgers.values()]

        before = progress()
        for node in self.live.values():
            if node.up:
                self._write(node)
            if node.up:
                self._catch_up(node, 1)
        return before != progress()

    def _after_tick(self, node: RestartableNode) -> None:
        self._write(node)
        if not node.up or self.far_behind is None:
            return
        epoch, steps = node.protocol.epoch, self.network.steps
        before, since = self._moved.get(node.me, (0, 0))
        if epoch != before:
            since = steps
            self._moved[node.me] = epoch, since
        self._catch_up(node, 1 if steps - since > STANDSTILL_STEPS else self.far_behind)

    def _write(self, node: RestartableNode) -> None:
        """The disk of a node makes progress, and its knowledge of what is on the others' disks."""
        ledger = node.ledger
        if ledger.certified >= len(ledger.blocks):
            return
        while ledger.durable < len(ledger.blocks) and self.disk(node.me, ledger.durable + 1):
            ledger.durable += 1
        if ledger.durable == ledger.certified:
            return
        reached = sorted((o.ledger.durable for o in self.live.values() if self._reaches(node, o)), reverse=True)
        weak = self.quorums.weak
        attested = min(ledger.durable, reached[weak - 1]) if len(reached) >= weak else 0
        if attested > ledger.certified and self.certify(node.me, attested):
            self._certified(node, attested)

    def _catch_up(self, node: RestartableNode, least: int) -> None:
        """Adopt certified blocks if f+1 others (or, after a standstill, one) are that far ahead."""
        needed = 1 if least == 1 else self.quorums.weak
        least += node.protocol.epoch - 1
        others = [other for other in self.live.values() if other.ledger.certified >= least]
        ahead = [other.ledger for other in others if self._reaches(node, other)]
        if len(ahead) < needed:
            return
        source = max(ahead, key=lambda other: other.certified)
        ledger, best = node.ledger, source.certified
        node.adopted += max(0, best - len(ledger.blocks))
        ledger.adopt(source.blocks[len(ledger.blocks) : best])
        ledger.durable = max(ledger.durable, best)
        self._certified(node, best)

    def _certified(self, node: RestartableNode, epoch: int) -> None:
        node.ledger.certified = epoch
        if node.protocol.epoch <= epoch:
            # It was running the epoch (again): its votes there are about to be forgotten.
            node.tick(lambda: node.protocol.skip_to(epoch + 1))
        if not node.up:
            return
        node.journal.prune(min(epoch, node.protocol.settled))
        if self._one_proposer:
            # A real node pokes in every tick; this is when PBFT has something to do then.
            node.tick(node.protocol.poke)
            if not node.up:
                return
        self.network.announce(node.me, epoch)  # type: ignore[attr-defined]

    def _reaches(self, node: RestartableNode, other: RestartableNode) -> bool:
        return other.up and self.network.connected(node.me, other.me)

    def _make_network(self, nodes: int, seed: int, scheduler: Order) -> InMemoryNetwork:
        return RestartableNetwork(nodes, seed, scheduler, self._forgetful)

    def _start_correct(self, me: int) -> None:
        self.live[me].start()

    def _make_application(self, me: int, rng: random.Random) -> SimulatedApplication:
        return Ledger(self.parameters.transactions_per_node(self.quorums.nodes), rng)

    def _add_correct(self, context: Context, specification: Specification) -> None:
        me = context.me
        ledger, network = context.application, self.network
        if not isinstance(ledger, Ledger) or not isinstance(network, RestartableNetwork):
            raise TypeError("a restartable node needs a restartable ledger and network")
        self.ledgers[me] = ledger
        journal = self._make_journal(me)
        node = RestartableNode(context, specification, network, ledger, journal, self._after_tick, self._seed)
        self.live[me] = node
        self.nodes[me] = node.protocol
