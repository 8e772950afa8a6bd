"""Certificates: made from f+1 shares of the same block, and from nothing else; memory stays bounded."""

from __future__ import annotations

import random
from hashlib import sha256
from types import SimpleNamespace

from crypto.dealer import deal
from honeybadger.node.block_messages import BlockCertificate, BlockShare, CertificateRequest
from honeybadger.node.certifier import ANSWERS_PER_S, WINDOW, Certifier, block_statement
from honeybadger.protocols.base import FaultKind
from honeybadger.protocols.messages import Message

PUBLIC, SECRET = deal(4, 1, random.Random(5).randbytes)


def hash_of(height: int, tag: str = "block") -> bytes:
    return sha256(b"%s %d" % (tag.encode(), height)).digest()


def share(node: int, height: int, tag: str = "block") -> BlockShare:
    block_hash = hash_of(height, tag)
    return BlockShare(height, height, block_hash, SECRET[node].certificate.sign_share(block_statement(block_hash)))


def bad_share(node: int, height: int) -> BlockShare:
    """A share of another statement under this block's hash."""
    return BlockShare(height, height, hash_of(height), share(node, height, "other").share)


def certificate(height: int, tag: str = "block") -> bytes:
    shares = {node: share(node, height, tag).share for node in (1, 2)}
    signature, _ = PUBLIC.certificate.combine(block_statement(hash_of(height, tag)), shares)
    assert signature is not None
    return bytes(signature)


class Blocks:
    """The node's store: headers of the heights in `there`."""

    def __init__(self) -> None:
        self.there: set[int] = set()
        self.certificates: dict[int, bytes] = {}

    def certificate(self, height: int) -> bytes | None:
        return self.certificates.get(height)

    def header(self, height: int) -> SimpleNamespace | None:
        if height not in self.there:
            return None
        return SimpleNamespace(height=height, epoch=height, hash=hash_of(height))


