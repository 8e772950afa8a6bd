"""Honey Badger BFT: an endless sequence of epochs, several of them in progress at a time.

Each epoch, every node proposes some of its waiting transactions, by default at random; the nodes agree on a subset of
at least N-f encrypted proposals and only then decrypt them. Blocks are handed to the application in order of epochs.

When a node proposes. Epoch e is open for proposals if e is among the `pipeline_depth` epochs from the first uncommitted
one, and the broadcasts of e-1 have delivered N-f proposals (so that the bandwidth-heavy phases do not overlap).
A node proposes in an open epoch once it has transactions or has heard of that epoch from anybody: an idle node must
propose an empty batch, or a single node with transactions would wait forever. The price: one faulty node can
keep all nodes busy with empty epochs.

Windows. Messages for epochs up to `epoch_window` beyond the first uncommitted one are accepted; links hold back
later ones (`horizon`), so anything beyond is a fault.

What lingers. Of a committed epoch only the binary agreements remain, until 2f+1 TERMs say that nobody needs them (a
slow node may depend on this node's BVAL relay), and only of the last `pipeline_depth` epochs; and as long the votes in
the journal (`settled`), so that WANT is answered with this node's shards. Older ones nobody needs:
N-f nodes have proposed in the epoch E that was just committed, at least f+1 of them correct, and a correct node
proposes there only when it has finished all epochs up to E - pipeline_depth. If all f+1 have decided the agreements of
an older epoch, their TERMs are on their way to everybody, which is enough to decide; if one of them took over its
block, so can others.

Source: Miller, Xia, Croman, Shi, Song: "The Honey Badger of BFT Protocols" (CCS 2016).
"""

from typing import Any

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol, HeldBytes
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement, OfAgreement
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.epoch import Epoch
from honeybadger.protocols.honey_badger.messages import (
    Aux,
    Aux2,
    BVal,
    BVal2,
    CoinShare,
    Conf,
    DecryptionShares,
    Echo,
    EchoHash,
    HoneyBadgerFault,
    Ready,
    Term,
    Val,
    Want,
)
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.honey_badger.shard_answers import ShardAnswers
from honeybadger.protocols.honey_badger.shards_wanted import LOOK, ShardsWanted
from honeybadger.protocols.wire import Message
from honeybadger.transactions import EMPTY, Transactions


