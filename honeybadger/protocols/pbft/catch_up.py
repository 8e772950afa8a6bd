"""What a replica asks others for after it has missed or lost something, and what it answers to those who ask.

Links are reliable between two incarnations of two nodes only; what was said to an earlier one has to be said again.
So nodes say where they are (STATUS), and those who are further tell them what they missed. A batch that is known by
its digest only is asked for (FETCH), one node at a time. All answers are limited in rate.

After the loss of the vote journal a replica asks which views it must stay out of (ASK-VIEW). It may have sent
VIEW-CHANGE for a view v and forgotten it. A node that holds this message may begin v with it at any time, and it shows
nothing that this node votes for from now on: so the node must vote in no view below v. It stays out of all views up to
the (A-2f)-th highest of A answers (2f+1 or more): it executes what others decide, joins f+1 others in a higher view,
and votes again there.

Why that is enough. Let g be the highest view for which, or for a higher one, N-f nodes had sent VIEW-CHANGE (0 at the
beginning). A correct node votes in no view above g, and has promised itself to none above g+1: it leaves a view after
that has begun, or after N-f nodes have wanted it, or it joins f+1 others, one of whom is correct. With b ≤ f liars,
N-f-1-b correct nodes other than this one wanted g, and A-b answers come from the N-1-b correct others; so A-f-b answers
or more are g at least. With fewer than f liars (this node counts as faulty until it votes again), once all correct
nodes have answered, the (A-2f)-th highest is not above what one of them said, so liars cannot keep it out forever.

What remains: a second node that loses its journal before the view changes raises the bound by one; and if more than f
are without a promise at once, none of them learns enough.
"""

from honeybadger.protocols.pbft.certificates import NULL
from honeybadger.protocols.pbft.log import Slot
from honeybadger.protocols.pbft.messages import AskView, Batch, Fetch, PromisedView, Stable, Status
from honeybadger.protocols.pbft.parameters import PBFTParameters
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.wire import Message

#: names of timers
FETCH = "fetch"
TIDY = "tidy"
PROMISE = "promise"
#: how often a missing batch is asked for, in seconds
FETCH_S = 0.25
#: for this many seconds a peer gets no second answer of the same kind
TIDY_S = 0.5


class CatchUp:
    """Questions and answers between replicas. Sets `State.lowest_view`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._timers = state.context.timers
        #: (node, kind of answer, which one) of the last `TIDY_S` seconds
        self._told: set[tuple[int, str, bytes]] = set()
        #: the node that was asked for batches last, and whether the timer for the next one runs
        self._turn = 0
        self._fetching = False
        #: tells answers to this life's question from those to an earlier one, when less may have been promised
        self._nonce = state.context.randbytes(16)
        #: sender → the view that it has promised itself to
        self._promises: dict[int, int] = {}

    # -- where nodes are -----------------------------------------------------------------------------------

    def status(self, *, fresh: bool = False) -> Status:
        return Status(0, self._state.normal, self._state.low, fresh)

    def handle_status(self, sender: int, message: Status) -> None:
        """Tell the sender which view and which checkpoints it has missed."""
        state = self._state
        if message.view < state.normal or (message.fresh and message.view <= state.normal):
            self.tell_new_view(sender)
        if not state.active and state.own_change is not None and message.view <= state.own_change.view:
            self.tell(sender, "change", state.own_change)
        if message.stable < state.low:
            self.tell(sender, "stable", Stable(0, state.checkpoints.stable))
        if (own := state.checkpoints.newest_above(message.stable)) is not None:
            self.tell(sender, "checkpoint", own)

    def ask_status(self, node: int) -> None:
        """`node` is in a view that this one knows nothing of: let it tell."""
        self.tell(node, "status", self.status())

    def tell_new_view(self, node: int) -> None:
        """How the present view began."""
        if self._state.new_view is not None:
            self.tell(node, "new view", self._state.new_view)

    def tell(self, node: int, what: str, message: Message, which: bytes = b"") -> None:
        """Send, unless the node was told the same kind of thing a moment ago."""
        if node != self._state.me and self.first_time(node, what, which):
            self._state.outbox.send(node, message)

    def first_time(self, node: int, what: str, which: bytes = b"") -> bool:
        """Whether this was not asked for the node and kind of thing a moment ago."""
        key = (node, what, which)
        if key in self._told:
            return False
        if not self._told:
            self._timers.set(TIDY, TIDY_S)
        self._told.add(key)
        return True

    def tidy(self) -> None:
        self._told.clear()

    # -- batches -------------------------------------------------------------------------------------------

    @property
    def missing(self) -> list[Slot]:
        return [slot for slot in self._state.slots.values() if slot.missing is not None]

    def fetch_soon(self) -> None:
        """Not at once: usually the batch is on its way."""
        if not self._fetching:
            self._fetching = True
            self._timers.set(FETCH, FETCH_S / 5)

    def fetch(self) -> None:
        """Ask one node for each missing batch, another one each time: at least f+1 correct nodes have whatever was
        prepared."""
        missing = self.missing
        self._fetching = bool(missing)
        if not missing:
            return
        nodes, me = self._state.group.nodes, self._state.me
        self._turn = (self._turn + 1) % nodes
        if self._turn == me:
            self._turn = (self._turn + 1) % nodes
        for slot in missing:
            self._state.outbox.send(self._turn, Fetch(0, slot.missing or NULL))
        self._timers.set(FETCH, FETCH_S)

    def handle_fetch(self, sender: int, message: Fetch) -> None:
        """Send a batch that somebody asks for, if it is here."""
        for slot in self._state.slots.values():
            batch = slot.batches.get(message.digest)
            if batch is not None:
                self.tell(sender, "batch", Batch(0, batch), message.digest)
                return

    # -- views after a lost journal ------------------------------------------------------------------------

    def ask_views(self) -> None:
        """Ask everybody, again and again, unless the promise is known, or nothing more can be learnt."""
        state = self._state
        unknown = state.lowest_view is None or state.normal < state.lowest_view
        if unknown and len(self._promises) < state.group.nodes - 1:
            state.outbox.broadcast(AskView(0, self._nonce))
            self._timers.set(PROMISE, PBFTParameters.of(state.parameters).view_timeout_s)

    def handle_ask_view(self, sender: int, message: AskView) -> None:
        """Tell, unless this node does not know itself."""
        state = self._state
        if state.lowest_view is not None:
            promised = max(state.view, state.lowest_view)
            self.tell(sender, "promise", PromisedView(0, message.nonce, promised), message.nonce)

    def handle_promised_view(self, sender: int, message: PromisedView) -> None:
        """Count an answer to this life's question. With each one the bound can only sink."""
        state = self._state
        if sender == state.me or message.nonce != self._nonce:
            return
        self._promises.setdefault(sender, message.view)
        # A-2f-1 of A answers, with 2f+1 = the quorum of checkpoints; the docstring of this file says why.
        beyond = len(self._promises) - state.group.checkpoint_quorum
        if beyond >= 0:
            state.lowest_view = sorted(self._promises.values(), reverse=True)[beyond] + 1
