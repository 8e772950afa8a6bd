"""When a view ends, and how all nodes come to the same one: votes, time-outs, certificates, one timer.

A view is over with a QC or a TC of it. Votes go to the next leader only, so a dead one costs two time-outs, its own and
that of the view before. But the block before it is not lost, because time-outs carry votes: then everybody has its QC.
A node joins f+1 others who give up; fewer could be liars. A liar makes no view fail but its own. (If a node's own vote
ended a view for it, a dead leader would cost one time-out, and a liar could split the votes for its blocks and so rob
the next leader of its turn, each time.)

Patience doubles with each TC until a block is committed, so that all nodes are in one view for long enough at last. No
timer runs while nobody waits for anything.
"""

from honeybadger.protocols.context import Context
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.hotstuff.certificates import Members, check_quorum, check_timed_out, timeout_statement
from honeybadger.protocols.hotstuff.memory import Memory
from honeybadger.protocols.hotstuff.messages import (
    NO_TIMEOUT,
    Certificates,
    HotStuffFault,
    Quorum,
    SignedVote,
    Status,
    TimedOut,
    Timeout,
)
from honeybadger.protocols.hotstuff.parameters import HotStuffParameters

#: names of timers
VIEW = "view"
TIDY = "tidy"
#: nobody is told the same thing twice in this many seconds
TIDY_S = 0.2
#: the patience is doubled at most this often: 1 s becomes 68 minutes
MOST_DOUBLINGS = 12


