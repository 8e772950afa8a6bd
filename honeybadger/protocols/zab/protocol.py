"""Zab, the atomic broadcast of ZooKeeper. N >= 2f+1 nodes of which f may crash and come back; nothing is promised if a
node lies.

Safe whatever messages are late and whichever nodes crash, as long as journals survive; live while a majority is up and
an election takes less than the time-out, which grows until it does. Primary order: what a leader proposes is
delivered in its order, and nothing of an earlier leader after it. Entry n of the log is block n.

1. Election: the nodes agree whom to follow (`election`).
2. Discovery: a majority tells that node which epochs it has accepted, accepts a greater one, and shows its histories.
3. Synchronisation: the leader takes the best history and heads it to all: who lacks entries gets them (DIFF), what does
   not belong is cut off (TRUNC), and older ones come from the ledgers (SNAP). A majority says that it has the whole.
4. Broadcast: only now the leader proposes.

Where it departs from the paper: an entry is a batch of transactions, and the counter of a zxid does not start again in
an epoch; NEWLEADER is the first heartbeat of an epoch and names the end of the history; a node that is late joins an
epoch at any later heartbeat; a leader that is told of a later epoch looks for a leader again; members do not change; a
node that has lost its journal copies the log and takes no part in elections.

Source: Junqueira, Reed, Serafini, "Zab: High-performance broadcast for primary-backup systems" (DSN 2011).
"""

from enum import Enum, auto
from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.faults import FaultKind
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
from honeybadger.protocols.replicated_log.takeover import Takeover
from honeybadger.protocols.wire import Message
from honeybadger.protocols.zab.election import Election
from honeybadger.protocols.zab.messages import AckEpoch, FollowerInfo, Look, NewEpoch
from honeybadger.protocols.zab.parameters import ZabParameters

#: the name of the timer after which a node looks for a leader, or a leader for its followers
LEADER = "leader"


class Phase(Enum):
    ELECTION = auto()
    DISCOVERY = auto()
    SYNCHRONISATION = auto()
    BROADCAST = auto()


