"""Liars that can win: they share one plot, choose their victims, and say different valid things to different nodes.

For each instance the correct nodes are parted in two sides: one victim and the rest, just as many as make a quorum with
the liars and the rest, or halves. Each liar runs an honest protocol object per side (or one for both), so that each
side hears a consistent story; on top of that it flips, withholds and drops messages, sends a broadcast that is no
codeword, or to a few nodes only, sends hashes in place of shards, wrong shards or none, and adds votes in the rounds
that it sees others in, and WANTs: several per slot, and to one side only.
"""

import random
from collections.abc import Sequence
from functools import cache, partial

from msgspec.structs import replace

from honeybadger.adversary.dispersal import Copies, dispersal, erasure_code
from honeybadger.adversary.outbox import FilteredOutbox
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.protocols.honey_badger.messages import (
    Aux,
    Aux2,
    BVal,
    BVal2,
    CoinShare,
    Conf,
    Echo,
    EchoHash,
    Ready,
    Term,
    Val,
    Want,
)
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import ByzantineNode, HoldsBack, Strategy
from honeybadger.transactions import Transactions

#: what is part of a broadcast or an agreement
OfInstance = Val | Echo | EchoHash | Ready | Want | BVal | Aux | Conf | BVal2 | Aux2 | CoinShare | Term


