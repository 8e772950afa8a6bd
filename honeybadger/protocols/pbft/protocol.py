"""The protocol object of one replica. Source: Castro, Liskov (OSDI 1999; TOCS 2002), the version with signatures.

Two views are kept apart. `view` is the one this node has promised itself to: it votes in no lower one. `normal` is the
one whose messages it follows. They differ from VIEW-CHANGE to NEW-VIEW, and longer if nobody else wants to change:
then the node goes on as a passive learner (it executes what N-f others COMMIT, and its clients are served), which needs
no vote and breaks no promise.

Numbers. `epoch` = n; block n is the batch of n, a null request is an empty block. Execution is in order. The log spans
the water marks (h, h + L]; h moves by stable checkpoints only. A node signs the checkpoint of n once block n is on its
DISK: 2f+1 of those mean that f+1 correct nodes can serve the block, so nobody needs the messages up to n any more,
even if all nodes die. What a replica misses below the others' low water mark it takes over as certified blocks
(`skip_to`).

Signatures of PRE-PREPAREs are verified when they come, those of PREPAREs when they make a certificate (see `log`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from honeybadger.protocols.base import Context, FaultKind, HeldBytes, Specification
from honeybadger.protocols.messages import Message
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.certificates import check_new_view, choose
from honeybadger.protocols.pbft.changes import ViewChanges
from honeybadger.protocols.pbft.checkpoints import Checkpoints
from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.log import Slot
from honeybadger.protocols.pbft.messages import (
    MESSAGE_TYPES,
    Batch,
    Checkpoint,
    Commit,
    Fetch,
    Forward,
    NewView,
    Prepare,
    PrePrepare,
    Proposal,
    Relay,
    Stable,
    Status,
    ViewChange,
)
from honeybadger.protocols.pbft.records import Past, Records
from honeybadger.protocols.pbft.requests import RELAY_BYTES, RELAYED, Forwarder, Pool, Relayed
from honeybadger.protocols.pbft.statements import (
    NULL,
    batch_digest,
    checkpoint_statement,
    decode_batch,
    encode_batch,
    new_view_statement,
    pre_prepare_statement,
    prepare_statement,
    view_change_statement,
)
from honeybadger.protocols.pbft.suspicion import FETCH, NEW_VIEW, REQUEST, RESEND, TIDY, Suspicion
from honeybadger.protocols.quorums import Quorums

#: bytes of a batch beside its transactions, and of each transaction (see `Mempool`)
BATCH_FRAMING = 4
FRAMING = 5
NO_SIGNATURE = bytes(64)
#: whose part of the pool relayed transactions take, at the primary: no node's
FROM_RELAYS = -1
#: how often a missing batch is asked for, and answers to one peer are limited, seconds
FETCH_S = 0.25
TIDY_S = 0.5


class PBFT:
    """See `ConsensusProtocol`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._outbox = context.outbox
        self._application = context.application
        self._me = context.me
        group = self._group = Group(context)
        self._checkpoints = Checkpoints(group)
        self._changes = ViewChanges(group)
        self._records = Records(context.journal, 2 * group.window)
        self._suspicion = Suspicion(context.timers, context.parameters.view_timeout_s)
        self._forwarder = Forwarder(context.parameters, context.application)
        self._pool = Pool(context.parameters)
        self._relayed = Relayed()
        self._slots: dict[int, Slot] = {}
        self._executed = context.first_epoch - 1
        self._checkpointed = 0
        #: the last VIEW-CHANGE of this node, the last NEW-VIEW it follows
        self._own_change: ViewChange | None = None
        self._new_view: NewView | None = None
        self._view = self._normal = 0
        #: highest number that the new view prescribes
        self._prescribed = 0
        self._next = self._executed + 1
        #: own transactions are reserved for these numbers
        self._reserved: set[int] = set()
        self._announced_view = 0
        self._awaited_view = 0
        #: messages of views that have not begun here, the newest of each sender, number and kind
        self._future: dict[tuple[int, int, type[Message]], PrePrepare | Prepare | Commit] = {}
        #: who was told or asked what, lately
        self._told: set[tuple[int, str, bytes]] = set()
        self._fetch_turn = 0
        self._fetching = False
        self._past: Past | None = Past(context.journal)
        self._restore(self._past)

    # -- what the runtime asks -----------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The lowest number that is not yet executed."""
        return self._executed + 1

    @property
    def horizon(self) -> int:
        """The high water mark H = h + L."""
        return self._low + self._group.window

    @property
    def settled(self) -> int:
        """The low water mark."""
        return self._low

    @property
    def view(self) -> int:
        """The view this node has promised itself to."""
        return self._view

    @property
    def active(self) -> bool:
        """Whether that view has begun here."""
        return self._view == self._normal

    @property
    def leader(self) -> int:
        """See `ConsensusProtocol`: the primary of the view that this node follows or waits for."""
        return self._group.primary(self._view)

    @property
    def is_primary(self) -> bool:
        """Whether this node is the primary of the view that it follows."""
        return self._group.primary(self._normal) == self._me

    @property
    def _low(self) -> int:
        return self._checkpoints.stable.number

    @property
    def _silent(self) -> bool:
        """Whether this node lost its votes, and may have said anything about the next number."""
        return self._executed < self._context.silent_through

    def poke(self) -> None:
        """Transactions came, or a block reached the disk, or the node started."""
        if self._past is not None:
            past, self._past = self._past, None
            self._resume(past)
        self._checkpoint()
        self._forward()
        self._propose()
        self._watch()

    def handle(self, sender: int, message: Message) -> None:
        """Process one message; never raises because of what it says."""
        match message:
            case PrePrepare() | Prepare() | Commit():
                self._handle_normal(sender, message)
            case Forward():
                self._handle_forward(sender, message)
            case Checkpoint():
                self._accuse(sender, FaultKind.BAD_SIGNATURE, self._checkpoints.add(sender, message))
                self._advance_low()
            case ViewChange():
                self._handle_view_change(sender, message)
            case NewView():
                self._handle_new_view(sender, message)
            case Relay():
                self._handle_relay(sender, message)
            case Fetch():
                self._handle_fetch(sender, message)
            case Batch():
                self._handle_batch(sender, message)
            case Status():
                self._handle_status(sender, message)
            case Stable():
                self._accuse(sender, FaultKind.BAD_SIGNATURE, self._checkpoints.take(message.proof))
                self._advance_low()
            case _:
                self._outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)

    def timeout(self, name: str) -> None:
        """See `ConsensusProtocol`."""
        match name:
            case "request":
                self._request_timeout()
            case "new-view":
                if not self.active:
                    self._start_change(self._view + 1)
            case "resend":
                self._resend()
            case "fetch":
                self._fetch_missing()
            case "tidy":
                self._told.clear()

    def skip_to(self, epoch: int) -> None:
        """See `ConsensusProtocol`: state transfer through the ledger."""
        if epoch <= self._executed + 1:
            return
        self._executed = epoch - 1
        self._reserved = {number for number in self._reserved if number > self._executed}
        self._next = max(self._next, epoch)
        if len(self._relayed):
            self._relayed.remove(self._application.committed(list(self._relayed)))
        self._pin()
        self._advance_low()
        self._after_execution()
        self._execute()

    def held_bytes(self) -> HeldBytes:
        """Batches between the water marks."""
        held = {number: slot.held_bytes() for number, slot in sorted(self._slots.items())}
        longest = self._context.parameters.max_proposal_bytes
        largest = max((len(b) for slot in self._slots.values() for b in slot.batches.values()), default=0)
        return HeldBytes(held, 2 * longest, largest, longest)

    def status(self) -> dict[str, Any]:
        """For people."""
        return {
            "epoch": self.epoch,
            "horizon": self.horizon,
            "view": self._view,
            "active": self.active,
            "primary": self._group.primary(self._normal),
            "stable_checkpoint": self._low,
            "patience_s": self._suspicion.patience_s,
            "waiting_to_be_ordered": self._pool.count,
            "in_progress": [
                {"number": n, "prepared": slot.prepared, "committed": slot.committed, "has_batch": slot.has_batch}
                for n, slot in sorted(self._slots.items())
                if n > self._executed
            ],
        }

    # -- normal case ---------------------------------------------------------------------------------------

    def _handle_normal(self, sender: int, message: PrePrepare | Prepare | Commit) -> None:
        number, view = message.epoch, message.view
        if number <= self._low or view < self._normal:
            return
        if number > self.horizon:
            self._outbox.fault(sender, FaultKind.FUTURE_EPOCH, str(number))
            return
        if view > self._normal:
            self._keep_for_later(sender, message)
            return
        slot = self._slot(number)
        if isinstance(message, PrePrepare):
            self._handle_pre_prepare(sender, message, slot)
        elif isinstance(message, Prepare):
            if sender == self._group.primary(view):
                self._outbox.fault(sender, FaultKind.UNEXPECTED_VOTE, f"PREPARE {number} of the primary")
            elif slot.add_prepare(sender, message.digest, message.signature):
                self._progress(slot)
            else:
                self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"PREPARE {number}")
        elif slot.add_commit(sender, message.digest):
            self._progress(slot)
        else:
            self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"COMMIT {number}")

    def _slot(self, number: int) -> Slot:
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = Slot(self._group, number, self._normal)
        return slot

    def _handle_pre_prepare(self, sender: int, message: PrePrepare, slot: Slot) -> None:
        primary = self._group.primary(message.view)
        if sender != primary:
            self._outbox.fault(sender, FaultKind.NOT_THE_PRIMARY, f"PRE-PREPARE {slot.number}")
            return
        if slot.digest is not None:
            if slot.digest != message.digest:
                self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"PRE-PREPARE {slot.number}")
            elif not slot.has_batch and message.batch:
                self._take_batch(sender, slot, message.batch)
            return
        if message.digest == NULL or slot.number <= self._prescribed:
            # Only a NEW-VIEW may propose a null request, and what it prescribes is in its slot already.
            self._outbox.fault(sender, FaultKind.BAD_BATCH, f"PRE-PREPARE {slot.number}")
            return
        statement = pre_prepare_statement(self._group.chain_id, message.view, slot.number, message.digest)
        if not self._group.verify(primary, statement, message.signature):
            self._outbox.fault(sender, FaultKind.BAD_SIGNATURE, f"PRE-PREPARE {slot.number}")
            return
        self._context.observe(slot.number, "proposed")
        slot.propose(message.digest, message.signature)
        if slot.has_batch:
            self._vote(slot)
        elif message.batch:
            self._take_batch(sender, slot, message.batch)
        else:
            self._fetch_soon()
        self._progress(slot)
        self._watch()

    def _take_batch(self, sender: int, slot: Slot, batch: bytes) -> bool:
        """The batch of the accepted proposal; False if it is not that, or none that a correct primary proposes."""
        if slot.digest is None or batch_digest(batch) != slot.digest:
            self._outbox.fault(sender, FaultKind.BAD_BATCH, f"batch {slot.number} does not match its digest")
            return False
        content = decode_batch(batch, self._context.parameters, self._group.nodes)
        primary = self._group.primary(slot.view)
        if content is None or (slot.number > self._prescribed and content[0] != primary):
            # Whoever passed it on: it was the primary that proposed it.
            self._outbox.fault(primary, FaultKind.BAD_BATCH, f"batch {slot.number} is malformed")
            return False
        slot.batches[slot.digest] = batch
        slot.content = content if slot.number > self._executed else None
        self._vote(slot)
        return True

    def _vote(self, slot: Slot) -> None:
        """The proposal is accepted and its batch is here: PREPARE, unless this node is the primary or passive."""
        if slot.voted or slot.digest is None or not self.active or self._silent:
            return
        slot.voted = True
        batch = slot.batches.get(slot.digest)
        if not self._records.accepted(slot.number, slot.view, slot.digest, slot.pre_prepare, batch):
            return
        if not self.is_primary:
            self._outbox.broadcast(self._prepare(slot))

    def _prepare(self, slot: Slot) -> Prepare:
        digest = slot.digest or NULL
        signature = self._group.sign(prepare_statement(self._group.chain_id, slot.view, slot.number, digest))
        return Prepare(slot.number, slot.view, digest, signature)

    def _progress(self, slot: Slot) -> None:
        """Another vote, or the batch, has come."""
        if not slot.prepared:
            for node in slot.try_prepare():
                self._outbox.fault(node, FaultKind.BAD_SIGNATURE, f"PREPARE {slot.number}")
            if slot.prepared and slot.proof is not None and self.active and not self._silent:
                self._context.observe(slot.number, "prepared")
                self._records.committed(slot.proof)
                self._outbox.broadcast(Commit(slot.number, slot.view, slot.proof.digest))
        if slot.try_commit():
            self._context.observe(slot.number, "ordered")
            self._execute()
        elif slot.decided is not None and slot.missing is not None:
            self._fetch_soon()

    def _execute(self) -> None:
        """Hand over what is committed, in order."""
        advanced = False
        while (slot := self._slots.get(self._executed + 1)) is not None and slot.committed:
            if slot.decided == NULL or slot.decided is None:
                contributions: list[tuple[int, list[bytes]]] = []
            else:
                content = slot.content or decode_batch(
                    slot.batches[slot.decided], self._context.parameters, self._group.nodes
                )
                if content is None:
                    raise RuntimeError(f"batch {slot.number} was committed, but is malformed")
                contributions = [content]
                self._relayed.remove(content[1])
            slot.content = None
            self._executed += 1
            self._reserved.discard(self._executed)
            self._application.commit(self._executed, contributions)
            self._context.observe(self._executed, "committed")
            advanced = True
        if advanced:
            self._next = max(self._next, self._executed + 1)
            if self.active:
                self._suspicion.progress()
            self._after_execution()
            self._advance_low()
            self._propose()

    def _propose(self) -> None:
        """As the primary: full batches while others are in progress, and whatever there is when none is."""
        parameters = self._context.parameters
        while self.is_primary and self.active and not self._silent and not self._application.busy:
            number = self._next
            if number > min(self.horizon, self._executed + parameters.pipeline_depth):
                return
            available = self._pool.count + self._application.transactions_waiting
            if not available or (number > self._executed + 1 and available < parameters.batch_size):
                return
            transactions = self._select(number)
            if not transactions:
                return
            self._next += 1
            batch = encode_batch(self._me, transactions)
            digest = batch_digest(batch)
            address = (self._group.chain_id, self._normal, number, digest)
            signature = self._group.sign(pre_prepare_statement(*address))
            slot = self._slot(number)
            self._context.observe(number, "proposed")
            slot.propose(digest, signature)
            slot.batches[digest] = batch
            slot.content = (self._me, transactions)
            self._outbox.broadcast(PrePrepare(number, self._normal, digest, signature, batch))
            self._vote(slot)
            self._progress(slot)

    def _select(self, number: int) -> list[bytes]:
        """A batch: each node's transactions get an equal share, and what is left goes to whoever has more."""
        parameters = self._context.parameters
        count, room = parameters.batch_size, parameters.max_proposal_bytes - BATCH_FRAMING
        sources = [self._me, *self._pool.senders]
        chosen: list[bytes] = []
        for quota in (-(-count // len(sources)), count):
            for source in sources:
                wanted = min(quota, count - len(chosen))
                if source == self._me:
                    self._reserved.add(number)
                    taken = self._application.reserve(number, wanted, room) if wanted else []
                else:
                    taken = self._pool.take(source, wanted, room - FRAMING, FRAMING)
                room -= sum(map(len, taken)) + FRAMING * len(taken)
                chosen += taken
        return chosen

    # -- transactions of backups ---------------------------------------------------------------------------

    def _forward(self) -> None:
        if self.is_primary:
            return
        while chunk := self._forwarder.next_chunk():
            self._outbox.send(self._group.primary(self._normal), Forward(0, self._normal, chunk))

    def _handle_forward(self, sender: int, message: Forward) -> None:
        if sender == self._me or self._bad_transactions(sender, message.transactions):
            return
        if message.view < self._normal or self._group.primary(message.view) != self._me:
            # The sender forwards everything again as soon as it follows the present view.
            return
        self._pool.add(sender, message.view, message.transactions)
        self._propose()

    def _handle_relay(self, sender: int, message: Relay) -> None:
        if sender == self._me or self._bad_transactions(sender, message.transactions):
            return
        done = self._application.committed(message.transactions)
        new = self._relayed.add(sender, [tx for tx in message.transactions if tx not in done])
        if new:
            self._pass_on(new)
            self._watch()

    def _pass_on(self, transactions: list[bytes]) -> None:
        """Let the primary know of transactions that are relayed to this node."""
        if self.is_primary:
            self._pool.add(FROM_RELAYS, self._normal, transactions)
            self._propose()
        else:
            self._outbox.send(self._group.primary(self._normal), Forward(0, self._normal, transactions))

    def _bad_transactions(self, sender: int, transactions: list[bytes]) -> bool:
        lengths = set(map(len, transactions))
        if min(lengths) >= 1 and max(lengths) <= self._context.parameters.max_tx_bytes:
            return False
        self._outbox.fault(sender, FaultKind.BAD_REQUEST, "length of a transaction")
        return True

    # -- suspicion -----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Start the timer if something waits and it does not run; stop it if nothing waits."""
        if not self.active or self.is_primary:
            self._suspicion.stop()
            return
        watched = next(iter(self._forwarder.oldest() or self._relayed), None)
        if watched is not None or self._in_progress():
            if not self._suspicion.running:
                self._suspicion.start(watched)
        else:
            self._suspicion.stop()

    def _in_progress(self) -> bool:
        """Whether a proposal waits to be executed."""
        return any(n > self._executed and slot.digest is not None for n, slot in self._slots.items())

    def _after_execution(self) -> None:
        """The timer starts again if what it was for is done."""
        self._checkpoint()
        watched = self._suspicion.watched
        waits = watched is not None and (watched in self._relayed or self._application.still_pending([watched]))
        if not waits:
            self._suspicion.stop()
        self._watch()

    def _request_timeout(self) -> None:
        if not self.active or self.is_primary:
            return
        if self._suspicion.expired():
            self._start_change(self._view + 1)
            return
        relayed: list[bytes] = []
        for transaction in self._forwarder.oldest(RELAYED):
            if relayed and sum(map(len, relayed)) + len(transaction) > RELAY_BYTES:
                break
            relayed.append(transaction)
        if relayed:
            self._outbox.broadcast(Relay(0, relayed))
        self._outbox.broadcast(Status(0, self._view, self._low, False))

    # -- checkpoints ---------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Sign the newest checkpoint whose block is on disk."""
        number = self._application.durable_epoch
        number -= number % self._group.checkpoint_interval
        if number <= max(self._checkpointed, self._low, self._context.silent_through):
            return
        message = self._own_checkpoint(number)
        if message is not None:
            self._checkpointed = number
            self._outbox.broadcast(message)

    def _own_checkpoint(self, number: int) -> Checkpoint | None:
        digest = self._application.state_digest(number)
        if digest is None:
            return None
        statement = checkpoint_statement(self._group.chain_id, number, digest)
        return Checkpoint(0, number, digest, self._group.sign(statement))

    def _advance_low(self) -> None:
        """Move the water marks if a stable checkpoint allows it."""
        if not self._checkpoints.advance(self._executed):
            return
        low = self._low
        for number in [number for number in self._slots if number <= low]:
            del self._slots[number]
        self._future = {key: message for key, message in self._future.items() if key[1] > low}
        self._next = max(self._next, low + 1)
        self._records.forget(low)
        self._pin()
        if self._new_view is not None and self._prescribed > low:
            self._take_prescribed(self._new_view)
        self._propose()

    # -- view change ---------------------------------------------------------------------------------------

    def _start_change(self, view: int) -> None:
        """Leave for `view`: VIEW-CHANGE with the stable checkpoint and all prepared certificates above it."""
        if view <= self._view or self._silent:
            return
        self._view = view
        self._suspicion.leave()
        proofs = [slot.proof for number, slot in sorted(self._slots.items()) if slot.proof and number <= self.horizon]
        unsigned = ViewChange(0, view, self._checkpoints.stable, proofs, NO_SIGNATURE)
        signature = self._group.sign(view_change_statement(self._group.chain_id, unsigned))
        self._own_change = msgspec.structs.replace(unsigned, signature=signature)
        self._pin()
        self._context.observe(self._executed + 1, "view_change", view=view)
        self._outbox.broadcast(self._own_change)

    def _handle_view_change(self, sender: int, message: ViewChange) -> None:
        if sender != self._me and message.view <= self._normal:
            # It has missed the beginning of the view.
            self._tell_new_view(sender)
        if why := self._changes.add(sender, message):
            self._outbox.fault(sender, FaultKind.BAD_VIEW_CHANGE, why)
            return
        while (view := self._changes.to_join(self._view)) is not None and not self._silent:
            self._start_change(view)
        self._try_new_view()

    def _try_new_view(self) -> None:
        """N-f nodes want this node's view: wait for its primary, or be it."""
        if self.active:
            return
        changes = self._changes.of(self._view)
        if len(changes) < self._group.quorum or self._me not in changes:
            return
        if self._awaited_view < self._view:
            # Not before: who waits for a view that too few want runs away from the others.
            self._awaited_view = self._view
            self._suspicion.expect()
        if self._group.primary(self._view) != self._me or self._announced_view >= self._view:
            return
        self._announced_view = self._view
        others = [sender for sender in changes if sender != self._me][: self._group.quorum - 1]
        chosen = [(sender, changes[sender]) for sender in sorted([*others, self._me])]
        _, prescribed = choose(change for _, change in chosen)
        proposals = []
        for number, digest in prescribed:
            statement = pre_prepare_statement(self._group.chain_id, self._view, number, digest)
            proposals.append(Proposal(number, digest, self._group.sign(statement)))
        unsigned = NewView(0, self._view, chosen, proposals, NO_SIGNATURE)
        signature = self._group.sign(new_view_statement(self._group.chain_id, unsigned))
        self._outbox.broadcast(msgspec.structs.replace(unsigned, signature=signature))

    def _handle_new_view(self, sender: int, message: NewView) -> None:
        """From the primary, or passed on by whoever noticed that this node missed it."""
        if message.view <= self._normal:
            return
        if why := check_new_view(self._group, message, self._changes.of(message.view)):
            self._outbox.fault(sender, FaultKind.BAD_NEW_VIEW, why)
            return
        self._enter(message)

    def _enter(self, new_view: NewView) -> None:
        """Follow the view from now on; vote in it, too, unless this node is promised to a higher one."""
        stable, prescribed = choose(change for _, change in new_view.changes)
        self._normal = new_view.view
        self._new_view = new_view
        self._suspicion.stop()
        if self._view <= self._normal:
            self._view = self._normal
            self._suspicion.entered()
        self._prescribed = prescribed[-1][0] if prescribed else stable.number
        self._checkpoints.take(stable)
        self._pin()
        for slot in self._slots.values():
            slot.enter(self._normal)
        self._next = max(self._prescribed, self._low) + 1
        for number in self._reserved:
            self._application.release(number)
        self._reserved.clear()
        self._pool.keep_only(self._normal)
        self._forwarder.start_over()
        self._context.observe(self._executed + 1, "new_view", view=self._normal)
        self._take_prescribed(new_view)
        self._advance_low()
        self._replay_future()
        self._forward()
        if len(self._relayed):
            self._pass_on(list(self._relayed))
        self._watch()

    def _take_prescribed(self, new_view: NewView) -> None:
        """O of the NEW-VIEW: PRE-PREPAREs whose batches this node may have to ask for."""
        for proposal in new_view.proposals:
            if not self._low < proposal.number <= self.horizon:
                # Those above come when the water marks have moved.
                continue
            slot = self._slot(proposal.number)
            if slot.digest is None:
                self._context.observe(slot.number, "proposed")
                slot.propose(proposal.digest, proposal.signature)
            if slot.has_batch:
                self._vote(slot)
            else:
                self._fetch_soon()
            self._progress(slot)

    def _keep_for_later(self, sender: int, message: PrePrepare | Prepare | Commit) -> None:
        """A view that has not begun here: without the batch, which can be fetched; and ask for the NEW-VIEW."""
        key = (sender, message.epoch, type(message))
        known = self._future.get(key)
        if known is None or known.view < message.view:
            if isinstance(message, PrePrepare):
                message = msgspec.structs.replace(message, batch=b"")
            self._future[key] = message
        self._tell(sender, "status", b"", Status(0, self._normal, self._low, False))

    def _replay_future(self) -> None:
        kept, self._future = self._future, {}
        for key, message in kept.items():
            if message.view > self._normal:
                self._future[key] = message
            elif message.view == self._normal and message.epoch <= self.horizon:
                self._handle_normal(key[0], message)

    def _resend(self) -> None:
        """Links are reliable between two incarnations only: remind everybody of an unfinished view change."""
        if self.active or self._own_change is None or self._own_change.view != self._view:
            return
        self._outbox.broadcast(self._own_change)
        self._outbox.broadcast(Status(0, self._normal, self._low, False))
        self._suspicion.resend_later()

    # -- batches that are missing --------------------------------------------------------------------------

    def _missing(self) -> list[Slot]:
        return [slot for slot in self._slots.values() if slot.missing is not None]

    def _fetch_soon(self) -> None:
        """Not at once: usually the batch is on its way."""
        if not self._fetching:
            self._fetching = True
            self._context.timers.set(FETCH, FETCH_S / 5)

    def _fetch_missing(self) -> None:
        """Ask one node for each missing batch, another one each time: at least f+1 correct nodes have whatever was
        prepared."""
        missing = self._missing()
        self._fetching = bool(missing)
        if not missing:
            return
        self._fetch_turn = (self._fetch_turn + 1) % self._group.nodes
        if self._fetch_turn == self._me:
            self._fetch_turn = (self._fetch_turn + 1) % self._group.nodes
        for slot in missing:
            self._outbox.send(self._fetch_turn, Fetch(0, slot.missing or NULL))
        self._context.timers.set(FETCH, FETCH_S)

    def _handle_fetch(self, sender: int, message: Fetch) -> None:
        for slot in self._slots.values():
            batch = slot.batches.get(message.digest)
            if batch is not None:
                self._tell(sender, "batch", message.digest, Batch(0, batch))
                return

    def _handle_batch(self, sender: int, message: Batch) -> None:
        missing = self._missing()
        if not missing:
            return
        digest = batch_digest(message.batch)
        for slot in missing:
            if slot.missing != digest:
                continue
            if slot.decided == digest:
                # N-f nodes have checked it.
                slot.batches[digest] = message.batch
                if slot.digest == digest:
                    self._vote(slot)
                self._progress(slot)
            elif self._take_batch(sender, slot, message.batch):
                self._progress(slot)

    # -- who has missed what -------------------------------------------------------------------------------

    def _handle_status(self, sender: int, message: Status) -> None:
        if sender == self._me:
            return
        if message.view < self._normal or (message.fresh and message.view <= self._normal):
            self._tell_new_view(sender)
        if not self.active and self._own_change is not None and message.view <= self._own_change.view:
            self._tell(sender, "change", b"", self._own_change)
        if message.stable < self._low:
            self._tell(sender, "stable", b"", Stable(0, self._checkpoints.stable))
        if message.stable < self._checkpointed:
            own = self._own_checkpoint(self._checkpointed)
            if own is not None:
                self._tell(sender, "checkpoint", b"", own)
        if message.fresh and sender == self._group.primary(self._normal) and self._mark(sender, "again", b""):
            # The primary has forgotten what was forwarded to it.
            self._forwarder.start_over()
            self._forward()
            self._after_execution()

    def _tell_new_view(self, node: int) -> None:
        if self._new_view is not None:
            self._tell(node, "new view", b"", self._new_view)

    def _tell(self, node: int, what: str, which: bytes, message: Message) -> None:
        """Send, unless the node was told the same kind of thing a moment ago."""
        if node != self._me and self._mark(node, what, which):
            self._outbox.send(node, message)

    def _mark(self, node: int, what: str, which: bytes) -> bool:
        key = (node, what, which)
        if key in self._told:
            return False
        if not self._told:
            self._context.timers.set(TIDY, TIDY_S)
        self._told.add(key)
        return True

    def _accuse(self, node: int, kind: FaultKind, why: str) -> None:
        if why:
            self._outbox.fault(node, kind, why)

    # -- restarts ------------------------------------------------------------------------------------------

    def _pin(self) -> None:
        """Make durable what belongs to no number."""
        change = None if self.active else self._own_change
        low = max(self._low, self._executed)
        self._records.pin(low, self._view, change, self._new_view, self._checkpoints.stable)

    def _restore(self, past: Past) -> None:
        """Take up the votes of earlier lives; nothing is sent yet."""
        if past.empty:
            return
        self._checkpoints.restore(past.stable)
        self._view = past.view
        self._own_change = past.change
        if past.new_view is not None:
            self._new_view = past.new_view
            self._normal = past.new_view.view
            stable, prescribed = choose(change for _, change in past.new_view.changes)
            self._prescribed = prescribed[-1][0] if prescribed else stable.number
        self._view = max(self._view, self._normal)
        self._next = max(self._executed, self._low, self._prescribed) + 1
        numbers = sorted(past.accepted.keys() | past.proofs.keys() | past.batches.keys())
        for number in [number for number in numbers if number > self._low]:
            slot = self._slot(number)
            slot.proof = past.proofs.get(number)
            accepted = past.accepted.get(number, {}).get(self._normal)
            slot.batches = dict(past.batches.get(number, {}))
            for digest in slot.batches:
                self._records.has_batch(number, digest)
            if accepted is not None:
                slot.propose(*accepted)
                slot.voted = True
                self._next = max(self._next, number + 1)

    def _resume(self, past: Past) -> None:
        """Say again what was said before: PRE-PREPARE, PREPARE, COMMIT, VIEW-CHANGE, NEW-VIEW; and ask for news."""
        if not past.empty:
            self._pin()
            if self.active:
                self._repeat_votes()
            elif self._own_change is not None:
                self._outbox.broadcast(self._own_change)
                self._suspicion.resend_later()
        self._outbox.broadcast(Status(0, self._normal, self._low, True))

    def _repeat_votes(self) -> None:
        if self._new_view is not None:
            if self.is_primary:
                self._outbox.broadcast(self._new_view)
            self._take_prescribed(self._new_view)
        for slot in [slot for _, slot in sorted(self._slots.items()) if slot.voted and slot.digest is not None]:
            digest = slot.digest or NULL
            if not self.is_primary:
                self._outbox.broadcast(self._prepare(slot))
            elif slot.number > self._prescribed:
                batch = slot.batches.get(digest, b"")
                self._outbox.broadcast(PrePrepare(slot.number, slot.view, digest, slot.pre_prepare, batch))
            if slot.prepared:
                self._outbox.broadcast(Commit(slot.number, slot.view, digest))
            self._progress(slot)


def _longest_bulk(parameters: Parameters, quorums: Quorums) -> int:
    """A batch, or a NEW-VIEW of a large group: N-f VIEW-CHANGEs with a certificate for each number."""
    certificate = 96 * (quorums.quorum + 2)
    new_view = (quorums.quorum + 1) * (2 * parameters.epoch_window + 1) * certificate
    return max(parameters.max_proposal_bytes + 64, new_view)


def _kept_epochs(parameters: Parameters) -> int:
    """Votes are needed back to the low water mark, which is at most L below what was executed."""
    return 2 * parameters.epoch_window


SPECIFICATION = Specification(
    "pbft",
    MESSAGE_TYPES,
    PBFT,
    _longest_bulk,
    _kept_epochs,
    defaults={"encryption": "never", "pipeline_depth": 2},
    fixed=frozenset({"encryption"}),
    whole_batches=True,
    needs_signing_keys=True,
    strategies=frozenset({"silent"}),
)

__all__ = ["NEW_VIEW", "PBFT", "REQUEST", "RESEND", "SPECIFICATION"]