class Zab(LogNode):
    """One node; see `ConsensusProtocol`."""

    def __init__(self, context: Context) -> None:
        self._timeout_s = ZabParameters.of(context.parameters).leader_timeout_s
        super().__init__(context, self._timeout_s, silent_through=context.silent_through)
        promise = self._promise
        self._takeover = Takeover(self._log, promise, self._replication)
        self._election = Election(context, self._log, promise)
        self._phase = Phase.ELECTION
        self._started = False
        #: whom this node follows, perhaps itself
        self._chosen: int | None = None
        #: at that node: the epochs that others have accepted; their histories in the new epoch, None before there is
        #: one; who has its whole history; who was heard since it last looked around
        self._infos: dict[int, int] = {}
        self._acks: dict[int, AckEpoch] | None = None
        self._joined: set[int] = set()
        self._heard: set[int] = set()
        #: elections in a row that led to nothing
        self._failed = 0

    # -- what the runtime asks -----------------------------------------------------------------------------

    @property
    def leader(self) -> int:
        """As far as this node knows; node 0 where it knows none."""
        return self._chosen or 0

    def poke(self) -> None:
        if not self._started:
            self._started = True
            self._replication.follow(None, self._promise.term)
            self._look()
        if self._phase is Phase.BROADCAST:
            self._requests.forward()
        self._go_on()

    def handle(self, sender: int, message: Message) -> None:
        if sender == self._context.me:
            return
        match message:
            case Append() | Heartbeat() | Commit():
                self._handle_leader(sender, message)
            case Accepted() | Rejected():
                self._handle_follower(sender, message)
            case Forward():
                self._requests.handle(sender, message)
            case Look():
                self._handle_look(sender, message)
            case FollowerInfo():
                self._handle_info(sender, message)
            case NewEpoch():
                self._handle_new_epoch(sender, message)
            case AckEpoch():
                if self._acks is not None and message.new_epoch == self._promise.term:
                    self._acks[sender] = message
            case _:
                self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)
        self._go_on()

    def timeout(self, name: str) -> None:
        match name:
            case _ if name == HEARTBEAT and self._replication.leads:
                self._beat()
            case _ if name == LEADER and self._replication.leads and self._majority(self._heard):
                self._heard.clear()
                self._wait()
            case _ if name == LEADER:
                self._failed += self._phase is not Phase.BROADCAST
                self._look()
        self._go_on()

    def status(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "phase": self._phase.name.lower(),
            "accepted_epoch": self._promise.term,
            "current_epoch": self._promise.followed,
            "leader": self._chosen,
            "last": self._log.last,
            "waiting_to_be_ordered": self._requests.pool.count,
        }

    # -- election and discovery ----------------------------------------------------------------------------

    def _look(self, after: int = 0) -> None:
        """There is no leader, or this node is none any more."""
        self._phase, self._chosen = Phase.ELECTION, None
        self._infos.clear()
        self._acks = None
        self._takeover.give_up()
        self._wait()
        if not self._context.silent_through:
            self._election.begin(after)

    def _handle_look(self, sender: int, message: Look) -> None:
        if self._context.silent_through:
            return
        if sender == self._chosen and self._gone(sender, message):
            self._look(message.round - 1)
        if self._phase is Phase.ELECTION:
            self._election.hear(sender, message)

    def _gone(self, chosen: int, message: Look) -> bool:
        """Whether the node that this one follows, or would, does not lead: it looks for a leader itself."""
        joined = self._phase in (Phase.SYNCHRONISATION, Phase.BROADCAST)
        return joined or message.node != chosen or message.round > self._election.round

    def _handle_info(self, sender: int, message: FollowerInfo) -> None:
        if self._replication.leads:
            if message.accepted_epoch > self._promise.term:
                self._look()
            return
        self._infos[sender] = message.accepted_epoch
        if self._acks is not None:
            self._context.outbox.send(sender, NewEpoch(0, self._promise.term))

    def _handle_new_epoch(self, sender: int, message: NewEpoch) -> None:
        epoch, promise = message.new_epoch, self._promise
        if self._phase is not Phase.DISCOVERY or sender != self._chosen:
            return
        if epoch > promise.term or (epoch == promise.term and promise.vote == sender):
            promise.enter(epoch, sender)
            self._context.outbox.send(sender, self._history())
            self._wait()

    def _discover(self) -> None:
        """What has become possible before an epoch begins."""
        me, outbox, promise = self._context.me, self._context.outbox, self._promise
        if self._phase is Phase.ELECTION and (winner := self._election.winner) is not None:
            self._phase, self._chosen = Phase.DISCOVERY, winner
            self._wait()
            if winner != me:
                outbox.send(winner, FollowerInfo(0, promise.term))
        if self._phase is not Phase.DISCOVERY or self._chosen != me:
            return
        if self._acks is None and self._majority(self._infos):
            self._acks = {}
            promise.enter(max([promise.term, *self._infos.values()]) + 1, me)
            for node in self._infos:
                outbox.send(node, NewEpoch(0, promise.term))
        if self._acks is not None and self._majority(self._acks):
            self._choose(self._acks)

    def _choose(self, acks: dict[int, AckEpoch]) -> None:
        """Take the best history of a majority, the own one if it is as good."""
        own = self._history()
        best = max(acks, key=lambda node: _order(acks[node]), default=self._context.me)
        self._phase = Phase.SYNCHRONISATION
        if best not in acks or _order(own) >= _order(acks[best]):
            self._begin()
        else:
            end = acks[best]
            self._takeover.copy(best, Heartbeat(0, own.new_epoch, end.last, end.last_term, end.committed))

    def _history(self) -> AckEpoch:
        promise, log = self._promise, self._log
        return AckEpoch(0, promise.term, promise.followed, log.last_term, log.last, log.base)

    # -- synchronisation and broadcast ---------------------------------------------------------------------

    def _handle_leader(self, sender: int, message: Append | Heartbeat | Commit) -> None:
        replication = self._replication
        if message.term == replication.term and sender == replication.leader:
            self._wait()
            match message:
                case Append():
                    replication.append(sender, message)
                case Heartbeat():
                    replication.heartbeat(message)
                case Commit():
                    replication.commit(message)
        elif isinstance(message, Heartbeat):
            if message.term < self._promise.term:
                self._context.outbox.send(sender, FollowerInfo(0, self._promise.term))
            elif message.term == self._promise.followed and replication.leader is not None:
                self._context.outbox.fault(sender, LogFault.TWO_LEADERS, str(message.term))
            else:
                self._join(sender, message)

    def _join(self, leader: int, message: Heartbeat) -> None:
        """NEWLEADER"""
        if message.term > self._promise.term:
            self._promise.enter(message.term)
        self._takeover.give_up()
        self._phase, self._chosen, self._acks = Phase.SYNCHRONISATION, leader, None
        self._wait()
        if self._promise.followed == message.term:
            # This node had its history in an earlier life, and has no other one since.
            self._follow()
        else:
            self._takeover.copy(leader, message)

    def _handle_follower(self, sender: int, message: Accepted | Rejected) -> None:
        replication, promise = self._replication, self._promise
        if message.term != promise.term:
            return
        if replication.leads:
            self._heard.add(sender)
            if isinstance(message, Accepted):
                self._joined.add(sender)
                replication.accepted(sender, message)
            else:
                replication.rejected(sender, message)
        elif isinstance(message, Rejected) and sender == promise.vote:
            # The leader of the new epoch has chosen this node's history.
            replication.rejected(sender, message)

    def _begin(self) -> None:
        """This node has the history with which its epoch begins."""
        self._takeover.finish()
        self._joined.clear()
        self._heard.clear()
        self._replication.lead(self._promise.term)
        self._requests.start_over()
        self._beat()
        self._wait()

    def _follow(self) -> None:
        self._phase, self._failed = Phase.BROADCAST, 0
        self._replication.follow(self._chosen, self._promise.term)
        self._requests.start_over()
        self._replication.answer()

    def _go_on(self) -> None:
        self._discover()
        if self._takeover.complete:
            if self._chosen == self._context.me:
                self._begin()
            else:
                self._takeover.finish()
                self._follow()
        if self._replication.leads and self._phase is Phase.SYNCHRONISATION and self._majority(self._joined):
            self._phase, self._failed = Phase.BROADCAST, 0
        if self._phase is Phase.BROADCAST:
            self._requests.propose()
        self._promise.keep(self._replication.committed)

    def _majority(self, others: set[int] | dict[int, Any]) -> bool:
        return len(others) + 1 >= self._context.quorums.quorum

    def _wait(self) -> None:
        random = int.from_bytes(self._context.randbytes(4), "big") / 2**32
        self._context.timers.set(LEADER, self._timeout_s * (1 + random) * (1 + self._failed))


def _order(ack: AckEpoch) -> tuple[int, int, int]:
    """Of histories, the newest is the greatest."""
    return ack.current_epoch, ack.last_term, ack.last
