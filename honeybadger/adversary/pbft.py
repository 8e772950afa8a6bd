"""Attacks on PBFT by a node that says different things to different nodes, nearly all of them valid."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from honeybadger.adversary.base import Adversary
from honeybadger.protocols.base import Context
from honeybadger.protocols.messages import Message
from honeybadger.protocols.pbft.certificates import GENESIS, choose
from honeybadger.protocols.pbft.group import Group
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
from honeybadger.protocols.pbft.statements import (
    NULL,
    batch_digest,
    decode_batch,
    encode_batch,
    new_view_statement,
    pre_prepare_statement,
    prepare_statement,
    view_change_statement,
)

#: views of which VIEW-CHANGEs are kept
KEPT_VIEWS = 8
#: (view, sequence number)
Place = tuple[int, int]


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
        self._sides: dict[Place, dict[int, int | None]] = {}
        self._favourites: dict[Place, dict[int, int]] = {}
        self._proposed: dict[Place, tuple[PrePrepare, PrePrepare]] = {}
        self._digests: dict[Place, list[bytes]] = {}
        self._commits: set[tuple[Place, int]] = set()
        #: (place, digest) → signatures: of the PRE-PREPARE, of PREPAREs by sender
        self._pre_prepares: dict[tuple[Place, bytes], bytes] = {}
        self._prepares: dict[tuple[Place, bytes], dict[int, bytes]] = {}
        self._changes: dict[int, dict[int, ViewChange]] = {}
        self._spare: list[bytes] = []

    # -- what it hears ---------------------------------------------------------------------------------------

    def witness(self, sender: int, message: Message) -> None:
        """See `Adversary`."""
        match message:
            case PrePrepare():
                self._pre_prepares[(message.view, message.epoch), message.digest] = message.signature
                self._voted(sender, message)
            case Prepare():
                votes = self._prepares.setdefault(((message.view, message.epoch), message.digest), {})
                votes[sender] = message.signature
                self._voted(sender, message)
            case Commit():
                self._voted(sender, message)
            case ViewChange():
                known = self._changes.setdefault(message.view, {})
                if sender not in known or self.number(2):
                    # A node that has lost its journal may send another one.
                    known[sender] = message
            case NewView():
                for proposal in message.proposals:
                    place = (message.view, proposal.number)
                    self._pre_prepares[place, proposal.digest] = proposal.signature
            case Status() if message.fresh and sender != self.me and self.number(2):
                self._mislead(sender)

    def _voted(self, sender: int, message: PrePrepare | Prepare | Commit) -> None:
        """Somebody voted: COMMIT for the same to those for whom it is drawn, one each and place."""
        place = (message.view, message.epoch)
        if sender == self.me or not self._lies(place):
            return
        digests = self._digests.setdefault(place, [])
        if message.digest not in digests and len(digests) < 2:
            digests.append(message.digest)
        favourites = self._favourites.get(place)
        if favourites is None:
            common = self.number(2)
            split = self.number(2)
            favourites = self._favourites[place] = {node: self.number(2) if split else common for node in self.others}
        for node in self.others:
            wanted = favourites[node]
            if (place, node) not in self._commits and wanted < len(digests) and digests[wanted] == message.digest:
                self._commits.add((place, node))
                self.outbox.send(node, Commit(message.epoch, message.view, message.digest))

    def _mislead(self, node: int) -> None:
        """A node that has just started may have forgotten what it was told: tell it the other thing."""
        for (view, number), both in self._proposed.items():
            side = self._sides.get((view, number), {}).get(node)
            self.outbox.send(node, both[0 if side == 1 else 1])

    # -- what it says ----------------------------------------------------------------------------------------

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        """See `Adversary`."""
        match message:
            case PrePrepare():
                return self._pre_prepare(recipient, message)
            case Prepare() if self._lies((message.view, message.epoch)):
                return self._prepare(message)
            case Commit() if self._lies((message.view, message.epoch)):
                place = (message.view, message.epoch)
                return [] if (place, recipient) in self._commits or not self.number(3) else [message]
            case ViewChange() if self._random():
                return [self._view_change(message)]
            case NewView() if self._random():
                return self._new_view(message)
            case Batch() if self._random():
                return [Batch(0, b"something else")] if self.number(2) else []
        return [message]

    def _pre_prepare(self, recipient: int, message: PrePrepare) -> Sequence[Message]:
        place = (message.view, message.epoch)
        if not self._lies(place):
            return [message]
        if place not in self._proposed:
            self._proposed[place] = (message, self._other(message))
            self._forget()
        both = self._proposed[place]
        sides = self._sides.get(place)
        if sides is None:
            sides = self._sides[place] = self._draw()
        side = sides[recipient]
        if side is None:
            return []
        chosen = both[side]
        match self.number(6):
            case 0:
                chosen = msgspec.structs.replace(chosen, batch=b"")
            case 1 if not self.number(4):
                chosen = msgspec.structs.replace(chosen, batch=chosen.batch + b"?")
        return [chosen]

    def _prepare(self, message: Prepare) -> Sequence[Message]:
        """Of this node as a backup: for what was proposed to it, for something else that others voted for, or none."""
        digests = [message.digest, *self._digests.get((message.view, message.epoch), [])]
        choice = self.number(len(digests) + 1)
        if choice == len(digests):
            return []
        digest = digests[choice]
        statement = prepare_statement(self._group.chain_id, message.view, message.epoch, digest)
        signature = self._group.sign(statement)
        self._prepares.setdefault(((message.view, message.epoch), digest), {})[self.me] = signature
        return [Prepare(message.epoch, message.view, digest, signature)]

    def _view_change(self, message: ViewChange) -> ViewChange:
        """Another valid one, or one with a forged certificate."""
        stable = GENESIS if not self.number(4) else message.stable
        proofs = {proof.number: proof for proof in message.prepared}
        kind = self.number(5)
        if kind == 0:
            proofs = {}
        for (place, digest), votes in self._prepares.items():
            view, number = place
            signature = self._pre_prepares.get((place, digest))
            backups = sorted((n, s) for n, s in votes.items() if n != self._group.primary(view))
            if kind < 3 or view >= message.view or signature is None or len(backups) < self._group.quorum - 1:
                continue
            if self.number(2) or number not in proofs:
                proofs[number] = PreparedProof(number, view, digest, signature, backups[: self._group.quorum - 1])
        if kind == 1:
            voted = sorted({place[1] for place, _ in self._prepares}) or [stable.number + 1]
            number = voted[self.number(len(voted))]
            primary = self._group.primary(message.view - 1)
            forged = [(n, bytes(64)) for n in range(self._group.nodes) if n != primary][: self._group.quorum - 1]
            digest = batch_digest(b"never proposed") if not self.number(4) else NULL
            proofs[number] = PreparedProof(number, message.view - 1, digest, bytes(64), forged)
        inside = range(stable.number + 1, stable.number + self._group.window + 1)
        prepared = [proof for number, proof in sorted(proofs.items()) if number in inside]
        unsigned = ViewChange(0, message.view, stable, prepared, bytes(64))
        signature = self._group.sign(view_change_statement(self._group.chain_id, unsigned))
        change = msgspec.structs.replace(unsigned, signature=signature)
        if self.number(2):
            # For its own NEW-VIEW.
            self._changes.setdefault(message.view, {})[self.me] = change
        return change

    def _new_view(self, message: NewView) -> Sequence[Message]:
        """One that rests on other VIEW-CHANGEs; or none; or one that proposes nothing."""
        known = self._changes.get(message.view, {})
        if not self.number(4) or len(known) < self._group.quorum:
            return []
        senders = sorted(known)
        while len(senders) > self._group.quorum:
            senders.pop(self.number(len(senders)))
        chosen = [(sender, known[sender]) for sender in senders]
        _, prescribed = choose(change for _, change in chosen)
        if not self.number(6):
            prescribed = [(number, NULL) for number, _ in prescribed]
        proposals = []
        for number, digest in prescribed:
            statement = pre_prepare_statement(self._group.chain_id, message.view, number, digest)
            proposals.append(Proposal(number, digest, self._group.sign(statement)))
        unsigned = NewView(0, message.view, chosen, proposals, bytes(64))
        signature = self._group.sign(new_view_statement(self._group.chain_id, unsigned))
        return [msgspec.structs.replace(unsigned, signature=signature)]

    # -- parts -----------------------------------------------------------------------------------------------

    def _random(self) -> bool:
        return self.number(8) < self._zeal

    def _lies(self, place: Place) -> bool:
        """Whether anything about this place is changed; the same whenever it is asked."""
        return (place[0] * 5 + place[1] * 3) % 8 < self._zeal

    def _draw(self) -> dict[int, int | None]:
        """Who gets which of two batches: 0 is the honest one; None: nothing."""
        order = list(self.others)
        for k in range(len(order) - 1, 0, -1):
            j = self.number(k + 1)
            order[k], order[j] = order[j], order[k]
        # One victim, all but what a quorum needs beside this node, half, or any number.
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
        statement = pre_prepare_statement(self._group.chain_id, message.view, message.epoch, digest)
        signature = self._group.sign(statement)
        self._pre_prepares[(message.view, message.epoch), digest] = signature
        return PrePrepare(message.epoch, message.view, digest, signature, batch)

    def _forget(self) -> None:
        """What lies below the low water mark is of no use any more."""
        low = self.honest.settled
        for table in (self._sides, self._favourites, self._proposed, self._digests):
            for place in [place for place in table if place[1] <= low]:
                del table[place]
        for votes in (self._pre_prepares, self._prepares):
            for key in [key for key in votes if key[0][1] <= low]:
                del votes[key]
        self._commits = {key for key in self._commits if key[0][1] > low}
        for view in sorted(self._changes)[:-KEPT_VIEWS]:
            del self._changes[view]
