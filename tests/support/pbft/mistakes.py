"""Mistakes that implementations of PBFT make, to be put in on purpose: the search must find each of them.

Each takes `patch(owner, name, value)`.
"""

from inspect import isfunction

from honeybadger.protocols.pbft import certificates, state, view_change
from honeybadger.protocols.pbft.certificates import Group
from honeybadger.protocols.pbft.log import Slot
from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.protocols.pbft.state import Past, Records, State, Vote
from honeybadger.protocols.pbft.view_change import ViewChanges
from honeybadger.protocols.pbft.watch import Watch
from honeybadger.simulation.journals import JournalModel


def first_batch(patch):
    """Executes the batch that was proposed here first, whatever was decided."""
    execute = NormalCase.execute

    def wrong(self):
        for slot in self._state.slots.values():
            if slot.contradicted and slot.digest in slot.batches:
                slot.decided = slot.digest
        return execute(self)

    patch(NormalCase, "execute", wrong)


def dropped_batch(patch):
    """A proposal that comes after the decision drops the decided batch, and replaces it."""
    propose = Slot.propose

    def wrong(self, digest, signature):
        propose(self, digest, signature)
        self.batches = {known: batch for known, batch in self.batches.items() if known == digest}

    patch(Slot, "propose", wrong)


def small_quorum(patch):
    """N-f-1 make a certificate."""
    init = Group.__init__

    def wrong(self, context):
        init(self, context)
        self.quorum -= 1

    patch(Group, "__init__", wrong)


def unchecked_certificates(patch):
    """A VIEW-CHANGE is believed if its own signature is good."""
    patch(certificates, "check_prepared", lambda group, proof: "")


def unchecked_new_view(patch):
    """A NEW-VIEW is believed whatever it proposes."""
    patch(view_change, "check_new_view", lambda group, new_view, known: "")


def any_certificate(patch):
    """Of several certificates of a number, that of the lowest view is followed."""
    choose = certificates.choose

    def wrong(changes):
        changes = list(changes)
        stable, prescribed = choose(changes)
        proofs = sorted((p for c in changes for p in c.prepared), key=lambda proof: -proof.view)
        lowest = {proof.number: proof.digest for proof in proofs}
        return stable, [(number, lowest.get(number, digest)) for number, digest in prescribed]

    for module in (certificates, view_change, state):
        patch(module, "choose", wrong)


def forgotten_votes(patch):
    """A restarted node knows nothing of what it has said."""
    patch(JournalModel, "crash", lambda self: (self._slots.clear(), self._fresh.clear()))


def forgotten_proposal(patch):
    """A restarted node has forgotten for which proposals it has voted."""
    take = Past._take
    patch(Past, "_take", lambda self, epoch, vote, *rest: vote == Vote.PRE_PREPARE or take(self, epoch, vote, *rest))
    accepted = Records.accepted
    patch(Records, "accepted", lambda *args: accepted(*args) or True)


def forgotten_certificates(patch):
    """The certificate that a COMMIT promises does not survive a restart."""
    patch(Records, "committed", lambda self, proof: None)


def broken_promise(patch):
    """A node votes on in a view that it has left."""
    patch(State, "may_vote", property(lambda self: self.allows(self.normal)))


def unnoticed_loss(patch):
    """After the loss of its journal a node goes on as if it had never voted or promised anything."""
    patch(JournalModel, "lose", lambda self, margin=0: (self._slots.clear(), self._fresh.clear()))


def exact_view(patch):
    """Nodes wait for a view only if N-f want just this one."""
    patch(ViewChanges, "wanting", lambda self, view: len(self.of(view)))


def loyal_primary(patch):
    """A primary never gives up its own view."""
    look = Watch.look
    patch(Watch, "look", lambda self: self.stop() if self._state.is_primary else look(self))


def forgotten_batches(patch):
    """Only the batches of the last proposal and of the certificate are kept."""
    propose = Slot.propose

    def wrong(self, digest, signature):
        propose(self, digest, signature)
        keep = {digest, self.decided, self.proof.digest if self.proof else None}
        self.batches = {known: batch for known, batch in self.batches.items() if known in keep}

    patch(Slot, "propose", wrong)


def unread_batch(patch):
    """A batch that was asked for is not compared with its digest."""
    handle = NormalCase.handle_batch

    def wrong(self, sender, message):
        for slot in self._catch_up.missing:
            if slot.decided is not None:
                slot.add_batch(slot.decided, message.batch)
        handle(self, sender, message)

    patch(NormalCase, "handle_batch", wrong)


MISTAKES = {name: f for name, f in list(globals().items()) if isfunction(f) and f.__module__ == __name__}