class Plot:
    """What the liars have agreed on."""

    def __init__(self, rng: random.Random, correct: Sequence[int], needed: int) -> None:
        """`needed`: correct nodes that make a quorum with the liars."""
        self.rng, self._correct, self._needed = rng, list(correct), needed
        #: by epoch and proposer: (the bit that is told to the first side, the first side, the second)
        self.of = cache(self._draw)

    def _draw(self, epoch: int, proposer: int) -> tuple[int, frozenset[int], frozenset[int]]:
        order = self.rng.sample(self._correct, len(self._correct))
        size = self.rng.choice([1, self._needed, len(order) - 1, len(order) // 2])
        both = [node for node in order if self.rng.random() < 0.1]
        return self.rng.randrange(2), frozenset(order[:size]), frozenset([*order[size:], *both])


class Conspirator(Strategy):
    """One liar; what it does and how often is drawn once."""

    def __init__(self, plot: Plot) -> None:
        self.plot, self.rng = plot, plot.rng
        draw = self.rng.choice
        self.two_faced = draw([True, True, False])
        self.flips, self.drops, self.withholds = draw([0, 0.1, 0.5]), draw([0, 0.1, 0.6]), draw([0, 0, 0.3])
        self.adds, self.sticks, self.spoils = draw([0, 0.1, 0.5, 1]), draw([0.7, 1]), draw([0, 0, 0.3])
        #: after this many messages it has done its harm, and says nothing more
        self.left = draw([10**9, self.rng.randrange(200)])
        self.broadcast = draw(["honest", "honest", "no codeword", "to few"])
        #: what becomes of the shards that it owes; "half": one side gets them
        self.shards = draw(["sent", "sent", "hash", "none", "half", "wrong"])
        self.wants = draw([0, 0, 0.3])

    def start(self, node: ByzantineNode) -> None:
        self.node, self.me, self.quorums = node, node.me, node.context.quorums
        self.own_transactions = [b"%d of liar %d" % (k, node.me) for k in range(4)]
        node.submit(self.own_transactions)
        # From too few to just enough for READY, with the votes of the liars or without.
        some = self.rng.randrange(self.quorums.data_shards - 1, self.quorums.quorum + 1)
        self._few = frozenset(self.rng.sample(range(self.quorums.nodes), some))
        self._withheld: list[tuple[int, Message]] = []
        self._vals: dict[tuple[int, int], list[Val]] = {}
        ways = [partial(self._out, face) for face in range(1 + self.two_faced)]
        faces = [node.honest(FilteredOutbox(node.outbox, self.quorums.nodes, way)) for way in ways]
        self._links = [HoldsBack(face) for face in faces]
        for face in faces:
            face.poke()

    def receive(self, node: ByzantineNode, sender: int, message: Message) -> None:
        if sender != self.me:
            self._add(message)
        while self._withheld and self.rng.random() < 0.1:
            self.node.outbox.send(*self._withheld.pop(self.rng.randrange(len(self._withheld))))
        for link in self._links:
            link.receive(sender, message)

    def _out(self, face: int, recipient: int, message: Message) -> Sequence[Message]:
        """What goes to `recipient` of what a face says; a liar is honest with itself."""
        if isinstance(message, Val) and message.proposer == self.me:
            if self.broadcast == "no codeword":
                return [] if face else [self._val(message.epoch, self.me, recipient)]
            if self.broadcast == "to few" and recipient not in self._few:
                return []
        if recipient == self.me:
            return [message]
        if isinstance(message, Echo) and self.shards != "sent":
            instead = self._instead_of_shard(recipient, message)
            if instead is None:
                return []
            message = instead
        self.left -= 1
        if self.left < 0:
            return []
        sides = self.plot.of(message.epoch, getattr(message, "proposer", -1))[1:]
        if self.two_faced and recipient not in sides[face]:
            return []
        chance = self.rng.random()
        if chance < self.drops:
            return []
        if self.rng.random() < self.withholds:
            self._withheld.append((recipient, message))
            return []
        if self.rng.random() < self.flips:
            return self.rng.choice([[self._flipped(message)], [message, self._flipped(message)]])
        return [message]

    def _instead_of_shard(self, recipient: int, echo: Echo) -> Message | None:
        if self.shards == "hash" or (
            self.shards == "half" and recipient not in self.plot.of(echo.epoch, echo.proposer)[1]
        ):
            return EchoHash(echo.epoch, echo.proposer, echo.root)
        if self.shards == "wrong":
            return replace(echo, shard=bytes(len(echo.shard)))
        return None if self.shards == "none" else echo

    def _flipped(self, message: Message) -> Message:
        match message:
            case BVal() | Aux() | Term():
                return replace(message, value=not message.value)
            case Conf() | BVal2() | Aux2():
                return replace(message, values=1 + message.values % 3)
            case CoinShare() if self.rng.random() < self.spoils:
                return replace(message, share=self.rng.randbytes(48))
        return message

    def _val(self, epoch: int, proposer: int, recipient: int) -> Val:
        """A shard of one value for the first side and of another for the others, all under one root.

        Not coded: these values, under two hashes.
        """
        if (epoch, proposer) not in self._vals:
            code, (_, side, _) = erasure_code(self.node.context), self.plot.of(epoch, proposer)
            # Two batches of one transaction each, long enough to differ in every shard.
            transactions = [self.rng.randbytes(255) for _ in range(2)]
            self.own_transactions = [*self.own_transactions, *transactions]
            shards = [code.encode(encode_contribution(Transactions.of([tx]))) for tx in transactions]
            nodes = self.quorums.nodes
            mixed = [shards[0 if (place + proposer) % nodes in side else 1][place] for place in range(nodes)]
            self._vals[epoch, proposer] = dispersal(mixed, epoch, proposer, not isinstance(code, Copies))
        return self._vals[epoch, proposer][recipient]

    def _add(self, message: Message) -> None:
        """Votes in addition to those of the faces, where somebody else is, to one side or both; WANTs to all."""
        if isinstance(message, Val | Echo | EchoHash | Ready | Want) and self.rng.random() < self.wants:
            for recipient in range(self.quorums.nodes):
                if recipient != self.me:
                    self.node.outbox.send(recipient, Want(message.epoch, message.proposer, message.root))
        if self.left < 0 or self.rng.random() >= self.adds or not isinstance(message, OfInstance):
            return
        epoch, proposer, number = message.epoch, message.proposer, getattr(message, "round", 0)
        bit, *sides = self.plot.of(epoch, proposer)
        kinds: list[type] = [BVal, BVal, Aux, Aux, Conf, Conf, Term, Ready, Val]
        if HoneyBadgerParameters.of(self.node.context.parameters).agreement == "crain20":
            kinds += [BVal2, BVal2, Aux2, Aux2]
        votes = self.rng.sample(kinds, self.rng.choice([1, 2, 3]))
        for told, side in enumerate(sides):
            if self.rng.random() < 0.2:
                continue
            value = bool(bit ^ told) if self.rng.random() < self.sticks else self.rng.random() < 0.5
            for recipient in side:
                for kind in votes:
                    if kind is Val:
                        vote: Message = self._val(epoch, proposer, recipient)
                    else:
                        vote = self._vote(kind, epoch, proposer, number, value, message)
                    self.node.outbox.send(recipient, vote)

    def _vote(self, kind: type, epoch: int, proposer: int, number: int, value: bool, seen: Message) -> Message:
        if kind in (Conf, BVal2, Aux2):
            return kind(epoch, proposer, number, self.rng.choice([1 + value, 1 + value, 3]))
        if kind is Term and self.rng.random() < 0.3:
            return Term(epoch, proposer, value)
        if kind is Ready and hasattr(seen, "root"):
            return Ready(epoch, proposer, seen.root)
        return (Aux if kind is Aux else BVal)(epoch, proposer, number, value)
