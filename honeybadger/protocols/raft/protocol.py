"""Raft. N >= 2f+1 nodes of which f may crash and come back; nothing is promised if a node lies.

Safe whatever messages are late and whichever nodes crash, as long as journals survive; live while a majority is up and
hears each other in less than an election time-out. Entry n of the log is block n.

Where it departs from the paper: an entry is a batch of transactions; a follower that lacks entries which its leader has
forgotten takes blocks from ledgers, which takes the place of snapshots; members do not change; a node that has lost its
journal copies the log and never votes again.

Source: Ongaro, Ousterhout, "In Search of an Understandable Consensus Algorithm" (USENIX ATC 2014).
"""

from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.raft import election as timers
from honeybadger.protocols.raft.election import Election, Role
from honeybadger.protocols.raft.messages import RequestVote, Vote
from honeybadger.protocols.raft.parameters import RaftParameters
from honeybadger.protocols.replicated_log.log import Entry
from honeybadger.protocols.replicated_log.messages import (
    Accepted,
    Append,
    Commit,
    Forward,
    Heartbeat,
    LogFault,
    Rejected,
)
from honeybadger.protocols.replicated_log.node import HEARTBEAT, LogNode
from honeybadger.protocols.wire import Message


class Raft(LogNode):
    """One node; see `ConsensusProtocol`."""

    def __init__(self, context: Context) -> None:
        timeout_s = RaftParameters.of(context.parameters).election_timeout_s
        super().__init__(context, timeout_s, self._counts, context.silent_through)
        self._election = Election(context, self._log, self._promise)
        #: whether the runtime has called `poke`: nothing is sent before
        self._started = False

    def _counts(self, number: int, entry: Entry) -> bool:
        """Only entries of the leader's own term: one of an earlier term may be at a majority and yet be replaced by a
        leader who was elected without it (section 5.4.2, figure 8)."""
        return entry.term == self._election.term

    # -- what the runtime asks -----------------------------------------------------------------------------

    @property
    def leader(self) -> int:
        """As far as this node knows; node 0 where it knows none."""
        return self._election.leader or 0

    def poke(self) -> None:
        if not self._started:
            self._started = True
            self._election.start()
        self._requests.forward()
        self._go_on()

    def handle(self, sender: int, message: Message) -> None:
        if sender == self._context.me:
            return
        election, replication = self._election, self._replication
        match message:
            case Append() | Heartbeat() | Commit():
                self._handle_leader(sender, message)
            case Accepted() | Rejected():
                election.saw_term(message.term)
                if replication.leads and message.term == election.term:
                    election.heard(sender)
                    if isinstance(message, Accepted):
                        replication.accepted(sender, message)
                    else:
                        replication.rejected(sender, message)
            case Forward():
                self._requests.handle(sender, message)
            case RequestVote():
                election.handle_request(sender, message)
            case Vote():
                election.handle_vote(sender, message)
            case _:
                self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)
        self._go_on()

    def timeout(self, name: str) -> None:
        match name:
            case timers.ELECTION:
                self._election.campaign()
            case timers.LEASE:
                self._election.lease_over()
            case timers.QUORUM:
                self._election.check_quorum()
            case _ if name == HEARTBEAT and self._replication.leads:
                self._beat()
        self._go_on()

    def status(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "role": self._election.role.name.lower(),
            "term": self._election.term,
            "leader": self._election.leader,
            "last": self._log.last,
            "waiting_to_be_ordered": self._requests.pool.count,
        }

    # -- parts ---------------------------------------------------------------------------------------------

    def _handle_leader(self, sender: int, message: Append | Heartbeat | Commit) -> None:
        election, replication = self._election, self._replication
        election.saw_term(message.term)
        if message.term < election.term:
            # Let a leader of the past know that it is over.
            self._context.outbox.send(sender, Rejected(0, election.term, replication.committed))
            return
        if election.leader not in (None, sender):
            self._context.outbox.fault(sender, LogFault.TWO_LEADERS, str(message.term))
            return
        election.heard_leader(sender)
        self._change_leader()
        match message:
            case Append():
                replication.append(sender, message)
            case Heartbeat():
                replication.heartbeat(message)
            case Commit():
                replication.commit(message)

    def _go_on(self) -> None:
        self._change_leader()
        self._requests.propose()
        self._election.promise.keep(self._replication.committed)

    def _change_leader(self) -> None:
        election, replication = self._election, self._replication
        if (election.leader, election.term) == (replication.leader, replication.term):
            return
        if election.role is Role.LEADER:
            replication.lead(election.term)
            self._requests.start_over()
            # With an entry of its own term it commits those of earlier terms.
            replication.propose(b"")
            self._beat()
        else:
            replication.follow(election.leader, election.term)
            self._requests.start_over()
