"""The protocol object: which messages it takes, when it proposes, in which order it commits, and what it says again
after a restart."""

import msgspec
import pytest
from support.byzantine.bench import Bench, run_with_lingering

from honeybadger.node.journal import Journal
from honeybadger.protocols.context import NoJournal, NoTimers
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.protocols.honey_badger.epoch import Epoch
from honeybadger.protocols.honey_badger.messages import (
    MESSAGE_TYPES,
    Aux,
    BVal,
    BVal2,
    Conf,
    DecryptionShares,
    Echo,
    EchoHash,
    HoneyBadgerFault,
    Ready,
    Term,
    Val,
    Vote,
    Want,
)
from honeybadger.protocols.honey_badger.protocol import HoneyBadger
from honeybadger.protocols.honey_badger.shards_wanted import ShardsWanted
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.protocols.wire import Message
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.journals import JournalModel


class Node(Bench):
    """Plaintext epochs, so that what is agreed is committed."""

    def __init__(self, **changes):
        changes.setdefault("encryption", "never")
        super().__init__(**changes)
        self.protocol = HoneyBadger(self.context)

    def hear(self, *messages, sender=3):
        for message in messages:
            self.protocol.handle(sender, message)

    def hear_all(self, pairs):
        for sender, message in pairs:
            self.protocol.handle(sender, message)

    def deliver(self, epoch, *proposers):
        for proposer in proposers:
            self.hear_all(self.broadcast_of(epoch, proposer, encode_contribution([b"%d of %d" % (epoch, proposer)])))

    def agree(self, epoch, *proposers):
        """The subset is decided: these."""
        for proposer in range(self.quorums.nodes):
            self.hear_all(self.terms(epoch, proposer, proposer in proposers))

    @property
    def proposed(self):
        return sorted({message.epoch for _, message in self.to if isinstance(message, Val)})


# -- messages and windows


class Stranger(Message, tag=77):
    """A message of another protocol."""


class AddressedStranger(Message, tag=78):
    proposer: int


@pytest.mark.parametrize("message", [Stranger(1), AddressedStranger(1, 1), AddressedStranger(9, 1)])
def test_messages_of_other_protocols(message):
    node = Node()
    node.hear(message)
    assert node.faults == [(3, FaultKind.UNKNOWN_MESSAGE)]


@pytest.mark.parametrize("proposer", [4, 65535])
def test_proposers_outside_the_cluster(proposer):
    node = Node()
    node.hear(Ready(1, proposer, bytes(32)), Term(1, proposer, True), BVal(1, proposer, 0, True))
    assert node.faults == [(3, FaultKind.NOT_A_MEMBER)] * 3
    assert all(message.proposer == 0 for message in node.sent), "its own proposal, empty"


def test_the_window():
    """Scenario 16: epochs up to the horizon are opened, later ones are faults; it moves with the committed epochs."""
    node = Node(epoch_window=8)
    for number in [*range(1, 50), *(10**k for k in range(2, 16))]:
        node.hear(Ready(number, 0, bytes(32)), DecryptionShares(number, []))
    assert sorted(node.protocol._epochs) == list(range(1, 10)) and node.protocol.horizon == 9
    assert node.faults == [(3, FaultKind.FUTURE_EPOCH)] * 2 * (40 + 14)
    node.protocol.skip_to(5)
    assert (node.protocol.epoch, node.protocol.horizon, node.protocol.settled) == (5, 13, 3)
    node.hear(Ready(13, 0, bytes(32)))
    assert len(node.faults) == 108


def test_messages_after_everything_is_over():
    """Scenario 17: messages of committed epochs have no effect; they are no fault, and nothing is stored."""
    cluster = SimulatedCluster(4, 1)
    cluster.submit(0, [b"tx"])
    cluster.start()
    cluster.run_until_committed([b"tx"])
    cluster.network.run()
    node = cluster.nodes[0]
    before = node.status()
    fields = {"epoch": 1, "proposer": 3, "root": b"\1" * 32, "branch": b"", "shard": b"x", "round": 2, "value": True}
    fields |= {"values": 3, "share": bytes(48), "shares": [(0, bytes(48))]}
    for kind in MESSAGE_TYPES:
        message = kind(**{name: fields[name] for name in kind.__struct_fields__})
        node.handle(3, message)
        node.handle(3, msgspec.structs.replace(message, epoch=0))
    assert node.status() == before
    assert not cluster.network.pending() and not cluster.network.faults


