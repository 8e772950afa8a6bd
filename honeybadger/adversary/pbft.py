"""Attacks on PBFT by a node that says different things to different nodes, nearly all of them valid."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from honeybadger.adversary.base import Adversary
from honeybadger.protocols.batching.batch import batch_digest, decode_batch, encode_batch
from honeybadger.protocols.context import Context
from honeybadger.protocols.pbft.certificates import (
    GENESIS,
    NULL,
    Group,
    choose,
    new_view_statement,
    pre_prepare_statement,
    prepare_statement,
    view_change_statement,
)
from honeybadger.protocols.pbft.messages import (
    Batch,
    Commit,
    NewView,
    Prepare,
    PreparedProof,
    PrePrepare,
    Proposal,
    Status,
    ViewChange,
)
from honeybadger.protocols.wire import Message

#: views of which VIEW-CHANGEs are kept
KEPT_VIEWS = 8
#: (view, sequence number)
Place = tuple[int, int]


@dataclass
class Deal:
    """What it has drawn for one place, and what it has seen there."""

    #: two valid batches, which of them each node gets (None: nothing)
    proposed: tuple[PrePrepare, PrePrepare] | None = None
    sides: dict[int, int | None] = field(default_factory=dict)
    #: the first two digests that others voted for, which of them each node gets COMMIT for, and who has got it
    digests: list[bytes] = field(default_factory=list)
    favourites: dict[int, int] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    #: by digest: the signature of the PRE-PREPARE, those of PREPAREs by sender
    pre_prepares: dict[bytes, bytes] = field(default_factory=dict)
    prepares: dict[bytes, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))


class Equivocate(Adversary):
    """For each view and number, draws which nodes get which of two batches, or none, and whose COMMIT is for which.

    As the primary: the other batch goes to one victim, to all but the fewest, to half, or nowhere; batches are withheld
    or garbled; a restarted node is told the other thing. As any node: PREPARE and COMMIT for whatever was voted for,
    before it may, to some only. In a view change: certificates left out, put together from others' votes, or forged;
    NEW-VIEWs that rest on different VIEW-CHANGEs.

    A quorum forms for one of the batches as often as not, so an error of the correct nodes shows. Correct nodes must
    stay in agreement, blame nobody else, and go on in a later view.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._group = Group(context)
        #: how much of what it says is changed, in eighths
        self._zeal = 2 + self.number(7)
        self._deals: dict[Place, Deal] = defaultdict(Deal)
        #: VIEW-CHANGEs by view and sender
        self._changes: dict[int, dict[int, ViewChange]] = defaultdict(dict)
        self._spare: list[bytes] = []

    # -- what it hears ---------------------------------------------------------------------------------------

    def witness(self, sender: int, message: Message) -> None:
        match message:
            case PrePrepare():
                self._deal(message).pre_prepares[message.digest] = message.signature
                self._voted(sender, message)
            case Prepare():
                self._deal(message).prepares[message.digest][sender] = message.signature
                self._voted(sender, message)
            case Commit():
                self._voted(sender, message)
            case ViewChange():
                changes = self._changes[message.view]
                if sender not in changes or self.number(2):
                    # A node that has lost its journal may send another one.
                    changes[sender] = message
            case NewView():
                for proposal in message.proposals:
                    self._deals[message.view, proposal.number].pre_prepares[proposal.digest] = proposal.signature
            case Status() if message.fresh and sender != self.me and self.number(2):
                self._mislead(sender)

    def _voted(self, sender: int, message: PrePrepare | Prepare | Commit) -> None:
        """Somebody voted: COMMIT for the same to those for whom it is drawn, one each and place."""
        if sender == self.me or not self._lies(message):
            return
        deal = self._deal(message)
        if message.digest not in deal.digests and len(deal.digests) < 2:
            deal.digests.append(message.digest)
        if not deal.favourites:
            common = self.number(2)
            split = self.number(2)
            deal.favourites = {node: self.number(2) if split else common for node in self.others}
        for node, side in deal.favourites.items():
            if node not in deal.told and deal.digests[side : side + 1] == [message.digest]:
                deal.told.add(node)
                self.outbox.send(node, Commit(message.epoch, message.view, message.digest))

    def _mislead(self, node: int) -> None:
        """A node that has just started may have forgotten what it was told: tell it the other thing."""
        for deal in self._deals.values():
            if deal.proposed:
                self.outbox.send(node, deal.proposed[0 if deal.sides.get(node) == 1 else 1])

    # -- what it says ----------------------------------------------------------------------------------------

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        match message:
            case PrePrepare():
                return self._pre_prepare(recipient, message)
            case Prepare() if self._lies(message):
                return self._prepare(message)
            case Commit() if self._lies(message):
                return [] if recipient in self._deal(message).told or not self.number(3) else [message]
            case ViewChange() if self._random():
                return [self._view_change(message)]
            case NewView() if self._random():
                return self._new_view(message)
            case Batch() if self._random():
                return [Batch(0, b"something else")] if self.number(2) else []
        return [message]

    def _pre_prepare(self, recipient: int, message: PrePrepare) -> Sequence[Message]:
        if not self._lies(message):
            return [message]
        deal = self._deal(message)
        if not deal.proposed:
            deal.proposed = (message, self._other(message))
            self._forget()
            deal.sides = self._draw()
        side = deal.sides[recipient]
        if side is None:
            return []
        chosen = deal.proposed[side]
        match self.number(6):
            case 0:
                chosen = replace(chosen, batch=b"")
            case 1 if not self.number(4):
                chosen = replace(chosen, batch=chosen.batch + b"?")
        return [chosen]

    def _prepare(self, message: Prepare) -> Sequence[Message]:
        """As a backup: for what was proposed to this node, for something else that others voted for, or none."""
        deal = self._deal(message)
        digests = [message.digest, *deal.digests]
        choice = self.number(len(digests) + 1)
        if choice == len(digests):
            return []
        digest = digests[choice]
        signature = self._group.sign(prepare_statement(message.view, message.epoch, digest))
        deal.prepares[digest][self.me] = signature
        return [Prepare(message.epoch, message.view, digest, signature)]

    def _view_change(self, message: ViewChange) -> ViewChange:
        """Another valid one, or one with a forged certificate."""
        stable = GENESIS if not self.number(4) else message.stable
        proofs = {proof.number: proof for proof in message.prepared}
        kind = self.number(5)
        if kind == 0:
            proofs = {}
        for (view, number), deal in self._deals.items():
            for digest, votes in deal.prepares.items():
                signature = deal.pre_prepares.get(digest)
                backups = sorted((n, s) for n, s in votes.items() if n != self._group.primary(view))
                if kind < 3 or view >= message.view or signature is None or len(backups) < self._group.quorum - 1:
                    continue
                if self.number(2) or number not in proofs:
                    proofs[number] = PreparedProof(number, view, digest, signature, backups[: self._group.quorum - 1])
        if kind == 1:
            voted = sorted({number for (_, number), deal in self._deals.items() if deal.prepares})
            voted = voted or [stable.number + 1]
            number = voted[self.number(len(voted))]
            primary = self._group.primary(message.view - 1)
            forged = [(n, bytes(64)) for n in range(self._group.nodes) if n != primary][: self._group.quorum - 1]
            digest = batch_digest(b"never proposed") if not self.number(4) else NULL
            proofs[number] = PreparedProof(number, message.view - 1, digest, bytes(64), forged)
        inside = range(stable.number + 1, stable.number + self._group.window + 1)
        prepared = [proof for number, proof in sorted(proofs.items()) if number in inside]
        unsigned = ViewChange(0, message.view, stable, prepared, bytes(64))
        change = replace(unsigned, signature=self._group.sign(view_change_statement(unsigned)))
        if self.number(2):
            # For its own NEW-VIEW.
            self._changes[message.view][self.me] = change
        return change

    def _new_view(self, message: NewView) -> Sequence[Message]:
        """One that rests on other VIEW-CHANGEs; or none; or one that proposes nothing."""
        changes = self._changes[message.view]
        if not self.number(4) or len(changes) < self._group.quorum:
            return []
        senders = sorted(changes)
        while len(senders) > self._group.quorum:
            senders.pop(self.number(len(senders)))
        chosen = [(sender, changes[sender]) for sender in senders]
        _, prescribed = choose(change for _, change in chosen)
        if not self.number(6):
            prescribed = [(number, NULL) for number, _ in prescribed]
        proposals = []
        for number, digest in prescribed:
            statement = pre_prepare_statement(message.view, number, digest)
            proposals.append(Proposal(number, digest, self._group.sign(statement)))
        unsigned = NewView(0, message.view, chosen, proposals, bytes(64))
        return [replace(unsigned, signature=self._group.sign(new_view_statement(unsigned)))]

    # -- parts -----------------------------------------------------------------------------------------------

    def _random(self) -> bool:
        return self.number(8) < self._zeal

    def _deal(self, message: PrePrepare | Prepare | Commit) -> Deal:
        return self._deals[message.view, message.epoch]

    def _lies(self, message: PrePrepare | Prepare | Commit) -> bool:
        """Whether anything about this place is changed; the same whenever it is asked."""
        return (message.view * 5 + message.epoch * 3) % 8 < self._zeal

    def _draw(self) -> dict[int, int | None]:
        """Who gets which of two batches: 0 is the honest one; None: nothing."""
        order = list(self.others)
        for k in range(len(order) - 1, 0, -1):
            j = self.number(k + 1)
            order[k], order[j] = order[j], order[k]
        # One victim, all but what a quorum needs in addition to this node, half, or any number.
        few = [1, len(order) - (self._group.quorum - 1), len(order) // 2, self.number(len(order))][self.number(4)]
        pairs: tuple[tuple[int | None, int | None], ...] = ((0, 1), (1, 0), (0, None), (1, None))
        many, rest = pairs[self.number(4)]
        return {node: rest if place < few else many for place, node in enumerate(order)}

    def _other(self, message: PrePrepare) -> PrePrepare:
        """Another valid proposal for the same place: some transactions fewer, or an old one."""
        content = decode_batch(message.batch, self.context.parameters, self._group.nodes)
        transactions = list(content[1]) if content else []
        other = transactions[1:] or self._spare or transactions * 2
        self._spare = transactions[:1]
        batch = encode_batch(self.me, other)
        digest = batch_digest(batch)
        signature = self._group.sign(pre_prepare_statement(message.view, message.epoch, digest))
        self._deal(message).pre_prepares[digest] = signature
        return PrePrepare(message.epoch, message.view, digest, signature, batch)

    def _forget(self) -> None:
        """What lies below the low water mark is of no use any more."""
        low = self.honest.settled
        for place in [place for place in self._deals if place[1] <= low]:
            del self._deals[place]
        for view in sorted(self._changes)[:-KEPT_VIEWS]:
            del self._changes[view]


class VoteTwice(Equivocate):
    """Equivocates, and as the primary sends PREPARE for each of its proposals as well, to whoever gets the proposal.

    Correct nodes must not count it: a primary's PRE-PREPARE is its vote, so with two votes of it N-f-1 nodes would make
    a certificate, and there could be one for each of two batches. UNEXPECTED_VOTE.
    """

    def _pre_prepare(self, recipient: int, message: PrePrepare) -> Sequence[Message]:
        said = super()._pre_prepare(recipient, message)
        votes = []
        for proposal in said:
            if isinstance(proposal, PrePrepare):
                statement = prepare_statement(proposal.view, proposal.epoch, proposal.digest)
                signature = self._group.sign(statement)
                votes.append(Prepare(proposal.epoch, proposal.view, proposal.digest, signature))
        return [*said, *votes]
