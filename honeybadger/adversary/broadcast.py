"""Attacks on reliable broadcast."""

from collections.abc import Sequence

from msgspec.structs import replace

from honeybadger.adversary.base import EMPTY_BATCH, Adversary, flipped
from honeybadger.adversary.bounded import Recent
from honeybadger.adversary.dispersal import EPOCHS, Copies, FalseProposer, dispersal, echo_of, erasure_code
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, Ready, Val
from honeybadger.protocols.wire import Message


class EquivocateBroadcast(Adversary):
    """Two valid proposals under two roots, one for each half of the nodes; votes and READY tell each half its own.

    In other nodes' broadcasts one half is told the truth and the other half a root that the node made up. The halves
    change with every epoch. The second proposal is an empty batch, so no unknown transaction gets in.

    Correct nodes must deliver at most one of the two, all the same one, and everybody else's proposals. No fault can
    be proven: each node hears of one root only, and roots of different recipients are never compared.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._code = erasure_code(context)
        self._coded = not isinstance(self._code, Copies)
        self._second: Recent[int, list[Val]] = Recent(EPOCHS)
        #: by proposer: the VAL that it did not send
        self._invented = [
            dispersal([bytes(64)] * context.quorums.nodes, 0, j, self._coded)[self.me]
            for j in range(context.quorums.nodes)
        ]

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        if (recipient + message.epoch) % 2 == 0:
            return [message]
        match message:
            case Val(proposer=self.me):
                return [self._second_proposal(message.epoch)[recipient]]
            case Echo(proposer=self.me):
                own = self._second_proposal(message.epoch)[self.me]
                # READY at once: nobody could know that it comes too early.
                return [echo_of(own), Ready(message.epoch, self.me, own.root)]
            case Ready(proposer=self.me):
                return []
            case Echo():
                return [replace(echo_of(self._invented[message.proposer]), epoch=message.epoch)]
            case EchoHash() | Ready():
                return [replace(message, root=self._invented[message.proposer].root)]
        return [message]

    def _second_proposal(self, epoch: int) -> list[Val]:
        def make() -> list[Val]:
            value = self.encrypt(epoch, EMPTY_BATCH) if self.encrypted(epoch) else EMPTY_BATCH
            return dispersal(self._code.encode(value), epoch, self.me, self._coded)

        return self._second.once(epoch, make)


class BadShards(FalseProposer):
    """Shards that are no codeword, under one valid root; in others' broadcasts ECHOs that prove nothing.

    By turns one shard is wrong, every second one, or one is longer than the rest; ECHOs, also those in answer to WANT,
    have a wrong or missing branch, a wrong shard or none at all.

    Correct nodes must abort the broadcast, all of them, and leave the node out of the subset: BAD_CODEWORD. The
    spoilt ECHOs are dropped: BAD_BRANCH, BAD_SHARD_LENGTH.

    With broadcast bracha, where there are no shards, the wrong ones are other values, under hashes of their own.
    Correct nodes must deliver one of them at most, all the same one. Spoilt ECHOs: BAD_BRANCH.
    """

    def shards(self, epoch: int) -> Sequence[bytes]:
        shards = self.code.encode(self.encrypt(epoch, EMPTY_BATCH))
        nodes = self.quorums.nodes
        broken = range(0, nodes, 2) if epoch % 3 == 1 else [self.number(nodes)]
        for k in broken:
            shards[k] = shards[k] * 2 if epoch % 3 == 2 else flipped(shards[k])
        return shards

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, Echo) or message.proposer == self.me:
            return super().lie(recipient, message)
        spoilt = (
            replace(message, branch=bytes(len(message.branch) or 32)),
            replace(message, shard=b""),
            replace(message, branch=b"" if message.branch else bytes(1)),
            replace(message, shard=flipped(message.shard)),
        )
        return [spoilt[(message.epoch + message.proposer + recipient) % 4]]