# -- when it proposes


def test_it_proposes_when_it_has_transactions_or_has_heard_of_the_epoch():
    """Scenario 38: an idle node proposes an empty batch, or one that is alone with transactions would wait forever."""
    node = Node()
    node.protocol.poke()
    assert node.proposed == []
    node.waiting = [b"tx"]
    node.protocol.poke()
    assert node.proposed == [1]
    idle = Node()
    idle.hear(Ready(1, 2, bytes(32)), sender=0)
    assert idle.proposed == [], "its own message is no reason"
    idle.hear(Ready(1, 2, bytes(32)))
    assert idle.proposed == [1] and idle.selected == [1]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_pipeline(depth):
    """The next epoch begins once N-f proposals of this one are here, and `pipeline_depth` of them are open."""
    node = Node(pipeline_depth=depth)
    node.waiting = [b"tx"]
    node.protocol.poke()
    for number in range(1, 5):
        assert node.proposed == list(range(1, min(number, depth) + 1))
        node.deliver(number, 0, 1)
        assert node.proposed == list(range(1, min(number, depth) + 1)), "two of four are too few"
        node.deliver(number, 2)
    node.agree(1, 0, 1, 2)
    assert node.proposed == list(range(1, depth + 2))


# -- what it commits


def test_blocks_are_committed_in_order():
    node = Node(pipeline_depth=3)
    for number in (2, 1):
        assert not node.blocks
        node.deliver(number, 0, 1, 2)
        node.agree(number, 0, 1, 2)
    assert node.blocks == [(e, [(p, [b"%d of %d" % (e, p)]) for p in range(3)]) for e in (1, 2)]
    assert node.protocol.epoch == 3


def test_blocks_that_were_taken_over_are_skipped():
    """What was agreed on beyond them is committed at once; what was in progress before them is forgotten."""
    node = Node()
    node.deliver(1, 0, 1, 2)
    node.deliver(3, 0, 1, 2)
    node.agree(3, 0, 1, 2)
    node.protocol.skip_to(3)
    assert [number for number, _ in node.blocks] == [3] and node.protocol.epoch == 4
    assert min(node.protocol._epochs, default=4) == 4
    node.protocol.skip_to(2)
    assert node.protocol.epoch == 4, "never back"


# -- what lingers of committed epochs


def test_committed_epochs_still_relay():
    """Scenario 40, whole nodes: f+1 BVALs of a committed epoch are answered, since a slow node may need it."""
    cluster = run_with_lingering(2)
    for sender in (2, 3):
        cluster.nodes[0].handle(sender, BVal(2, 1, 0, False))
    pending = cluster.network.pending()
    assert [recipient for sender, recipient, m in pending if m == BVal(2, 1, 0, False)] == [0, 1, 2, 3]
    assert {sender for sender, _, _ in pending} == {0}


def test_committed_epochs_still_relay_the_second_stage():
    """The same for BVAL2, with Crain's agreement."""
    cluster = run_with_lingering(2, agreement="crain20")
    for sender in (2, 3):
        cluster.nodes[0].handle(sender, BVal2(2, 1, 0, 3))
    assert [r for s, r, m in cluster.network.pending() if s == 0 and m == BVal2(2, 1, 0, 3)] == [0, 1, 2, 3]
    assert not cluster.network.faults


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_epochs_linger_than_are_in_progress(depth):
    """And none before a block that was taken over: those who need one can take it over as well."""
    node = run_with_lingering(6, pipeline_depth=depth).nodes[0]
    newest = node.epoch - 1
    assert sorted(node._lingering) == list(range(newest - depth + 1, newest + 1))
    node.skip_to(node.epoch + 1)
    assert not node._lingering


