"""Proposals that are broadcast otherwise than an honest node does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from crypto.erasure import ErasureCode
from crypto.merkle import MerkleTree
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Recent
from honeybadger.protocols.base import Context
from honeybadger.protocols.messages import Echo, Message, Val
from honeybadger.protocols.quorums import Quorums

#: epochs whose false proposals are remembered; more than a node works on at a time
EPOCHS = 16


def erasure_code(quorums: Quorums) -> ErasureCode:
    """The code that proposals are dispersed with."""
    return ErasureCode(quorums.data_shards, quorums.nodes)


def dispersal(shards: Sequence[bytes], epoch: int, proposer: int) -> list[Val]:
    """The VALs that commit to these very shards, codeword or not; the k-th is for node k."""
    tree = MerkleTree(shards)
    return [Val(epoch, proposer, tree.root, tree.branch(k), shard) for k, shard in enumerate(shards)]


def echo_of(val: Val) -> Echo:
    """The ECHO that an honest node answers a VAL with."""
    return Echo(val.epoch, val.proposer, val.root, val.branch, val.shard)


class FalseProposer(Adversary, ABC):
    """Disperses shards of its own making in place of its honest proposal, and echoes them.

    Its own object is sent the honest VAL and ECHO, so it takes no part in its own broadcast until the others'
    READYs convince it.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.code = erasure_code(context.quorums)
        self._vals: Recent[int, Mapping[int, Val]] = Recent(EPOCHS)

    @abstractmethod
    def shards(self, epoch: int) -> Sequence[bytes] | None:
        """What to disperse (one shard per node), None for nothing yet; called once per epoch."""

    def disperse(self, epoch: int, shards: Sequence[bytes]) -> Mapping[int, Val]:
        """Make and remember the VALs of an epoch."""
        vals = dict(enumerate(dispersal(shards, epoch, self.me)))
        self._vals[epoch] = vals
        return vals

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        match message:
            case Val(proposer=self.me):
                vals = self._vals.get(message.epoch)
                if vals is None:
                    shards = self.shards(message.epoch)
                    vals = self.disperse(message.epoch, shards) if shards else {}
                    self._vals[message.epoch] = vals
                return [vals[recipient]] if recipient in vals else []
            case Echo(proposer=self.me):
                vals = self._vals.get(message.epoch) or {}
                return [echo_of(vals[self.me])] if vals else []
        return [message]
