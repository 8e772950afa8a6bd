"""Attacks on who owes whom a shard: shards that are withheld, and shards that are asked for without need."""

from collections import deque
from collections.abc import Sequence

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Allowance, Recent
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.messages import Echo, EchoHash, Ready, Val, Want
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.honey_badger.places import is_holder
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.wire import Message


class _NeedsWant(Adversary):
    """Of no use where nobody votes by hash."""

    @classmethod
    def unfit(cls, parameters: Parameters) -> str:
        broadcast = HoneyBadgerParameters.of(parameters).broadcast
        if BROADCASTS[broadcast].has_want:
            return ""
        return f"is an attack on broadcast hash-echo: in {broadcast} nobody votes by hash or asks for a shard"


class WithholdShards(_NeedsWant):
    """Votes by hash where it owes the shard, its own proposal's too, and answers no WANT.

    Correct nodes must get the shards from others, by WANT: WITHHELD_SHARD.
    """

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, Echo):
            return [message]
        holds = is_holder(self.me, message.proposer, self.quorums)
        return [EchoHash(message.epoch, message.proposer, message.root)] if holds else []


class SilentHolder(Adversary):
    """Sends no ECHO at all, neither where it owes the shard nor in answer to WANT; else it is honest.

    Correct nodes must go on without its votes, and get the shards by WANT. Nothing can be proven: its ECHO might be
    slow.
    """

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        return [] if isinstance(message, Echo) else [message]


class WantFlood(_NeedsWant):
    """In addition to honest work, WANTs to everybody for every root that it hears of, and for roots that nobody has.

    The first are sent when it hears of a root, before most have voted, and they are repeated ever after, at most
    `PER_SECOND` a second.

    Correct nodes must answer at most once per broadcast, and only with what they voted for; so the liar gets what a
    full ECHO of everybody would have brought it. Nothing can be proven: it might lack the shards.
    """

    PER_SECOND = 2000
    AT_ONCE = 400
    #: WANTs to be repeated
    REMEMBERED = 2000

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._known: Recent[tuple[int, int, bytes], bool] = Recent(self.REMEMBERED)
        self._wants: deque[Want] = deque(maxlen=self.REMEMBERED)
        self._allowance = Allowance(self.PER_SECOND / len(self.others), self.AT_ONCE)

    def witness(self, sender: int, message: Message) -> None:
        if isinstance(message, Val | Echo | EchoHash | Ready):
            key = (message.epoch, message.proposer, message.root)
            if key not in self._known:
                self._known[key] = True
                for root in (message.root, self.context.randbytes(32)):
                    want = Want(message.epoch, message.proposer, root)
                    self._wants.append(want)
                    self.send_others(want)

    def tick(self, now: float) -> None:
        for _ in range(self._allowance.take(now)):
            if self._wants:
                self.send_others(self._wants[self.number(len(self._wants))])