def test_lingering_epochs_are_limited_even_with_gaps():
    """Every other epoch lingers: the limit on their age must hold all the same."""
    node = Node(pipeline_depth=3)
    for number in range(1, 12):
        epoch = Epoch(
            number,
            node.context,
            node.code,
            set(),
            ShardsWanted(node.context.quorums, NoTimers()),
            lambda: None,
            lambda: None,
        )
        # Age 3 of an even epoch is an odd one, which leaves nothing.
        for agreement in epoch.subset.agreements:
            agreement.erasable = number % 2 == 1
        node.protocol._linger(epoch)
    assert min(node.protocol._lingering) > 11 - 4


# -- after a restart

ROOT = bytes(range(32))
#: what was written in epoch 3, and what is sent for it (an ECHO with the record of its shard, or its hash)
VOTES = [
    (Vote.ECHO, 3, 0, ROOT + bytes(64), None),
    (Vote.SHARD, 3, 0, b"shard" * 20, Echo(3, 3, ROOT, bytes(64), b"shard" * 20)),
    (Vote.ECHO, 2, 0, ROOT + bytes(64), None),
    (Vote.SHARD, 2, 0, b"shard" * 20, EchoHash(3, 2, ROOT)),
    (Vote.READY, 2, 0, ROOT, Ready(3, 2, ROOT)),
    (Vote.BVAL_TRUE, 2, 0, b"", BVal(3, 2, 0, True)),
    (Vote.BVAL_FALSE, 2, 0, b"", BVal(3, 2, 0, False)),
    (Vote.AUX, 2, 0, b"\1", Aux(3, 2, 0, True)),
    (Vote.BVAL_FALSE, 2, 1, b"", BVal(3, 2, 1, False)),
    (Vote.AUX, 2, 2, b"\0", Aux(3, 2, 2, False)),
    (Vote.CONF, 2, 2, b"\3", Conf(3, 2, 2, 3)),
    (Vote.TERM, 1, 0, b"\1", Term(3, 1, True)),
]
SENT = [message for *_, message in VOTES if message]


@pytest.fixture
def journal(tmp_path):
    """Makes the journal of a node that voted as above in epoch 3, as its next life finds it."""
    journals = []

    def reopen(first_epoch=1):
        for old in journals:
            old.close()
        journals.append(Journal(tmp_path / "journal", bytes(32), 0, "os", first_epoch))
        return journals[-1]

    first = reopen()
    for vote, proposer, number, value, _ in VOTES:
        first.remember(3, vote, proposer, number, value)
    yield reopen
    journals[-1].close()


def test_every_vote_is_sent_again_when_the_node_is_back(journal):
    node = Node(journal=journal(), first_epoch=3)
    node.protocol.poke()
    assert sorted(map(repr, node.sent)) == sorted(map(repr, SENT))
    node.protocol.poke()
    assert len(node.sent) == len(SENT), "once"


def test_a_resumed_node_does_not_contradict_itself(journal):
    node = Node(journal=journal(), first_epoch=3)
    node.protocol.poke()
    node.sent.clear()
    node.protocol._epochs[3].subset.agreements[2].propose(0)
    for sender in (1, 2, 3):
        node.hear(BVal(3, 2, 0, False), Aux(3, 2, 0, False), sender=sender)
    assert not any(message.round == 0 for message in node.of(Aux))


def test_votes_of_epochs_before_the_first_are_not_sent(journal):
    """Nor are those of epochs whose blocks it takes over before it has begun."""
    for first_epoch in (1, 4):
        node = Node(journal=journal(first_epoch), first_epoch=first_epoch)
        node.protocol.skip_to(4)
        node.protocol.poke()
        assert node.sent == []