class Pacemaker:
    """Changes the certificates in `memory`, and with them the view."""

    def __init__(self, context: Context, members: Members, memory: Memory) -> None:
        self._outbox = context.outbox
        self._timers = context.timers
        self._base_s = HotStuffParameters.of(context.parameters).view_timeout_s
        self._members = members
        self._memory = memory
        #: by node: its newest vote, and the newest view in which it says that it waits
        self._votes: dict[int, SignedVote] = {}
        self._waiting: dict[int, int] = {}
        #: of the view that this node was last seen in: node → view of its highest QC, signature of its time-out
        self._timeouts: dict[int, tuple[int, bytes]] = {}
        self._entered = 0
        #: the highest view that this life has given up
        self._given_up = 0
        self._told: set[tuple[int, int, int]] = set()
        #: TCs since a block was committed
        self.failures = 0
        self._running = False

    @property
    def patience_s(self) -> float:
        return self._base_s * 2.0 ** min(self.failures, MOST_DOUBLINGS)

    @property
    def others_wait(self) -> bool:
        return any(view >= self._memory.view for view in self._waiting.values())

    # -- certificates --------------------------------------------------------------------------------------

    def learn(self, sender: int, high: Quorum, timed_out: TimedOut) -> bool:
        """Follow certificates that are higher than those known here; False, and a fault, if one is invalid."""
        memory = self._memory
        if high.view > memory.high.view:
            if self._accused(sender, check_quorum(self._members, high)):
                return False
            memory.high = high
        if timed_out.view > memory.timed_out.view:
            if self._accused(sender, check_timed_out(self._members, timed_out)):
                return False
            self._gave_up(timed_out)
        return True

    def valid(self, sender: int, high: Quorum, timed_out: TimedOut) -> bool:
        """Whether both certificates are valid, known or not; if not, a fault."""
        known = self._memory.high
        same = (high.view, high.height, high.block) == (known.view, known.height, known.block)
        return not self._accused(
            sender, ("" if same else check_quorum(self._members, high)) or check_timed_out(self._members, timed_out)
        )

    def handle_certificates(self, sender: int, message: Certificates) -> None:
        self.learn(sender, message.high, message.timed_out)

    def handle_status(self, sender: int, message: Status) -> None:
        view = self._memory.view
        if message.view < view:
            self._tell(sender)
        if message.waits and message.view <= view + 1:
            self._waiting[sender] = message.view

    # -- votes ---------------------------------------------------------------------------------------------

    def handle_vote(self, sender: int, vote: SignedVote) -> None:
        """Count it; N-f equal ones are a QC."""
        known = self._votes.get(sender)
        if vote == known or vote.view <= self._memory.high.view or (known is not None and vote.view < known.view):
            return
        if not self._members.verify_vote(sender, vote):
            self._outbox.fault(sender, HotStuffFault.BAD_SIGNATURE, f"vote of view {vote.view}")
            return
        if known is not None and vote.view == known.view:
            self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"vote of view {vote.view}")
            return
        self._votes[sender] = vote
        what = (vote.view, vote.height, vote.block)
        same = sorted(node for node, v in self._votes.items() if (v.view, v.height, v.block) == what)
        if len(same) >= self._members.quorum:
            signatures = [(node, self._votes[node].signature) for node in same[: self._members.quorum]]
            self._memory.high = Quorum(*what, signatures)

    # -- time-outs -----------------------------------------------------------------------------------------

    def handle_timeout(self, sender: int, message: Timeout) -> None:
        """Count it; N-f of one view are a TC."""
        memory, members = self._memory, self._members
        if not self.learn(sender, message.high, message.timed_out):
            return
        if message.vote.view:
            self.handle_vote(sender, message.vote)
        if message.high.view < memory.high.view or message.view < memory.view:
            self._tell(sender)
        # A correct sender has shown how it came to its view.
        if message.view != memory.view:
            return
        if not members.verify(sender, timeout_statement(message.view, message.high.view), message.signature):
            self._outbox.fault(sender, HotStuffFault.BAD_SIGNATURE, f"time-out of view {message.view}")
            return
        self._enter()
        self._timeouts[sender] = (message.high.view, message.signature)
        self._waiting[sender] = message.view
        if self._given_up < message.view and len(self._timeouts) >= members.weak:
            self.give_up()
        if len(self._timeouts) >= members.quorum:
            chosen = sorted(self._timeouts.items())[: members.quorum]
            self._gave_up(TimedOut(message.view, [(node, *signed) for node, signed in chosen]))

    def give_up(self) -> None:
        """Do not vote in the present view any more, and say so."""
        memory, view = self._memory, self._memory.view
        if memory.silent:
            return
        memory.stop(view)
        self._given_up = view
        timed_out = memory.timed_out if memory.timed_out.view > memory.high.view else NO_TIMEOUT
        signature = self._members.sign(timeout_statement(view, memory.high.view))
        self._outbox.broadcast(Timeout(0, view, memory.high, timed_out, memory.vote, signature))

    def _gave_up(self, timed_out: TimedOut) -> None:
        self._memory.timed_out = timed_out
        if timed_out.view > self._memory.high.view:
            self.failures += 1

    # -- the timer -----------------------------------------------------------------------------------------

    def look(self, waits: bool) -> None:
        """Run the timer of the present view while this node `waits` for something, and only then."""
        self._enter()
        if not waits:
            self._stop()
        elif not self._running:
            self._running = True
            self._timers.set(VIEW, self.patience_s)

    def expired(self) -> None:
        """The time is up; `look` starts it again, since messages of an earlier life may be lost."""
        self._running = False
        self.give_up()

    def _enter(self) -> None:
        """If the view is a new one, nobody has given it up, and the time begins."""
        if self._entered != self._memory.view:
            self._entered = self._memory.view
            self._timeouts.clear()
            self._stop()

    def tidy(self) -> None:
        self._told.clear()

    def _stop(self) -> None:
        if self._running:
            self._running = False
            self._timers.cancel(VIEW)

    def _tell(self, node: int) -> None:
        """Show a node that is behind the highest certificates, once in a while."""
        memory = self._memory
        what = (node, memory.high.view, memory.timed_out.view)
        if node == self._members.me or what in self._told:
            return
        if not self._told:
            self._timers.set(TIDY, TIDY_S)
        self._told.add(what)
        self._outbox.send(node, Certificates(0, memory.high, memory.timed_out))

    def _accused(self, node: int, why: str) -> bool:
        if why:
            self._outbox.fault(node, HotStuffFault.INVALID_CERTIFICATE, why)
        return bool(why)
