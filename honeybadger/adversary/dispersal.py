"""Proposals that are broadcast otherwise than an honest node does."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from crypto.erasure import ErasureCode
from crypto.errors import InvalidCodeword
from crypto.merkle import MerkleTree, verify_branch
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Recent
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, Val
from honeybadger.protocols.honey_badger.places import is_holder, place_of
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.wire import Message

#: epochs whose false proposals are remembered; more than a node works on at a time
EPOCHS = 16


def erasure_code(context: Context) -> ErasureCode:
    """The code that proposals are dispersed with."""
    return context.public_keys.suite.code(context.quorums.data_shards, context.quorums.nodes)


def dispersal(shards: Sequence[bytes], epoch: int, proposer: int) -> list[Val]:
    """The VALs that commit to these very shards, codeword or not; the k-th is for node k. Without shards, none."""
    if not shards:
        return []
    tree = MerkleTree(shards)
    places = [place_of(node, proposer, len(shards)) for node in range(len(shards))]
    return [Val(epoch, proposer, tree.root, tree.branch(place), shards[place]) for place in places]


def echo_of(val: Val) -> Echo:
    """The ECHO that an honest holder answers a VAL with, and any honest node a WANT."""
    return Echo(val.epoch, val.proposer, val.root, val.branch, val.shard)


def vote_of(val: Val, node: int, quorums: Quorums) -> Echo | EchoHash:
    """What honest node `node` answers its VAL with."""
    holds = is_holder(node, val.proposer, quorums)
    return echo_of(val) if holds else EchoHash(val.epoch, val.proposer, val.root)


class FalseProposer(Adversary, ABC):
    """Disperses shards of its own making in place of its honest proposal, and echoes them.

    Its own object is sent the honest VAL and ECHO, so it takes no part in its own broadcast until the others'
    READYs convince it.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.code = erasure_code(context)
        self._vals: Recent[int, Sequence[Val]] = Recent(EPOCHS)
        #: (epoch, proposer, root) → shards of others' broadcasts by place
        self._overheard: Recent[tuple[int, int, bytes], dict[int, bytes]] = Recent()

    @abstractmethod
    def shards(self, epoch: int) -> Sequence[bytes]:
        """What to disperse: one shard per node, or nothing yet; called once per epoch."""

    def disperse_late(self, epoch: int, shards: Sequence[bytes]) -> None:
        """Send what `shards` did not have yet when the honest object proposed."""
        self._vals[epoch] = dispersal(shards, epoch, self.me)
        for node in self.others:
            self.outbox.send(node, self._vals[epoch][node])

    def overhear(self, sender: int, echo: Echo) -> Sequence[bytes] | None:
        """The codeword of another node's broadcast, once ECHOs have shown just enough of it."""
        place = place_of(sender, echo.proposer, self.quorums.nodes)
        if not verify_branch(echo.root, self.quorums.nodes, place, echo.shard, echo.branch):
            return None
        shards = self._overheard.once((echo.epoch, echo.proposer, echo.root), dict)
        shards[place] = echo.shard
        if len(shards) != self.quorums.data_shards:
            return None
        try:
            return self.code.complete(shards)
        except InvalidCodeword:
            # The proposer is faulty, too.
            return None

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        match message:
            case Val(proposer=self.me):
                epoch = message.epoch
                vals = self._vals.once(epoch, lambda: dispersal(self.shards(epoch), epoch, self.me))
                return [vals[recipient]] if vals else []
            case Echo(proposer=self.me):
                vals = self._vals.get(message.epoch, [])
                return [echo_of(vals[self.me])] if vals else []
        return [message]
