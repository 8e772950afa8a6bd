"""One reliable broadcast alone, as a protocol: for thousands of runs."""

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol, HeldBytes
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, Ready, Val, Vote, Want
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.honey_badger.shard_answers import ShardAnswers
from honeybadger.protocols.honey_badger.shards_wanted import ShardsWanted
from honeybadger.protocols.wire import Message

#: the only epoch there is
EPOCH = 1
#: bytes that a value may have
LONGEST_VALUE = 1000


class LoneBroadcast(ConsensusProtocol):
    """`proposer`'s broadcast of `value`, as the parameters name it; `delivered`: what this node has delivered."""

    def __init__(self, context: Context, proposer: int, value: bytes) -> None:
        self._context, self._proposer, self._value, self._begun = context, proposer, value, False
        self.delivered: list[bytes] = []
        quorums = context.quorums
        kind = BROADCASTS[HoneyBadgerParameters.of(context.parameters).broadcast]
        code = context.public_keys.suite.code(quorums.data_shards, quorums.nodes)
        self._wanted = ShardsWanted(quorums, context.timers)
        self._answers = ShardAnswers(context.me, quorums, context.journal, context.outbox) if kind.has_want else None
        self.instance = kind(
            context.me,
            EPOCH,
            proposer,
            quorums,
            code,
            kind.shard_limit(code, LONGEST_VALUE),
            context.outbox,
            self.delivered.append,
            self._wanted.add,
            context.journal,
        )

    @property
    def epoch(self) -> int:
        return EPOCH

    @property
    def horizon(self) -> int:
        return EPOCH

    @property
    def settled(self) -> int:
        return 0

    def poke(self) -> None:
        if self._begun:
            return
        self._begun = True
        for vote, _, _, value in self._context.journal.votes(EPOCH):
            self.instance.resume(Vote(vote), value)
        if self._context.me == self._proposer:
            self.instance.broadcast(self._value)

    def handle(self, sender: int, message: Message) -> None:
        instance = self.instance
        match message:
            case Val() | Echo() | EchoHash() | Ready() | Want() if message.proposer != self._proposer:
                self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, f"broadcast {message.proposer}")
            case Val():
                instance.handle_val(sender, message)
            case Echo():
                instance.handle_echo(sender, message)
            case EchoHash():
                instance.handle_echo_hash(sender, message)
            case Ready():
                instance.handle_ready(sender, message)
            case Want() if self._answers is not None:
                self._answers.handle_want(sender, message)
            case _:
                self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)

    def timeout(self, name: str) -> None:
        self._wanted.look()

    def skip_to(self, epoch: int) -> None:
        """There is one epoch."""

    def held_bytes(self) -> HeldBytes:
        held, cap = self.instance.held_bytes, self.instance.most_held
        return HeldBytes({EPOCH: held}, cap, held, cap)
