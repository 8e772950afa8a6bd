"""After the loss of the vote journal: which views a replica stays out of.

It may have sent VIEW-CHANGE for a view v and forgotten it. Whoever holds that message may begin v with it at any time,
and it shows nothing that this node votes for from now on: so the node must vote in no view below v. It asks the others
for the views that they have promised themselves to, and stays out of all views up to the (A-2f)-th highest of A answers
(2f+1 or more): it executes what others decide, joins f+1 others in a higher view, and votes again there.

Why that is enough. Let g be the highest view for which, or for a higher one, N-f nodes had sent VIEW-CHANGE (0 at the
beginning). A correct node votes in no view above g, and has promised itself to none above g+1: it leaves a view after
that has begun, or after N-f nodes have wanted it, or it joins f+1 others, one of whom is correct. With b ≤ f liars,
N-f-1-b correct nodes beside this one wanted g, and A-b answers come from the N-1-b correct others; so A-f-b answers or
more are g at least. With fewer than f liars (this node counts as faulty until it votes again), once all correct nodes
have answered, the (A-2f)-th highest is not above what one of them said, so liars cannot keep it out for ever.

What remains: a second node that loses its journal before the view changes raises the bound by one; and if more than f
are without a promise at once, none of them learns enough.
"""

from __future__ import annotations

from honeybadger.protocols.pbft.messages import AskView, PromisedView
from honeybadger.protocols.pbft.news import News
from honeybadger.protocols.pbft.state import State
from honeybadger.protocols.pbft.suspicion import PROMISE


class Promises:
    """See the module. Sets `State.lowest_view`."""

    def __init__(self, state: State, news: News) -> None:
        self._state = state
        self._news = news
        self._nonce = state.context.randbytes(16)
        #: sender → view
        self._answers: dict[int, int] = {}

    def ask(self) -> None:
        """Ask everybody, again and again, unless the promise is known, or nothing more can be learnt."""
        state = self._state
        unknown = state.lowest_view is None or state.normal < state.lowest_view
        if unknown and len(self._answers) < state.group.nodes - 1:
            state.outbox.broadcast(AskView(0, self._nonce))
            state.context.timers.set(PROMISE, state.parameters.view_timeout_s)

    def answer(self, sender: int, message: AskView) -> None:
        """Tell, unless this node does not know itself."""
        state = self._state
        if state.lowest_view is not None:
            promised = max(state.view, state.lowest_view)
            self._news.tell(sender, "promise", message.nonce, PromisedView(0, message.nonce, promised))

    def take(self, sender: int, message: PromisedView) -> None:
        """Count an answer to this life's question. With each one the bound can only sink."""
        state = self._state
        if sender == state.me or message.nonce != self._nonce:
            return
        self._answers.setdefault(sender, message.view)
        beyond = len(self._answers) - state.group.checkpoint_quorum
        if beyond >= 0:
            state.lowest_view = sorted(self._answers.values(), reverse=True)[beyond] + 1
