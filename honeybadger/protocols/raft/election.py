"""Who leads. A term has one leader at most: each node votes once in a term, on disk before it says so, and only for a
node whose log is at least as up to date as its own. So the leader of a term has every entry that was committed before.

PreVote: a node asks first whether a majority would vote for it, and nobody's term changes. A node that hears a leader
says no. So one that was cut off comes back without disturbing the others.
CheckQuorum: a leader that has not heard a majority for an election time-out steps down; its clients can go elsewhere.

Source: Ongaro, Ousterhout (USENIX ATC 2014), sections 5.2 and 5.4.1; Ongaro's dissertation, sections 6.2 and 9.6.
"""

from enum import Enum, auto

from honeybadger.protocols.context import Context
from honeybadger.protocols.raft.messages import RequestVote, Vote
from honeybadger.protocols.raft.parameters import RaftParameters
from honeybadger.protocols.replicated_log.log import Log
from honeybadger.protocols.replicated_log.promise import Promise

#: names of timers: when to want to lead; until when a leader counts as alive; when a leader looks around
ELECTION, LEASE, QUORUM = "election", "lease", "quorum"


class Role(Enum):
    FOLLOWER = auto()
    PRE_CANDIDATE = auto()
    CANDIDATE = auto()
    LEADER = auto()


class Election:
    """One node's role. It does not touch the log, which it reads to compare."""

    def __init__(self, context: Context, log: Log, promise: Promise) -> None:
        parameters = RaftParameters.of(context.parameters)
        self._context = context
        self._log = log
        self._timeout_s = parameters.election_timeout_s
        self.promise = promise
        self.role = Role.FOLLOWER
        #: of the present term, as far as this node knows
        self.leader: int | None = None
        #: whether a leader was heard of within the last election time-out
        self._leader_alive = False
        #: who would vote, or has voted, for this node; who was heard since a leader last looked
        self._votes: set[int] = set()
        self._heard: set[int] = set()

    @property
    def term(self) -> int:
        return self.promise.term

    @property
    def may_vote(self) -> bool:
        """A node that has lost its journal may have voted in any term: it only copies from now on, and leads never."""
        return not self._context.silent_through

    def start(self) -> None:
        """Nobody knows a leader: wait less, the first time."""
        self._context.timers.set(ELECTION, self._timeout_s * (0.1 + self._random()))

    def heard_leader(self, leader: int) -> None:
        """A message of the present term's leader."""
        if self.role is not Role.LEADER:
            self.role, self.leader, self._leader_alive = Role.FOLLOWER, leader, True
            self._context.timers.set(LEASE, self._timeout_s)
            self._wait()

    def heard(self, sender: int) -> None:
        """A follower has answered."""
        self._heard.add(sender)

    def saw_term(self, term: int) -> None:
        """A term has begun that this node did not know of."""
        if term > self.term:
            self.promise.enter(term)
            self._step_down()

    def campaign(self) -> None:
        """The time is up: ask who would vote for this node."""
        self._wait()
        if self.role is Role.LEADER or not self.may_vote:
            return
        self.role, self.leader = Role.PRE_CANDIDATE, None
        self._votes = {self._context.me}
        self._ask(self.term + 1, pre=True)
        self._win()

    def lease_over(self) -> None:
        self._leader_alive = False

    def check_quorum(self) -> None:
        """As the leader: step down if a majority is silent."""
        if self.role is Role.LEADER:
            self._context.timers.set(QUORUM, self._timeout_s)
            if len(self._heard | {self._context.me}) < self._context.quorums.quorum:
                self._step_down()
            self._heard.clear()

    def handle_request(self, sender: int, message: RequestVote) -> None:
        up_to_date = (message.last_term, message.last) >= (self._log.promised_term, self._log.last)
        alive = self._leader_alive or self.role is Role.LEADER
        if alive or not self.may_vote or not up_to_date:
            # The candidate learns of a term that it does not know; a later one than ours begins all the same.
            if not message.pre and not alive:
                self.saw_term(message.term)
            self._answer(sender, self.term, False, message.pre)
        elif message.pre:
            self._answer(
                sender, message.term if message.term > self.term else self.term, message.term > self.term, True
            )
        else:
            self.saw_term(message.term)
            granted = message.term == self.term and self.promise.vote in (None, sender)
            if granted:
                self.promise.enter(self.term, sender)
                self._wait()
            self._answer(sender, self.term, granted, False)

    def handle_vote(self, sender: int, message: Vote) -> None:
        if not message.granted:
            self.saw_term(message.term)
            return
        wanted = Role.PRE_CANDIDATE if message.pre else Role.CANDIDATE
        if self.role is wanted and message.term == self.term + message.pre:
            self._votes.add(sender)
            self._win()

    def _win(self) -> None:
        """A majority would vote: the term begins. A majority has voted: this node leads it."""
        if self.role is Role.PRE_CANDIDATE and self._majority():
            self.role = Role.CANDIDATE
            self.promise.enter(self.term + 1, self._context.me)
            self._votes = {self._context.me}
            self._ask(self.term, pre=False)
        if self.role is Role.CANDIDATE and self._majority():
            self.role, self.leader = Role.LEADER, self._context.me
            self._heard.clear()
            self._context.timers.set(QUORUM, self._timeout_s)

    def _majority(self) -> bool:
        return len(self._votes) >= self._context.quorums.quorum

    def _ask(self, term: int, *, pre: bool) -> None:
        self._context.outbox.broadcast(RequestVote(0, term, self._log.last, self._log.promised_term, pre))

    def _answer(self, node: int, term: int, granted: bool, pre: bool) -> None:
        self._context.outbox.send(node, Vote(0, term, granted, pre))

    def _step_down(self) -> None:
        self.role, self.leader, self._leader_alive = Role.FOLLOWER, None, False
        self._wait()

    def _wait(self) -> None:
        self._context.timers.set(ELECTION, self._timeout_s * (1 + self._random()))

    def _random(self) -> float:
        return int.from_bytes(self._context.randbytes(4), "big") / 2**32
