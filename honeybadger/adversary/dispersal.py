"""Proposals that are broadcast otherwise than an honest node does."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from crypto.erasure import ErasureCode
from crypto.errors import InvalidCodeword
from crypto.merkle import MerkleTree, verify_branch
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Recent
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.broadcast_bracha import hash_of
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, Val
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.honey_badger.places import is_holder, place_of
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.wire import Message

#: epochs whose false proposals are remembered; more than a node works on at a time
EPOCHS = 16


class Copies(ErasureCode):
    """What broadcast bracha has in place of a code: each shard is the value."""

    most_shards = 1 << 16

    def __init__(self, total: int) -> None:
        super().__init__(1, total)

    def shard_length(self, value_length: int) -> int:
        return value_length

    def encode(self, value: bytes) -> list[bytes]:
        return [value] * self.total

    def complete(self, shards: Mapping[int, bytes]) -> list[bytes]:
        return self.encode(next(iter(shards.values())))

    def value(self, shards: Sequence[bytes]) -> bytes:
        return shards[0]

    def _restore(self, used: tuple[int, ...], pieces: Sequence[bytes]) -> Sequence[bytes]:
        return [pieces[0]] * (self.total - 1)


def erasure_code(context: Context) -> ErasureCode:
    """The code that proposals are dispersed with."""
    if HoneyBadgerParameters.of(context.parameters).broadcast == "bracha":
        return Copies(context.quorums.nodes)
    return context.public_keys.suite.code(context.quorums.data_shards, context.quorums.nodes)


def dispersal(shards: Sequence[bytes], epoch: int, proposer: int, coded: bool = True) -> list[Val]:
    """The VALs that commit to these very shards, codeword or not; the k-th is for node k. Without shards, none.

    If they are not `coded`, each is a value under its own hash.
    """
    if not shards:
        return []
    places = [place_of(node, proposer, len(shards)) for node in range(len(shards))]
    if not coded:
        return [Val(epoch, proposer, hash_of(shards[place]), b"", shards[place]) for place in places]
    tree = MerkleTree(shards)
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
        self.coded = not isinstance(self.code, Copies)
        self._vals: Recent[int, Sequence[Val]] = Recent(EPOCHS)
        #: (epoch, proposer, root) → shards of others' broadcasts by place
        self._overheard: Recent[tuple[int, int, bytes], dict[int, bytes]] = Recent()

    @abstractmethod
    def shards(self, epoch: int) -> Sequence[bytes]:
        """What to disperse: one shard per node, or nothing yet; called once per epoch."""

    def disperse_late(self, epoch: int, shards: Sequence[bytes]) -> None:
        """Send what `shards` did not have yet when the honest object proposed."""
        self._vals[epoch] = dispersal(shards, epoch, self.me, self.coded)
        for node in self.others:
            self.outbox.send(node, self._vals[epoch][node])

    def overhear(self, sender: int, echo: Echo) -> Sequence[bytes] | None:
        """The codeword of another node's broadcast, once ECHOs have shown just enough of it."""
        place = place_of(sender, echo.proposer, self.quorums.nodes)
        # A value that is not coded is the only leaf.
        total, index = (self.quorums.nodes, place) if self.coded else (1, 0)
        if not verify_branch(echo.root, total, index, echo.shard, echo.branch):
            return None
        shards = self._overheard.once((echo.epoch, echo.proposer, echo.root), dict)
        shards[place] = echo.shard
        if len(shards) != self.code.data:
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
                vals = self._vals.once(epoch, lambda: dispersal(self.shards(epoch), epoch, self.me, self.coded))
                return [vals[recipient]] if vals else []
            case Echo(proposer=self.me):
                vals = self._vals.get(message.epoch, [])
                return [echo_of(vals[self.me])] if vals else []
        return [message]
