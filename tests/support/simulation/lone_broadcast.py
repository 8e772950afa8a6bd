"""One reliable broadcast alone, as a protocol: for thousands of runs."""

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, Ready, Val, Vote, Want
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.honey_badger.shard_answers import ShardAnswers
from honeybadger.protocols.honey_badger.shards_wanted import ShardsWanted
from honeybadger.protocols.wire import Message
from support.byzantine.scripted import deliver

#: the only epoch there is
EPOCH = 1


class LoneBroadcast(ConsensusProtocol):
    """`proposer`'s broadcast of `value`, as the parameters name it; `delivered`: what this node has delivered."""

    def __init__(self, context: Context, proposer: int, value: bytes) -> None:
        self._context, self._proposer, self._value, self._begun = context, proposer, value, False
        self.delivered: list[bytes] = []
        kind = BROADCASTS[HoneyBadgerParameters.of(context.parameters).broadcast]
        quorums = context.quorums
        code = context.public_keys.suite.code(quorums.data_shards, quorums.nodes)
        self._wanted = ShardsWanted(quorums, context.timers)
        self._answers = ShardAnswers(context.me, quorums, context.journal, context.outbox) if kind.has_want else None
        self.instance = kind(
            context.me,
            EPOCH,
            proposer,
            quorums,
            code,
            kind.shard_limit(code, 1000),
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

    def timeout(self, name: str) -> None:
        self._wanted.look()

    def poke(self) -> None:
        if self._begun:
            return
        self._begun = True
        for vote, _, _, value in self._context.journal.votes(EPOCH):
            self.instance.resume(Vote(vote), value)
        if self._context.me == self._proposer:
            self.instance.broadcast(self._value)

    def handle(self, sender: int, message: Message) -> None:
        if getattr(message, "proposer", None) != self._proposer or message.epoch != EPOCH:
            return
        if isinstance(message, Val | Echo | EchoHash | Ready):
            deliver(self.instance, sender, message)
            assert self.instance.held_bytes <= self.instance.most_held
        elif isinstance(message, Want) and self._answers is not None:
            self._answers.handle_want(sender, message)
