"""After a restart a node sends again, at once and unchanged, every vote that its journal holds."""

from __future__ import annotations

import pytest

from honeybadger.node.journal import Journal
from honeybadger.protocols.base import Context, NoJournal, Vote
from honeybadger.protocols.honey_badger import HoneyBadger
from honeybadger.protocols.messages import Aux, BVal, Conf, Echo, Message, Ready, Term, Val
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import dealt_keys

ROOT = bytes(range(32))
ECHO = Echo(3, 2, ROOT, bytes(64), b"shard" * 20)
VOTES = [
    (Vote.ECHO, 2, 0, ROOT + bytes(64)),
    (Vote.SHARD, 2, 0, ECHO.shard),
    (Vote.READY, 2, 0, ROOT),
    (Vote.BVAL_TRUE, 2, 0, b""),
    (Vote.BVAL_FALSE, 2, 0, b""),
    (Vote.AUX, 2, 0, b"\1"),
    (Vote.BVAL_FALSE, 2, 1, b""),
    (Vote.AUX, 2, 2, b"\0"),
    (Vote.CONF, 2, 2, b"\3"),
    (Vote.TERM, 1, 0, b"\1"),
]
SENT = [
    ECHO,
    Ready(3, 2, ROOT),
    BVal(3, 2, 0, True),
    BVal(3, 2, 0, False),
    Aux(3, 2, 0, True),
    BVal(3, 2, 1, False),
    Aux(3, 2, 2, False),
    Conf(3, 2, 2, 3),
    Term(3, 1, True),
]


class Bench:
    """Node 0 of 4: its protocol object with a journal; collects what it sends."""

    def __init__(self, journal, first_epoch: int = 1) -> None:
        self.sent: list[Message] = []
        self.selected: list[int] = []
        public, secret = dealt_keys(4, 1)
        self.context = Context(
            me=0,
            parameters=Parameters(batch_size=8),
            quorums=Quorums(4, 1),
            chain_id=bytes(32),
            public_keys=public,
            secret_keys=secret[0],
            outbox=self,
            application=self,
            randbytes=bytes,
            first_epoch=first_epoch,
            journal=journal,
        )
        self.protocol = HoneyBadger(self.context)

    def broadcast(self, message: Message) -> None:
        self.sent.append(message)

    def send(self, node: int, message: Message) -> None:
        self.sent.append(message)

    def fault(self, *_: object) -> None:
        raise AssertionError

    def has_transactions(self) -> bool:
        return False

    def select(self, epoch: int) -> list[bytes]:
        self.selected.append(epoch)
        return [b"tx"]


@pytest.fixture
def journal(tmp_path):
    journals = []

    def make(first_epoch: int = 1) -> Journal:
        if journals:
            journals[-1].close()
        journals.append(Journal(tmp_path / "journal", bytes(32), 0, "os", first_epoch))
        return journals[-1]

    yield make
    journals[-1].close()


def test_every_vote_is_sent_again_when_the_node_is_back(journal):
    first = journal()
    for vote, proposer, number, value in VOTES:
        first.remember(3, vote, proposer, number, value)
    bench = Bench(journal(), first_epoch=3)
    bench.protocol.poke()
    assert sorted(map(repr, bench.sent)) == sorted(map(repr, SENT))
    bench.protocol.poke()
    assert len(bench.sent) == len(SENT), "once"


def test_votes_of_epochs_before_the_first_are_not(journal):
    first = journal()
    for vote, proposer, number, value in VOTES:
        first.remember(3, vote, proposer, number, value)
    bench = Bench(journal(4), first_epoch=4)
    bench.protocol.poke()
    assert bench.sent == []


def test_votes_of_epochs_beyond_the_window_wait_until_it_reaches_them(journal):
    """The window after a restart may begin lower than the one in which the node voted."""
    journal().remember(20, Vote.TERM, 1, 0, b"\1")
    bench = Bench(journal())
    window = bench.protocol.horizon - 1
    bench.protocol.poke()
    assert bench.sent == []
    bench.protocol.skip_to(20 - window)
    bench.protocol.poke()
    assert bench.sent == [Term(20, 1, True)]


def test_the_proposal_is_dispersed_again_as_it_was(journal):
    first = Bench(journal())
    first.protocol._open(1).propose(first.select)
    again = Bench(journal())
    again.protocol.poke()
    assert [m for m in again.sent if isinstance(m, Val)] == [m for m in first.sent if isinstance(m, Val)]
    assert again.selected == []


def echo_of_own_proposal(bench: Bench) -> Echo:
    to_itself = next(m for m in bench.sent if isinstance(m, Val))
    bench.protocol.handle(0, to_itself)
    return next(m for m in bench.sent if isinstance(m, Echo))


def test_the_own_shard_comes_from_the_proposal(journal):
    first = Bench(journal())
    first.protocol._open(1).propose(first.select)
    sent = echo_of_own_proposal(first)
    assert first.context.journal.recall(1, Vote.SHARD, 0, 0) is None
    again = Bench(journal())
    again.protocol.poke()
    assert echo_of_own_proposal(again) == sent


def test_a_first_start_says_nothing():
    bench = Bench(NoJournal())
    bench.protocol.poke()
    assert bench.sent == []


def test_a_resumed_node_does_not_contradict_itself(journal):
    first = journal()
    for vote, proposer, number, value in VOTES:
        first.remember(3, vote, proposer, number, value)
    bench = Bench(journal(), first_epoch=3)
    bench.protocol.poke()
    bench.sent.clear()
    agreement = bench.protocol._epochs[3].subset.agreements[2]
    agreement.propose(0)
    for sender in (1, 2, 3):
        bench.protocol.handle(sender, BVal(3, 2, 0, False))
        bench.protocol.handle(sender, Aux(3, 2, 0, False))
    assert not any(isinstance(message, Aux) and message.round == 0 for message in bench.sent)