def test_votes_beyond_the_window_wait_until_it_reaches_them(journal):
    """The window after a restart may begin lower than the one in which the node voted."""
    journal().remember(20, Vote.TERM, 1, 0, b"\1")
    node = Node(journal=journal(4), first_epoch=4)
    node.protocol.poke()
    assert node.sent == []
    node.protocol.skip_to(20 - node.context.parameters.epoch_window)
    node.protocol.poke()
    assert node.sent == [Term(20, 1, True)]


def test_what_was_proposed_before_is_proposed_again(journal):
    """Without transactions, too: others may wait for it."""
    first = journal(4)
    first.remember(4, Vote.PROPOSAL, 0, 0, encode_contribution([b"tx"]))
    node = Node(journal=journal(4), first_epoch=4)
    node.protocol.poke()
    assert node.proposed == [4] and node.selected == []


@pytest.mark.parametrize("broadcast", BROADCASTS)
def test_a_proposal_is_sent_again_with_its_vote_before_its_turn_comes(broadcast):
    """The ledger may be behind the votes, and others may need both before this node gets there."""
    journal = JournalModel()
    first = Node(journal=journal, first_epoch=3, broadcast=broadcast)
    first.waiting = [b"tx"]
    first.protocol.poke()
    vals = [message for _, message in first.to] + first.of(Val)
    if not first.of(Echo):
        first.hear(vals[0], sender=0)
    again = Node(journal=journal, first_epoch=1, broadcast=broadcast)
    again.protocol.poke()
    assert [message for _, message in again.to] + again.of(Val) == vals
    assert again.of(Echo) == first.of(Echo) != []
    again.protocol.skip_to(3)
    again.protocol.poke()
    assert again.of(Echo) == first.of(Echo), "once"


def test_a_first_start_says_nothing():
    node = Node(journal=NoJournal())
    node.protocol.poke()
    assert node.sent == node.to == []


def test_a_want_for_a_committed_epoch_is_answered_until_it_is_settled():
    """Scenario 54: the epoch is committed, but a slow node may need the shard."""
    journal = JournalModel()
    node = Node(journal=journal, pipeline_depth=2)
    journal.remember(3, Vote.ECHO, 2, 0, ROOT + bytes(64))
    journal.remember(3, Vote.SHARD, 2, 0, b"shard" * 20)
    node.protocol.skip_to(5)
    assert node.protocol.settled == 2
    node.to.clear()
    for _ in range(2):
        node.protocol.handle(1, Want(3, 2, ROOT))
    assert node.to == [(1, Echo(3, 2, ROOT, bytes(64), b"shard" * 20))]
    node.protocol.skip_to(6)
    assert not node.protocol._answers._answered


def test_a_want_for_a_committed_epoch_is_answered_after_a_restart(tmp_path):
    """Scenario 54: what is not settled is still in the journal that is opened again."""
    for first_epoch, answers in ((3, 0), (5, 1), (6, 0)):
        node = Node(pipeline_depth=2, first_epoch=first_epoch)
        keep = SPECIFICATION.kept_epochs(node.context.parameters)
        journal = Journal(tmp_path / "journal", bytes(32), 0, "os", first_epoch, keep=keep)
        node = Node(journal=journal, pipeline_depth=2, first_epoch=first_epoch)
        node.protocol.handle(1, Want(3, 2, ROOT))
        assert len([message for _, message in node.to if isinstance(message, Echo)]) == answers
        journal.remember(3, Vote.ECHO, 2, 0, ROOT + bytes(64))
        journal.remember(3, Vote.SHARD, 2, 0, b"shard" * 20)
        journal.close()


@pytest.mark.parametrize("broadcast", BROADCASTS)
def test_a_request_for_shards_where_there_is_none(broadcast):
    """In an epoch in progress and in one that is committed."""
    cluster = run_with_lingering(2, broadcast=broadcast)
    for epoch in (2, 3):
        cluster.nodes[0].handle(3, Want(epoch, 1, ROOT))
    foreign = [fault.node for fault in cluster.network.faults if fault.kind is HoneyBadgerFault.FOREIGN_VOTE]
    assert foreign == ([] if broadcast == "hash-echo" else [3, 3])