class Bench:
    """The certifier of node 0."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.answers: list[tuple[int, Message]] = []
        self.faults: list[tuple[int, FaultKind]] = []
        self.certificates: list[tuple[int, bytes]] = []
        self.store = Blocks()
        self.certifier = Certifier(0, PUBLIC, SECRET[0], self.store, self, self.certified)  # type: ignore[arg-type]

    def certified(self, height: int, epoch: int, certificate: bytes) -> None:
        assert epoch == height
        self.certificates.append((height, certificate))

    def broadcast(self, message: Message) -> None:
        self.sent.append(message)

    def send(self, node: int, message: Message) -> None:
        self.answers.append((node, message))

    def fault(self, node: int, kind: FaultKind, detail: str) -> None:
        self.faults.append((node, kind))

    def durable(self, height: int) -> None:
        self.certifier.block_durable(height, height, hash_of(height))

    def check(self, *heights: int) -> None:
        assert [height for height, _ in self.certificates] == list(heights)
        for height, certificate in self.certificates:
            assert PUBLIC.certificate.verify(block_statement(hash_of(height)), certificate)

    def kept(self) -> int:
        return len(self.certifier._own) + sum(map(len, self.certifier._shares.values()))


def test_enough_shares_make_one_certificate_that_verifies() -> None:
    bench = Bench()
    bench.durable(1)
    assert bench.sent == [share(0, 1)]
    bench.check()
    for node in (2, 1, 3):
        bench.certifier.handle_share(node, share(node, 1))
        bench.check(1)
    assert (bench.kept(), bench.faults) == (0, [])


def test_shares_may_come_before_the_block() -> None:
    bench = Bench()
    for node in (1, 2, 3):
        bench.certifier.handle_share(node, share(node, 2))
    bench.check()
    bench.durable(2)
    bench.check(2)


def test_shares_of_another_block_do_not_count() -> None:
    bench = Bench()
    bench.durable(1)
    for node in (1, 2):
        bench.certifier.handle_share(node, share(node, 1, "fork"))
    bench.check()
    assert bench.faults == [], "nobody can tell who is wrong from a share alone"
    bench.certifier.handle_share(3, share(3, 1))
    bench.check(1)


def test_a_bad_share_is_named_and_costs_its_sender_the_height() -> None:
    bench = Bench()
    bench.durable(1)
    bench.certifier.handle_share(2, bad_share(2, 1))
    assert bench.faults == [(2, FaultKind.BAD_CERTIFICATE)]
    for _ in range(3):
        bench.certifier.handle_share(2, bad_share(2, 1))
    assert len(bench.faults) == 1, "only the first share of a node counts, so checking is bounded"
    bench.certifier.handle_share(3, share(1, 1))
    assert bench.faults[1:] == [(3, FaultKind.BAD_CERTIFICATE)], "another node's share"
    bench.check()
    bench.certifier.handle_share(1, share(1, 1))
    bench.check(1)
    bench.durable(2)
    bench.certifier.handle_share(2, share(2, 2))
    bench.check(1, 2)


def test_a_coin_share_is_no_certificate_share() -> None:
    bench = Bench()
    bench.durable(1)
    coin = SECRET[1].coin.sign_share(block_statement(hash_of(1)))
    bench.certifier.handle_share(1, BlockShare(1, 1, hash_of(1), coin))
    assert bench.faults == [(1, FaultKind.BAD_CERTIFICATE)]
    bench.check()


def test_duplicates_and_own_echo_do_not_count_twice() -> None:
    bench = Bench()
    bench.certifier.handle_share(1, share(1, 1))
    bench.certifier.handle_share(1, share(1, 1))
    bench.certifier.handle_share(1, share(1, 1, "other"))
    bench.certifier.handle_share(0, share(0, 1))
    assert bench.kept() == 1
    alone = Bench()
    alone.durable(1)
    alone.certifier.handle_share(0, share(0, 1))
    alone.check()


def test_heights_that_are_done_or_far_away_are_ignored() -> None:
    bench = Bench()
    for height in range(1, 6):
        bench.certifier.block_certified(height)
    bench.certifier.handle_share(1, share(1, 3))
    bench.certifier.handle_share(1, share(1, 5 + WINDOW + 1))
    assert bench.kept() == 0
    bench.certifier.handle_share(1, share(1, 5 + WINDOW))
    assert bench.kept() == 1
    bench.check()


def test_memory_is_bounded_when_nobody_else_certifies() -> None:
    bench = Bench()
    one = share(1, 1).share
    for height in range(1, 4 * WINDOW):
        bench.durable(height)
        for ahead in (1, WINDOW, WINDOW + 1, 2**32 - 1 - height):
            bench.certifier.handle_share(1, BlockShare(1, height + ahead, bytes(32), one))
        assert bench.kept() <= WINDOW + 4 * 2 * WINDOW
    assert len(bench.certifier._own) <= WINDOW
    bench.check()


def test_only_what_stays_missing_is_asked_for() -> None:
    bench = Bench()
    bench.durable(1)
    bench.certifier.ask([1, 3])
    assert bench.answers == [], "its shares may be under way"
    bench.durable(2)
    bench.certifier.ask([1, 3])
    assert bench.answers == [(1, CertificateRequest(0, 1)), (3, CertificateRequest(0, 1))]
    bench.answers.clear()
    bench.certifier.handle_certificate(3, BlockCertificate(0, 1, certificate(1)))
    bench.check(1)
    bench.certifier.ask([2])
    assert bench.answers == [(2, CertificateRequest(0, 2))]


def test_a_request_is_answered_with_the_certificate_or_a_share_or_not_at_all() -> None:
    bench = Bench()
    bench.store.there = {1, 2}
    bench.store.certificates = {1: certificate(1)}
    for height in (1, 2, 3):
        bench.certifier.handle_request(3, CertificateRequest(0, height))
    assert bench.answers == [(3, BlockCertificate(0, 1, certificate(1))), (3, share(0, 2))]


def test_answers_to_one_peer_are_bounded() -> None:
    bench = Bench()
    bench.store.certificates = {1: certificate(1)}
    for _ in range(10 * ANSWERS_PER_S):
        bench.certifier.handle_request(3, CertificateRequest(0, 1))
    assert ANSWERS_PER_S <= len(bench.answers) <= 3 * ANSWERS_PER_S
    bench.answers.clear()
    bench.certifier.handle_request(2, CertificateRequest(0, 1))
    assert len(bench.answers) == 1


def test_a_certificate_must_be_of_the_own_block() -> None:
    bench = Bench()
    bench.durable(1)
    bench.certifier.handle_certificate(1, BlockCertificate(0, 2, certificate(2)))
    assert bench.faults == [], "not asked for"
    bench.certifier.handle_certificate(1, BlockCertificate(0, 1, certificate(1, "fork")))
    assert bench.faults == [(1, FaultKind.BAD_CERTIFICATE)]
    bench.certifier.handle_certificate(1, BlockCertificate(0, 1, certificate(1, "fork")))
    assert len(bench.faults) == 1, "a liar is not checked again"
    bench.check()
    bench.certifier.handle_certificate(2, BlockCertificate(0, 1, certificate(1)))
    bench.check(1)