class HoneyBadger(ConsensusProtocol):
    """The protocol object of one node; see `ConsensusProtocol`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        parameters = HoneyBadgerParameters.of(context.parameters)
        self._oldest_first = parameters.selection == "oldest"
        self._has_want = BROADCASTS[parameters.broadcast].has_want
        self._code = context.public_keys.suite.code(context.quorums.data_shards, context.quorums.nodes)
        #: who has sent a bad share: their later ones are verified before use
        self._suspects: set[int] = set()
        #: epochs in progress by number, from `_current` to the horizon
        self._epochs: dict[int, Epoch] = {}
        #: committed epoch → proposer → its agreement, as long as others may need it
        self._lingering: dict[int, dict[int, BinaryAgreement]] = {}
        #: the highest epoch that any other node has spoken of: so far this node proposes even if it is idle
        self._heard = 0
        #: the lowest epoch that is not committed
        self._current = context.first_epoch
        self._wanted = ShardsWanted(context.quorums, context.timers)
        self._answers = ShardAnswers(context.me, context.quorums, context.journal, context.outbox)
        #: epochs in which this node voted before a restart, to be opened as soon as the window allows
        self._voted = set(context.journal.epochs())

    @property
    def epoch(self) -> int:
        return self._current

    @property
    def horizon(self) -> int:
        return self._current + self._context.parameters.epoch_window

    @property
    def settled(self) -> int:
        """Not the last `pipeline_depth` committed ones: a node that is a little behind may want their shards."""
        return max(0, self._current - 1 - self._context.parameters.pipeline_depth)

    def poke(self) -> None:
        if self._voted:
            self._resume()
        self._propose_where_due()

    def handle(self, sender: int, message: Message) -> None:
        """Process one message; never raises because of what it says."""
        number = message.epoch
        if number < self._current:
            self._handle_late(sender, message)
            return
        if number > self.horizon:
            self._context.outbox.fault(sender, FaultKind.FUTURE_EPOCH, str(number))
            return
        epoch = self._epochs.get(number)
        if epoch is None:
            epoch = self._open(number)
        if isinstance(message, DecryptionShares):
            epoch.handle_decryption_shares(sender, message)
        else:
            self._dispatch(epoch, sender, message)
        if number > self._heard and sender != self._context.me:
            self._heard = number
            self._propose_where_due()

    def timeout(self, name: str) -> None:
        if name == LOOK:
            self._wanted.look()

    def skip_to(self, epoch: int) -> None:
        """Blocks of all epochs before `epoch` were taken over from other nodes: go on from there."""
        if epoch <= self._current:
            return
        # Nothing lingers: a node that still needs such an epoch can take over its certified block as well.
        self._lingering.clear()
        for number in [number for number in self._epochs if number < epoch]:
            self._epochs.pop(number).release()
        self._current = epoch
        self._answers.forget(self.settled)
        self._commit_completed()

    def held_bytes(self) -> HeldBytes:
        held = {number: self._epochs[number].held_bytes() for number in sorted(self._epochs)}
        most = next((epoch.most_held() for epoch in self._epochs.values()), (0, 0))
        instance = max((one for _, one in held.values()), default=0)
        return HeldBytes({number: whole for number, (whole, _) in held.items()}, most[0], instance, most[1])

    def status(self) -> dict[str, Any]:
        return {
            "epoch": self._current,
            "horizon": self.horizon,
            "suspects": sorted(self._suspects),
            "lingering_epochs": len(self._lingering),
            "in_progress": [self._epochs[number].status() for number in sorted(self._epochs)],
        }

    def _dispatch(self, epoch: Epoch, sender: int, message: Message) -> None:
        proposer = getattr(message, "proposer", None)
        if proposer is None:
            self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)
            return
        if not 0 <= proposer < self._context.quorums.nodes:
            self._context.outbox.fault(sender, FaultKind.NOT_A_MEMBER, str(proposer))
            return
        subset = epoch.subset
        match message:
            case BVal() | Aux():
                subset.agreements[proposer].handle(sender, message)
            case Ready():
                subset.broadcasts[proposer].handle_ready(sender, message)
            case Echo():
                subset.broadcasts[proposer].handle_echo(sender, message)
            case EchoHash():
                subset.broadcasts[proposer].handle_echo_hash(sender, message)
            case Val():
                subset.broadcasts[proposer].handle_val(sender, message)
            case Term() | Conf() | CoinShare() | BVal2() | Aux2():
                subset.agreements[proposer].handle(sender, message)
            case Want():
                self._handle_want(sender, message)
            case _:
                self._context.outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)

    def _handle_late(self, sender: int, message: Message) -> None:
        """A committed epoch: others may still need our shards, votes or relay, and TERMs tell when they do not."""
        if isinstance(message, Want):
            self._handle_want(sender, message)
            return
        if not isinstance(message, OfAgreement):
            return
        agreements = self._lingering.get(message.epoch)
        agreement = agreements.get(message.proposer) if agreements is not None else None
        if agreements is None or agreement is None:
            return
        agreement.handle(sender, message)
        if agreement.erasable:
            del agreements[message.proposer]
            if not agreements:
                del self._lingering[message.epoch]

    def _handle_want(self, sender: int, message: Want) -> None:
        if self._has_want:
            self._answers.handle_want(sender, message)
        else:
            self._context.outbox.fault(sender, HoneyBadgerFault.FOREIGN_VOTE, f"epoch {message.epoch} WANT")

    def _open(self, number: int) -> Epoch:
        epoch = self._epochs[number] = Epoch(
            number,
            self._context,
            self._code,
            self._suspects,
            self._wanted,
            self._propose_where_due,
            self._commit_completed,
        )
        epoch.resume()
        return epoch

    def _resume(self) -> None:
        for number in sorted(number for number in self._voted if number <= self.horizon):
            self._voted.remove(number)
            if number >= self._current and number not in self._epochs:
                self._open(number)

    def _propose_where_due(self) -> None:
        for number in range(self._current, self._current + self._context.parameters.pipeline_depth):
            epoch = self._epochs.get(number)
            if epoch is None or not epoch.proposed:
                if number > self._heard and not self._context.application.has_transactions():
                    return
                epoch = epoch or self._open(number)
            # One that is opened proposes what it proposed before a restart.
            if not epoch.proposed:
                epoch.propose(self._select)
            if not epoch.broadcast_done:
                return

    def _select(self, epoch: int) -> Transactions:
        application, parameters = self._context.application, self._context.parameters
        if not self._oldest_first:
            return application.select(epoch)
        if application.busy:
            return EMPTY
        limit = parameters.transactions_per_node(self._context.quorums.nodes)
        return application.reserve(epoch, limit, parameters.max_proposal_bytes)

    def _commit_completed(self) -> None:
        while (epoch := self._epochs.get(self._current)) is not None and epoch.complete:
            del self._epochs[self._current]
            self._current += 1
            self._context.application.commit(epoch.number, epoch.contributions)
            self._linger(epoch)
            self._context.observe(epoch.number, "committed")
        self._propose_where_due()

    def _linger(self, epoch: Epoch) -> None:
        needed = {j: a for j, a in enumerate(epoch.subset.agreements) if not a.erasable}
        epoch.release()
        if needed:
            self._lingering[epoch.number] = needed
        oldest = epoch.number - self._context.parameters.pipeline_depth
        while self._lingering and next(iter(self._lingering)) <= oldest:
            del self._lingering[next(iter(self._lingering))]
        self._answers.forget(self.settled)
