"""Every vote of a correct node of Honey Badger must be justified by what the node has heard.

The rules are necessary ones: a correct run never breaks them, whatever liars do. `Evidence` knows nothing of the
protocol's objects, only the messages, and counts with thresholds of its own: N-f, 2f+1 and f+1 DISTINCT senders. What
a node has heard counts over all its incarnations.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.honey_badger.messages import (
    Aux,
    Aux2,
    BVal,
    BVal2,
    CoinShare,
    Conf,
    DecryptionShares,
    Echo,
    EchoHash,
    Ready,
    Term,
    Val,
    Want,
)
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.wire import Message
from honeybadger.simulation.search.message_words import in_words

#: how many have voted so in a round, with those whose TERM stands for it: (kind, round, values) → count
Voters = Callable[..., int]
#: what a node must have said and heard from N-f before it reveals a coin, and the values of that vote
LAST: dict[str, tuple[type[Message], tuple[int, ...]]] = {
    "mmr14": (Aux, (False, True)),
    "mmr14-conf": (Conf, (1, 2, 3)),
    "crain20": (Aux2, (1, 2, 3)),
}


class Unjustified(AssertionError):
    """A correct node said what it had no reason to say."""


class Evidence:
    """What the nodes of one run have heard."""

    def __init__(self, nodes: int, faults: int, parameters: HoneyBadgerParameters) -> None:
        self._nodes, self._quorum, self._ready, self._weak = nodes, nodes - faults, 2 * faults + 1, faults + 1
        self._data_shards = nodes - 2 * faults
        self._every_round = parameters.coin_schedule == "every-round"
        self._agreement = parameters.agreement
        self._by_hash = parameters.broadcast == "hash-echo"
        self._heard: dict[tuple[object, ...], set[int]] = defaultdict(set)
        self._rounds: dict[tuple[object, ...], set[int]] = defaultdict(set)
        self._said: set[tuple[object, ...]] = set()
        self._shares: dict[bytes, tuple[int, ...]] = {}

    def hear(self, me: int, sender: int, message: Message) -> None:
        key = (me, type(message), message.epoch, getattr(message, "proposer", None))
        match message:
            case (
                BVal(round=number, value=what)
                | Aux(round=number, value=what)
                | Conf(round=number, values=what)
                | BVal2(round=number, values=what)
                | Aux2(round=number, values=what)
            ):
                self._rounds[me, message.epoch, message.proposer].add(number)
                self._heard[*key, number, what].add(sender)
            case Term():
                self._heard[*key, 0, message.value].add(sender)
            case Echo() | EchoHash():
                self._heard[me, "vote", message.epoch, message.proposer, 0, message.root].add(sender)
                self._heard[*key, 0, message.root].add(sender)
            case Ready() | Want():
                self._heard[*key, 0, message.root].add(sender)
            case Val() if sender == message.proposer:
                self._heard[*key, 0, message.root].add(sender)

    def say(self, me: int, message: Message, recipient: int | None = None) -> None:
        """Raises Unjustified. Without a recipient: to everybody."""
        if not self._is_justified(me, message, recipient):
            raise Unjustified(f"node {me} has no reason to say {in_words(message)}")
        if isinstance(message, Val | Echo | EchoHash):
            # A node counts its own vote at once, and a proposer votes for what it says.
            self.hear(me, me, message)
        address = (me, type(message), message.epoch, getattr(message, "proposer", None))
        self._said |= {address, (*address, getattr(message, "round", 0))}
        if isinstance(message, CoinShare):
            slot = (me, message.epoch, message.proposer, message.round)
            if self._shares.setdefault(message.share, slot) != slot:
                raise Unjustified(f"node {me} revealed the coin {slot} before: {self._shares[message.share]}")

    def _has_coin(self, number: int) -> bool:
        return self._every_round or number % 3 == 2

    def _is_justified(self, me: int, message: Message, recipient: int | None) -> bool:
        proposer = getattr(message, "proposer", None)

        def senders(kind: type | str, number: int, *values: object) -> set[int]:
            keys = [(me, kind, message.epoch, proposer, number, value) for value in values]
            return set().union(*(self._heard[key] for key in keys if key in self._heard))

        def voters(kind: type, number: int, *values: object) -> int:
            """With those whose TERM stands for the vote."""
            if self._agreement == "crain20":
                return len(senders(kind, number, *values))
            sets = kind in (Conf, BVal2, Aux2)
            terms = [value == 2 if sets else bool(value) for value in values if not sets or value != 3]
            return len(senders(kind, number, *values) | senders(Term, 0, *terms))

        match message:
            case BVal(round=number, value=bit):
                # The first estimate is the node's own affair; a later one is what all votes say, or the coin.
                if number == 0 or voters(BVal, number, bit) >= self._weak:
                    return True
                if self._agreement == "crain20":
                    return self._has_view(voters, number - 1, bit)
                free = self._has_coin(number - 1) or bit == 1 - (number - 1) % 3
                return voters(Aux, number - 1, *((False, True) if free else (bit,))) >= self._quorum
            case Aux(round=number, value=bit):
                return voters(BVal, number, bit) >= self._ready
            case Conf() if self._agreement == "mmr14":
                return False
            case BVal2() | Aux2() if self._agreement != "crain20":
                return False
            case BVal2(round=number, values=values):
                return voters(BVal2, number, values) >= self._weak or (
                    voters(Conf, number, *((1, 2, 3) if values == 3 else (values,))) >= self._quorum
                )
            case Aux2(round=number, values=values):
                return voters(BVal2, number, values) >= self._ready
            case Conf(round=number, values=values):
                bits = [bit for bit in (False, True) if values >> bit & 1]
                return voters(Aux, number, *bits) >= self._quorum and all(voters(Aux, number, bit) for bit in bits)
            case CoinShare(round=number):
                last, choices = LAST[self._agreement]
                spoke = (me, last, message.epoch, message.proposer, number) in self._said
                return spoke and voters(last, number, *choices) >= self._quorum
            case Term(value=bit):
                return len(senders(Term, 0, bit)) >= self._weak or any(
                    self._decides(voters, number, bit) for number in self._rounds[me, message.epoch, message.proposer]
                )
            case Echo() if not self._by_hash:
                return recipient is None and bool(senders(Val, 0, message.root))
            case EchoHash() | Want() if not self._by_hash:
                return False
            case Echo() | EchoHash():
                asked = recipient is None or recipient in senders(Want, 0, message.root)
                holds = (me - message.proposer) % self._nodes < self._data_shards
                to_all = recipient is None and holds == isinstance(message, Echo)
                answer = recipient is not None and isinstance(message, Echo) and asked and not holds
                return bool(senders(Val, 0, message.root)) and (to_all or answer)
            case Ready():
                votes = len(senders("vote" if self._by_hash else Echo, 0, message.root))
                return votes >= self._quorum or len(senders(Ready, 0, message.root)) >= self._weak
            case Want():
                promised = len(senders(Ready, 0, message.root)) >= self._ready
                return promised and recipient in senders(EchoHash, 0, message.root)
            case DecryptionShares():
                return all((me, Term, message.epoch, j) in self._said for j in range(self._nodes))
        return True

    def _has_view(self, voters: Voters, number: int, bit: bool) -> bool:
        """Crain: whether N-f AUX2s may be left with this bit, or with none where the coin is free."""
        if voters(Aux2, number, 1, 2, 3) < self._quorum:
            return False
        free = self._has_coin(number) or bit == 1 - number % 3
        return voters(Aux2, number, 1 << bit) > 0 or (free and voters(Aux2, number, 3) > 0)

    def _decides(self, voters: Voters, number: int, bit: bool) -> bool:
        if self._agreement == "crain20":
            return voters(Aux2, number, 1 << bit) >= self._quorum
        if not self._has_coin(number):
            return bit == 1 - number % 3 and voters(Aux, number, bit) >= self._quorum
        return voters(*((Aux, number, bit) if self._agreement == "mmr14" else (Conf, number, 1 << bit))) >= self._quorum


class Watched:
    """A protocol object in front of which the oracle sits; otherwise the object itself."""

    def __init__(self, context: Context, evidence: Evidence, build: Callable[[Context], ConsensusProtocol]) -> None:
        self._me, self._evidence, self._outbox = context.me, evidence, context.outbox
        self.inner: ConsensusProtocol = build(replace(context, outbox=self))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def handle(self, sender: int, message: Message) -> None:
        self._evidence.hear(self._me, sender, message)
        self.inner.handle(sender, message)

    def broadcast(self, message: Message) -> None:
        self._evidence.say(self._me, message)
        self._outbox.broadcast(message)

    def send(self, node: int, message: Message) -> None:
        self._evidence.say(self._me, message, node)
        self._outbox.send(node, message)

    def fault(self, node: int, kind: StrEnum, detail: str) -> None:
        self._outbox.fault(node, kind, detail)
