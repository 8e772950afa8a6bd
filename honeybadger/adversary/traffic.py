"""Attacks by silence, repetition and quantity."""

from collections import deque
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Allowance
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.messages import (
    Aux,
    BVal,
    CoinShare,
    Conf,
    DecryptionShares,
    Echo,
    Ready,
    Term,
    Val,
)
from honeybadger.protocols.wire import Message


class Silent(Adversary):
    """Says nothing about proposals, votes or blocks. (The links still greet, acknowledge and announce windows.)

    Correct nodes must go on without it. Nothing can be proven: it might be slow.
    """

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        return []


class Repeat(Adversary):
    """Says everything f+1 times.

    Correct nodes must count senders and not messages: f+1 votes of one node are one vote. Nothing can be proven: the
    same thing twice contradicts nothing.
    """

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        return [message] * self.quorums.weak


class Replay(Adversary):
    """Repeats, under its own name, what it has heard and said: as it was, and addressed to the present epoch.

    Of its memory (`REMEMBERED` messages, `REMEMBERED_BYTES` of shards), at most `PER_SECOND` messages a second.

    Correct nodes must ignore old epochs, and blame nobody but the sender: NOT_THE_PROPOSER for others' VALs in
    the present epoch; BAD_BRANCH for others' ECHOs, WITHHELD_SHARD for their hashes, EQUIVOCATION, and faults of
    shares and proposals bound to another epoch, where they come in time to be looked at.
    """

    REMEMBERED = 1000
    REMEMBERED_BYTES = 4 << 20
    PER_SECOND = 200
    AT_ONCE = 50

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._heard: deque[Message] = deque()
        self._bytes = 0
        # One thing goes to all others at a time.
        self._allowance = Allowance(self.PER_SECOND / len(self.others), self.AT_ONCE)
        self._val: Val | None = None
        self._turn = 0

    def witness(self, sender: int, message: Message) -> None:
        size = _size(message)
        if size > self.REMEMBERED_BYTES // 4:
            return
        if isinstance(message, Val) and sender != self.me:
            self._val = message
        # VALs are few, so they are always kept; of the rest, one in seven.
        if not isinstance(message, Val) and self.number(7):
            return
        self._heard.append(message)
        self._bytes += size
        while len(self._heard) > self.REMEMBERED or self._bytes > self.REMEMBERED_BYTES:
            self._bytes -= _size(self._heard.popleft())

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, Val) and recipient == self.others[0]:
            # Its own proposals, which it does not hear.
            self.witness(self.me, message)
        return [message]

    def tick(self, now: float) -> None:
        for _ in range(self._allowance.take(now) if self._heard else 0):
            self._turn += 1
            present = self.honest.epoch
            if self._turn % 10 == 0 and self._val is not None:
                self.send_others(replace(self._val, epoch=present))
                continue
            old = self._heard[self.number(len(self._heard))]
            # Not votes of other epochs: those would be legal votes of this one.
            if isinstance(old, Val | Echo | DecryptionShares | CoinShare) and self.number(3):
                old = replace(old, epoch=present)
            self.send_others(old)


class Flood(Adversary):
    """In addition to honest work, votes for far rounds, far epochs and unknown instances: `PER_SECOND` of them.

    Messages for epochs beyond the receiver's window are held back by this node's own links; they are sent only if the
    outbox has `send_now(node, message)`, which does without the window.

    Correct nodes must drop them without keeping anything, and go on: FUTURE_ROUND, NOT_A_MEMBER,
    UNEXPECTED_COIN_SHARE, WRONG_SHARE_SET, and FUTURE_EPOCH if such messages get out. Votes within the window of
    rounds are kept, so a later one may contradict them: EQUIVOCATION.
    """

    PER_SECOND = 2000
    AT_ONCE = 200

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._allowance = Allowance(self.PER_SECOND, self.AT_ONCE)
        self._turn = 0
        self._send_now: Callable[[int, Message], None] | None = getattr(context.outbox, "send_now", None)

    def tick(self, now: float) -> None:
        for _ in range(self._allowance.take(now)):
            self._turn += 1
            # All kinds to all nodes: the number of nodes may divide the number of kinds.
            recipient = self.others[self.number(len(self.others))]
            message = self._message()
            if message.epoch <= self.honest.horizon:
                self.outbox.send(recipient, message)
            elif self._send_now is not None:
                self._send_now(recipient, message)

    def _message(self) -> Message:
        """One of the kinds, in turn; rounds from 0 to 2^31, epochs up to 2^53."""
        present = self.honest.epoch
        proposer = self.number(self.quorums.nodes)
        far = 150 + self.number(2 ** (8 + self.number(22)))
        near = 1 + self.number(100)
        bad = self.context.public_keys.suite.lies.malformed()[0]
        distant = self.honest.horizon + 1 + self.number(2 ** (4 + self.number(48)))
        kinds: tuple[Callable[[], Message], ...] = (
            lambda: BVal(present, proposer, far, bool(far & 1)),
            lambda: Aux(present, proposer, far, bool(far & 1)),
            lambda: Conf(present, proposer, far, 3),
            lambda: BVal(present, proposer, near, bool(far & 1)),
            lambda: Aux(present, proposer, near, True),
            lambda: BVal(present, self.quorums.nodes + self.number(60_000), 0, True),
            lambda: Ready(present, 65_535, self.context.randbytes(32)),
            lambda: CoinShare(present, proposer, 3 * near, self.context.randbytes(len(bad))),
            lambda: DecryptionShares(present + 1, [(j, bad) for j in range(2 * self.quorums.nodes)]),
            lambda: BVal(max(0, present - near), proposer, near, False),
            lambda: Term(max(0, present - near), proposer, bool(far & 1)),
            lambda: BVal(distant, proposer, 0, True),
            lambda: Term(distant, proposer, False),
        )
        return kinds[self._turn % len(kinds)]()


def _size(message: Message) -> int:
    """About what it takes in memory, in bytes."""
    return 256 + len(getattr(message, "shard", b"")) + 64 * len(getattr(message, "shares", ()))
