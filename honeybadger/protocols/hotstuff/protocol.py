"""HotStuff, chained. N >= 3f+1 nodes of which f may do anything.

Safe whatever messages are late; live once messages between correct nodes arrive within a time-out, since with rotating
leaders three correct ones come one after the other again and again. A block costs O(N) messages, and is committed after
7 message delays (two-chain: 5). Certificates are lists of N-f Ed25519 signatures: the dealt threshold keys open with
f+1 shares, and a QC needs N-f, so they do not fit.

The rules, for the leader of view v and for those who vote:

- A block carries the QC of its parent. It needs that to be of view v-1, or a TC of view v-1.
- A node votes in ascending views, once in each, in none that it has given up, and only with all ancestors at hand.
  Three-chain: if the parent is of no lower view than its lock, the highest view of a grandparent of what it voted for.
  Two-chain: if the parent is of no lower view than any QC that the TC speaks of.
- A block is committed when it and its next two (two-chain: one) descendants are certified, each the parent of the next
  and in consecutive views; with all blocks below it.

Block n of the branch is epoch n of the ledger, an empty one included. A leader proposes its own clients' transactions,
so nothing is forwarded. It proposes an empty block only while a block with transactions is not committed, or another
node asks for its turn. A faulty node may ask in every view; it could as well propose transactions of its own.

Where it departs from the papers: parents are always the blocks that `justify` certifies, so "extends the locked block"
is a comparison of views; a time-out carries the last vote (see `pacemaker`), without which a dead node of four would
keep three certified blocks from ever being consecutive.

After the loss of its journal a node does not vote, propose or time out. With three chains it does again once a block
above all heights it may have voted at (`silent_through`) is committed: what it voted for is then settled, and its
locks are those that the chain shows. With two chains a forgotten time-out could still do harm in a TC: it only learns
from then on.

Source: Yin et al., "HotStuff: BFT Consensus in the Lens of Blockchain" (PODC 2019; arXiv 1803.05069), chained; two
chains: Gelashvili et al., "Jolteon and Ditto" (FC 2022).
"""

from typing import Any

from honeybadger.protocols.batching.batch import PROPOSER_BYTES, decode_batch, encode_batch
from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol, HeldBytes
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.hotstuff import fetching
from honeybadger.protocols.hotstuff import pacemaker as timers
from honeybadger.protocols.hotstuff.certificates import Members, block_digest, vote_statement
from honeybadger.protocols.hotstuff.fetching import Fetching
from honeybadger.protocols.hotstuff.memory import Memory
from honeybadger.protocols.hotstuff.messages import (
    NO_TIMEOUT,
    Ancestor,
    Block,
    Certificates,
    Fetch,
    HotStuffFault,
    Proposal,
    SignedVote,
    Status,
    Timeout,
    Vote,
)
from honeybadger.protocols.hotstuff.pacemaker import Pacemaker
from honeybadger.protocols.hotstuff.parameters import HotStuffParameters
from honeybadger.protocols.hotstuff.tree import Tree
from honeybadger.protocols.wire import Message

#: so many blocks with transactions, in epoch windows, may wait on a branch to be committed
FULL_WINDOWS = 2


#: the name of a timer
AGAIN = "again"


