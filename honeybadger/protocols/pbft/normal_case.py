"""The normal case: PRE-PREPARE, PREPARE, COMMIT in the view that this node follows, from the proposal to its execution.

Signatures of PRE-PREPAREs are verified when they come, those of PREPAREs when they make a certificate (see `log`).
Nothing parsed from a batch is kept: what is executed is parsed from the batch with the decided digest.

Source: Castro, Liskov (OSDI 1999), section 4.2.
"""

import msgspec

from honeybadger.protocols.batching.batch import batch_digest, decode_batch, encode_batch
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.pbft.catch_up import CatchUp
from honeybadger.protocols.pbft.certificates import NULL, pre_prepare_statement, prepare_statement
from honeybadger.protocols.pbft.log import Slot
from honeybadger.protocols.pbft.messages import Batch, Commit, PBFTFault, Prepare, PrePrepare
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.wire import Message
from honeybadger.transactions import Transactions

VoteMessage = PrePrepare | Prepare | Commit


class NormalCase:
    """Votes, and executes what is decided. Proposals come from `Proposals` (the primary), peers, or a NEW-VIEW."""

    def __init__(self, state: State, catch_up: CatchUp) -> None:
        self._state = state
        self._group = state.group
        self._outbox = state.outbox
        self._catch_up = catch_up
        #: (sender, number, kind) → the message of the highest view that has not begun here. Numbers are between the
        #: water marks, so memory is bounded.
        self.early: dict[tuple[int, int, type[Message]], VoteMessage] = {}

    def propose(self, number: int, transactions: Transactions) -> None:
        """As the primary: PRE-PREPARE of a batch."""
        state = self._state
        batch = encode_batch(state.me, transactions)
        digest = batch_digest(batch)
        signature = self._group.sign(pre_prepare_statement(state.normal, number, digest))
        slot = state.slot(number)
        state.context.observe(number, "proposed")
        slot.propose(digest, signature)
        slot.add_batch(digest, batch)
        self._outbox.broadcast(PrePrepare(number, state.normal, digest, signature, batch))
        self._vote(slot)
        self._progress(slot)

    def handle(self, sender: int, message: VoteMessage) -> None:
        """Count a vote of the present view; keep one of a view that has not begun here."""
        state = self._state
        number = message.epoch
        if number <= state.low or message.view < state.normal:
            return
        if number > state.horizon:
            self._outbox.fault(sender, FaultKind.FUTURE_EPOCH, str(number))
            return
        if message.view > state.normal:
            self._keep(sender, message)
            self._catch_up.ask_status(sender)
            return
        slot = state.slot(number)
        match message:
            case PrePrepare():
                self._handle_pre_prepare(sender, message, slot)
            case Prepare():
                if sender == self._group.primary(message.view):
                    # Its PRE-PREPARE is its vote: counted twice, N-f-1 nodes would make a certificate.
                    self._outbox.fault(sender, PBFTFault.UNEXPECTED_VOTE, f"PREPARE {number} of the primary")
                elif slot.add_prepare(sender, message.digest, message.signature):
                    self._progress(slot)
                else:
                    self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"PREPARE {number}")
            case Commit():
                if slot.add_commit(sender, message.digest):
                    self._progress(slot)
                else:
                    self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"COMMIT {number}")

    def handle_batch(self, sender: int, message: Batch) -> None:
        missing = self._catch_up.missing
        digest = batch_digest(message.batch) if missing else NULL
        for slot in missing:
            if slot.missing != digest:
                continue
            if slot.decided == digest:
                # N-f nodes sent COMMIT for it, so f+1 correct ones have checked it.
                slot.add_batch(digest, message.batch)
                if slot.digest == digest:
                    self._vote(slot)
                self._progress(slot)
            elif self._take_batch(sender, slot, message.batch):
                self._progress(slot)

    def take_prescribed(self) -> None:
        """O of the NEW-VIEW that this node follows: PRE-PREPAREs whose batches it may have to ask for."""
        state = self._state
        for proposal in state.new_view.proposals if state.new_view is not None else ():
            if not state.low < proposal.number <= state.horizon:
                # Those above come when the water marks have moved.
                continue
            slot = state.slot(proposal.number)
            if slot.digest is None:
                state.context.observe(slot.number, "proposed")
                slot.propose(proposal.digest, proposal.signature)
            if slot.has_batch:
                self._vote(slot)
            self._progress(slot)

    def take_early(self) -> None:
        """A view has begun: its messages count, those of older views are dropped, those of newer ones stay."""
        view = self._state.normal
        early, self.early = self.early, {k: message for k, message in self.early.items() if message.view > view}
        for (sender, _, _), message in early.items():
            if message.view == view:
                self.handle(sender, message)

    def water_marks_moved(self) -> None:
        """Forget what is below them. More of what a new view prescribes may be between them now."""
        low = self._state.low
        self.early = {key: message for key, message in self.early.items() if key[1] > low}
        if self._state.prescribed > low:
            self.take_prescribed()

    def execute(self) -> list[Transactions] | None:
        """Hand over what is committed, in order and without gaps; returns the batches' transactions, or None if no
        number could be executed."""
        state = self._state
        batches: list[Transactions] | None = None
        while (slot := state.slots.get(state.executed + 1)) is not None and slot.committed:
            batches = batches or []
            contributions: list[tuple[int, Transactions]] = []
            if slot.decided is not None and slot.decided != NULL:
                content = decode_batch(slot.batches[slot.decided], state.parameters, self._group.nodes)
                if content is None:
                    raise RuntimeError(f"batch {slot.number} was decided, but is malformed")
                contributions.append(content)
                batches.append(content[1])
            state.executed += 1
            state.application.commit(state.executed, contributions)
            state.context.observe(state.executed, "committed")
        return batches

    def repeat_votes(self) -> None:
        """After a restart: say again what was said in this view."""
        for slot in [slot for slot in self._state.ascending() if slot.voted and slot.digest is not None]:
            digest = slot.digest or NULL
            if not self._state.is_primary:
                self._outbox.broadcast(self._prepare(slot))
            elif slot.number > self._state.prescribed:
                batch = slot.batches.get(digest, b"")
                self._outbox.broadcast(PrePrepare(slot.number, slot.view, digest, slot.pre_prepare, batch))
            if slot.prepared:
                self._outbox.broadcast(Commit(slot.number, slot.view, digest))
            self._progress(slot)

    # -- parts ---------------------------------------------------------------------------------------------

    def _keep(self, sender: int, message: VoteMessage) -> None:
        """Keep it, without the batch, which can be fetched."""
        key = (sender, message.epoch, type(message))
        earlier = self.early.get(key)
        if earlier is None or earlier.view < message.view:
            if isinstance(message, PrePrepare):
                message = msgspec.structs.replace(message, batch=b"")
            self.early[key] = message

    def _handle_pre_prepare(self, sender: int, message: PrePrepare, slot: Slot) -> None:
        primary = self._group.primary(message.view)
        if sender != primary:
            self._outbox.fault(sender, PBFTFault.NOT_THE_PRIMARY, f"PRE-PREPARE {slot.number}")
            return
        known = slot.decided if slot.digest is None else slot.digest
        if known is not None and known != message.digest:
            # N-f COMMITs say, too, what the primary has signed.
            self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"PRE-PREPARE {slot.number}")
            return
        if slot.digest is not None:
            if not slot.has_batch and message.batch and self._take_batch(sender, slot, message.batch):
                self._progress(slot)
            return
        if message.digest == NULL or slot.number <= self._state.prescribed:
            # Only a NEW-VIEW may propose a null request, and what it prescribes is in its slot already.
            self._outbox.fault(sender, PBFTFault.BAD_BATCH, f"PRE-PREPARE {slot.number}")
            return
        statement = pre_prepare_statement(message.view, slot.number, message.digest)
        if not self._group.verify(primary, statement, message.signature):
            self._outbox.fault(sender, PBFTFault.BAD_SIGNATURE, f"PRE-PREPARE {slot.number}")
            return
        self._state.context.observe(slot.number, "proposed")
        slot.propose(message.digest, message.signature)
        if slot.has_batch:
            self._vote(slot)
        elif message.batch:
            self._take_batch(sender, slot, message.batch)
        self._progress(slot)

    def _take_batch(self, sender: int, slot: Slot, batch: bytes) -> bool:
        """The batch of the accepted proposal; False if it is not that, or none that a correct primary proposes."""
        if slot.digest is None or batch_digest(batch) != slot.digest:
            self._outbox.fault(sender, PBFTFault.BAD_BATCH, f"batch {slot.number} does not match its digest")
            return False
        state = self._state
        content = decode_batch(batch, state.parameters, self._group.nodes)
        primary = self._group.primary(slot.view)
        if content is None or (slot.number > state.prescribed and content[0] != primary):
            # The sender may only have passed it on: the primary proposed it.
            self._outbox.fault(primary, PBFTFault.BAD_BATCH, f"batch {slot.number} is malformed")
            slot.refused = True
            return False
        slot.add_batch(slot.digest, batch)
        self._vote(slot)
        return True

    def _vote(self, slot: Slot) -> None:
        """The proposal is accepted and its batch is here: PREPARE, unless this node is the primary or passive."""
        if slot.voted or slot.digest is None or slot.contradicted or not self._state.may_vote:
            return
        slot.voted = True
        batch = slot.batches.get(slot.digest)
        # On disk before it is sent: a restarted node must not vote for another proposal in this view.
        if not self._state.records.accepted(slot.number, slot.view, slot.digest, slot.pre_prepare, batch):
            return
        if not self._state.is_primary:
            self._outbox.broadcast(self._prepare(slot))

    def _prepare(self, slot: Slot) -> Prepare:
        digest = slot.digest or NULL
        signature = self._group.sign(prepare_statement(slot.view, slot.number, digest))
        return Prepare(slot.number, slot.view, digest, signature)

    def _progress(self, slot: Slot) -> None:
        """Another vote, or the batch, has come."""
        if not slot.prepared:
            for node in slot.try_prepare():
                self._outbox.fault(node, PBFTFault.BAD_SIGNATURE, f"PREPARE {slot.number}")
            if slot.prepared and slot.proof is not None and self._state.may_vote:
                self._state.context.observe(slot.number, "prepared")
                # A VIEW-CHANGE after a restart must show the certificate that this COMMIT promises.
                self._state.records.committed(slot.proof)
                self._outbox.broadcast(Commit(slot.number, slot.view, slot.proof.digest))
        if slot.try_decide():
            self._state.context.observe(slot.number, "ordered")
            if slot.contradicted:
                self._outbox.fault(self._group.primary(slot.view), FaultKind.EQUIVOCATION, f"PRE-PREPARE {slot.number}")
        if slot.missing is not None:
            self._catch_up.fetch_soon()