class HotStuff(ConsensusProtocol):
    """One node; see `ConsensusProtocol`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._outbox = context.outbox
        self._application = context.application
        self._parameters = HotStuffParameters.of(context.parameters)
        self._window = context.parameters.epoch_window
        self._members = Members(context)
        committed = context.first_epoch - 1
        lost = context.silent_through > 0
        self._memory = Memory(context.journal, committed, 8 * self._window, lost=lost)
        self._tree = Tree(committed, 2 * self._window)
        self._pacemaker = Pacemaker(context, self._members, self._memory)
        self._fetching = Fetching(context)
        #: view → the block that its leader proposed
        self._heard: dict[int, bytes] = {}
        #: the proposal of the present view, until this node has voted for it
        self._pending: Proposal | None = None
        #: height of the highest block with this node's own clients' transactions
        self._own = 0
        #: the views in which this node last asked for its turn, and last told a QC without a block
        self._asked = self._told = 0
        #: the view of the highest QC that was reported
        self._certified = self._memory.high.view
        self._started = False
        for block in self._memory.blocks:
            if block.height > committed:
                self._heard[block.view] = self._tree.add(block)

    # -- what the runtime asks -----------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return self._tree.committed + 1

    @property
    def horizon(self) -> int:
        """Blocks may be certified long before they are committed: there is no bound on what lies between."""
        return max(self._tree.committed, self._memory.high.height) + self._window

    @property
    def leader(self) -> int:
        return self._members.leader(self._memory.view)

    def poke(self) -> None:
        if not self._started:
            self._started = True
            self._outbox.broadcast(Status(0, self._memory.view, False))
            # Those who told an earlier life a moment ago do not answer at once.
            self._context.timers.set(AGAIN, 2 * timers.TIDY_S)
        self._go_on()

    def handle(self, sender: int, message: Message) -> None:
        match message:
            case Proposal():
                self._handle_proposal(sender, message)
            case Vote():
                self._pacemaker.handle_vote(sender, message.vote)
            case Timeout():
                self._pacemaker.handle_timeout(sender, message)
            case Certificates():
                self._pacemaker.handle_certificates(sender, message)
            case Status():
                self._pacemaker.handle_status(sender, message)
            case Fetch():
                self._fetching.answer(sender, message.block, self._tree.get(message.block))
            case Ancestor():
                self._handle_ancestor(sender, message)
            case _:
                self._outbox.fault(sender, FaultKind.UNKNOWN_MESSAGE, type(message).__name__)
        self._go_on()

    def timeout(self, name: str) -> None:
        match name:
            case timers.VIEW:
                self._pacemaker.expired()
            case timers.TIDY:
                self._pacemaker.tidy()
            case "again":
                self._outbox.broadcast(Status(0, self._memory.view, False))
            case fetching.FETCH:
                self._fetching.expired()
        self._go_on()

    def skip_to(self, epoch: int) -> None:
        if epoch > self.epoch:
            self._moved(epoch - 1)
            self._go_on()

    def held_bytes(self) -> HeldBytes:
        held, longest = self._tree.held_bytes(), self._parameters.max_proposal_bytes
        return HeldBytes(held, (self._window + 1) * longest, max(held.values(), default=0), longest)

    def status(self) -> dict[str, Any]:
        memory = self._memory
        return {
            "epoch": self.epoch,
            "view": memory.view,
            "leader": self.leader,
            "votes": self._may_vote,
            "high": {"view": memory.high.view, "height": memory.high.height},
            "lock": memory.lock,
            "patience_s": self._pacemaker.patience_s,
            "missing": self._fetching.wanted is not None,
        }

    # -- proposals and votes -------------------------------------------------------------------------------

    def _handle_proposal(self, sender: int, message: Proposal) -> None:
        """A leader's block: check it, follow its certificates, and keep it until it can be voted for."""
        block = message.block
        if sender != self._members.leader(block.view):
            self._outbox.fault(sender, HotStuffFault.NOT_THE_LEADER, f"view {block.view}")
            return
        digest = block_digest(block)
        if (known := self._heard.get(block.view)) is not None:
            if known != digest:
                self._outbox.fault(sender, FaultKind.EQUIVOCATION, f"block of view {block.view}")
            return
        if block.height <= self._tree.committed:
            return
        if why := self._flaw(message):
            self._outbox.fault(sender, HotStuffFault.BAD_PROPOSAL, why)
            return
        if not self._pacemaker.valid(sender, message.justify, message.timed_out):
            return
        self._pacemaker.learn(sender, message.justify, message.timed_out)
        if block.batch and not self._has_room(block.parent, block.view - block.parent_view, self._window):
            # The leader asks for too much memory, or this node is behind: if it is certified it can be fetched.
            return
        self._context.observe(block.height, "proposed")
        self._heard[block.view] = self._tree.add(block)
        if block.view == self._memory.view:
            self._pending = message

    def _flaw(self, message: Proposal) -> str:
        """What can be said of a proposal without verifying a signature."""
        block, justify = message.block, message.justify
        if message.epoch != block.height or block.height != justify.height + 1:
            return f"height {block.height} on {justify.height}"
        if (block.parent_view, block.parent) != (justify.view, justify.block):
            return "the certificate is of another block than the parent"
        if justify.view != block.view - 1 and message.timed_out.view != block.view - 1:
            return f"view {block.view} before the end of the one before"
        if justify.view >= block.view:
            return f"view {block.view} after view {justify.view}"
        if block.batch:
            content = decode_batch(block.batch, self._parameters, self._members.nodes)
            if content is None or content[0] != self._members.leader(block.view):
                return "batch"
        return ""

    def _has_room(self, parent: bytes, views: int, slack: int = 0) -> bool:
        """Whether a block may have transactions: what is not committed stays in memory. `views`: since the parent.

        Empty blocks may always follow, and bring about that there is room again.
        """
        full = sum(1 for block in self._tree.branch(parent) if block.batch)
        return full < FULL_WINDOWS * self._window + slack and views <= self._window + self._members.nodes + slack

    def _vote(self) -> None:
        """Vote for the proposal of the present view, if that is safe and its ancestors are here."""
        message, memory = self._pending, self._memory
        if message is None or self._tree.missing(message.justify) is not None:
            return
        self._pending = None
        block = message.block
        if block.view == memory.view and self._is_safe(message):
            self._cast(block)

    def _is_safe(self, message: Proposal) -> bool:
        block, justify, memory = message.block, message.justify, self._memory
        if not self._may_vote or block.view <= max(memory.vote.view, memory.stopped):
            return False
        if self._parameters.chain == "two":
            return justify.view == block.view - 1 or justify.view >= message.timed_out.high
        return justify.view >= memory.lock

    def _cast(self, block: Block) -> None:
        """Vote: for whoever leads next, and with a new lock, which is the grandparent."""
        digest = self._heard[block.view]
        parent = self._tree.get(block.parent)
        lock = max(self._memory.lock, parent.parent_view if parent is not None else 0)
        signature = self._members.sign(vote_statement(block.view, block.height, digest))
        vote = SignedVote(block.view, block.height, digest, signature)
        if self._memory.cast(vote, block, lock):
            self._outbox.send(self._members.leader(block.view + 1), Vote(0, vote))

    def _propose(self) -> None:
        """As the leader of the present view, once in it."""
        memory, high = self._memory, self._memory.high
        view, height = memory.view, high.height + 1
        if self._members.leader(view) != self._context.me or not self._may_vote:
            return
        if view <= max(memory.vote.view, memory.stopped):
            return
        direct = high.view == view - 1
        if not direct and self._parameters.chain == "two" and high.view < memory.timed_out.high:
            return
        if height <= self._tree.committed or self._tree.missing(high) is not None:
            return
        batch = self._batch(height)
        if not batch and not self._is_wanted():
            if direct and high.view and self._told < view:
                # The others may not know yet that the last blocks are committed.
                self._told = view
                self._outbox.broadcast(Certificates(0, high, NO_TIMEOUT))
            return
        block = Block(view, height, high.view, high.block, batch)
        self._context.observe(height, "proposed")
        self._heard[view] = self._tree.add(block)
        self._outbox.broadcast(Proposal(height, block, high, NO_TIMEOUT if direct else memory.timed_out))
        # Now, and not when the proposal comes back: with the vote it is remembered.
        self._cast(block)

    def _batch(self, height: int) -> bytes:
        """Own clients' transactions. They wait again once another block is committed at this height."""
        high = self._memory.high
        if self._application.busy or not self._has_room(high.block, self._memory.view - high.view):
            return b""
        room = self._parameters.max_proposal_bytes - PROPOSER_BYTES
        transactions = self._application.reserve(height, self._parameters.batch_size, room)
        if not len(transactions):
            return b""
        self._own = max(self._own, height)
        return encode_batch(self._context.me, transactions)

    # -- what follows --------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """What has become possible, always in the same order."""
        self._memory.keep(self._tree.committed)
        if self._memory.high.view > self._certified:
            self._certified = self._memory.high.view
            self._context.observe(self._memory.high.height, "certified")
        self._commit()
        self._vote()
        self._propose()
        self._fetch()
        self._ask()
        self._pacemaker.look(self._may_vote and self._is_wanted())

    def _commit(self) -> None:
        """Hand over what the highest QC commits."""
        blocks = self._tree.committable(self._memory.high, self._parameters.links)
        for block in blocks:
            content = decode_batch(block.batch, self._parameters, self._members.nodes) if block.batch else None
            if block.batch and content is None:
                raise RuntimeError(f"the batch of block {block.height} is certified, but malformed")
            self._application.commit(block.height, [content] if content is not None else [])
            self._context.observe(block.height, "committed")
        if blocks:
            self._moved(blocks[-1].height)
            self._pacemaker.failures = 0
            self._speak_again(blocks[-1])

    def _moved(self, committed: int) -> None:
        """Blocks up to this height are in the ledger."""
        self._tree.move(committed)
        self._memory.keep(committed)
        oldest = self._memory.high.view - 4 * self._window
        self._heard = {view: block for view, block in self._heard.items() if view > oldest}

    def _speak_again(self, committed: Block) -> None:
        """After the loss of the journal, see above."""
        if not self._may_vote and self._parameters.chain == "three" and self.epoch - 1 > self._context.silent_through:
            self._memory.lock = max(self._memory.lock, committed.view)
            self._memory.silent = False

    @property
    def _may_vote(self) -> bool:
        return not self._memory.silent

    def _is_wanted(self) -> bool:
        """Whether a block is worth proposing, or waiting for: transactions are not committed, here or elsewhere."""
        return self._is_open() or self._wants() or self._pacemaker.others_wait

    def _is_open(self) -> bool:
        """Whether a block with transactions is on the newest branch, as far as this node knows."""
        memory, newest = self._memory, self._memory.high.block
        if memory.vote.view > memory.high.view:
            newest = memory.vote.block
        return any(block.batch for block in self._tree.branch(newest)) or self._tree.missing(memory.high) is not None

    def _wants(self) -> bool:
        """Whether own clients wait."""
        waiting = self._application.transactions_waiting and not self._application.busy
        return bool(waiting) or self._own > self._tree.committed

    def _ask(self) -> None:
        """Ask for a turn, if nothing else brings it about."""
        view = self._memory.view
        if self._asked < view and self._may_vote and self._wants() and not self._is_open():
            self._asked = view
            self._outbox.broadcast(Status(0, view, True))

    # -- missing blocks ------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        missing = self._tree.missing(self._memory.high)
        if missing is None and self._pending is not None:
            missing = self._tree.missing(self._pending.justify)
        self._fetching.want(missing)

    def _handle_ancestor(self, sender: int, message: Ancestor) -> None:
        """The digest, which is certified, vouches for all that is in the block."""
        if block_digest(message.block) == self._fetching.wanted:
            self._heard.setdefault(message.block.view, self._tree.add(message.block))
            self._fetch()
            self._fetching.came(sender)
