"""Certificates: made from f+1 shares of the same block, and from nothing else; memory stays bounded."""

import math
import random
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from support.clock import CLOCK
from support.peers import Said

from crypto.dealer import deal
from honeybadger.ledger.certificates import EVERY, block_statement, signed_certificate, verify_certificate
from honeybadger.node.block_messages import BlockCertificate, BlockShare, CertificateRequest
from honeybadger.node.certifier import ANSWERS_PER_S, QUIET_S, WINDOW, Certifier
from honeybadger.protocols.faults import FaultKind

PUBLIC, SECRET = deal(4, 1, random.Random(5).randbytes)


def hash_of(height: int, tag: str = "block") -> bytes:
    return sha256(b"%s %d" % (tag.encode(), height)).digest()


def header_of(height: int) -> Any:
    return SimpleNamespace(height=height, epoch=height, hash=hash_of(height), previous=hash_of(height - 1))


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
    return signed_certificate(signature)


class Bench(Said):
    """The certifier of node 0."""

    def __init__(self) -> None:
        super().__init__()
        self.certificates: list[tuple[int, bytes]] = []
        #: the node's store
        self.headers: dict[int, Any] = {}
        self.stored: dict[int, bytes] = {}
        headers = lambda first, last: [self.headers[h] for h in range(first, last + 1) if h in self.headers]  # noqa: E731
        store: Any = SimpleNamespace(header=self.headers.get, certificate=self.stored.get, headers=headers)
        self.certifier = Certifier(0, PUBLIC, SECRET[0], store, self, self.certified, CLOCK)

    def certified(self, height: int, epoch: int, certificate: bytes) -> None:
        assert epoch == height
        self.certificates.append((height, certificate))

    def sign(self, height: int) -> None:
        self.certifier.sign(header_of(height))

    def durable(self, height: int) -> None:
        self.certifier.block_durable(header_of(height))

    def check(self, *heights: int) -> None:
        assert [height for height, _ in self.certificates] == list(heights)
        for height, certificate in self.certificates:
            assert verify_certificate(PUBLIC.certificate, hash_of(height), certificate)

    def kept(self) -> int:
        return len(self.certifier._own) + sum(map(len, self.certifier._shares.values()))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_enough_shares_make_one_certificate_that_verifies(bench: Bench) -> None:
    bench.sign(1)
    assert bench.said() == [(None, share(0, 1))]
    bench.check()
    for node in (2, 1, 3):
        bench.certifier.handle_share(node, share(node, 1))
        bench.check(1)
    assert (bench.kept(), bench.faults) == (0, [])
    for node in (1, 2, 3):
        bench.certifier.handle_share(node, share(node, 2))
    bench.check(1)
    bench.sign(2)
    bench.check(1, 2)


def test_shares_of_another_block_do_not_count(bench: Bench) -> None:
    bench.sign(1)
    for node in (1, 2):
        bench.certifier.handle_share(node, share(node, 1, "fork"))
    bench.check()
    assert bench.faults == [], "nobody can tell who is wrong from a share alone"
    bench.certifier.handle_share(3, share(3, 1))
    bench.check(1)


def test_a_bad_share_is_named_and_costs_its_sender_the_height(bench: Bench) -> None:
    bench.sign(1)
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
    bench.sign(2)
    coin = SECRET[1].coin.sign_share(block_statement(hash_of(2)))
    bench.certifier.handle_share(1, BlockShare(2, 2, hash_of(2), coin))
    assert bench.faults[2:] == [(1, FaultKind.BAD_CERTIFICATE)], "a coin share is none"
    bench.check(1)
    bench.certifier.handle_share(2, share(2, 2))
    bench.check(1, 2)


def test_duplicates_and_own_echo_do_not_count_twice(bench: Bench) -> None:
    bench.certifier.handle_share(1, share(1, 1))
    bench.certifier.handle_share(1, share(1, 1))
    bench.certifier.handle_share(1, share(1, 1, "other"))
    bench.certifier.handle_share(0, share(0, 1))
    assert bench.kept() == 1
    alone = Bench()
    alone.sign(1)
    alone.certifier.handle_share(0, share(0, 1))
    alone.check()


def test_heights_that_are_done_or_far_away_are_ignored(bench: Bench) -> None:
    for height in range(1, 6):
        bench.certifier.block_certified(height)
    bench.certifier.handle_share(1, share(1, 3))
    bench.certifier.handle_share(1, share(1, 5 + WINDOW + 1))
    assert bench.kept() == 0
    bench.certifier.handle_share(1, share(1, 5 + WINDOW))
    assert bench.kept() == 1
    bench.check()


def test_memory_is_bounded_when_nobody_else_certifies(bench: Bench) -> None:
    one = share(1, 1).share
    for height in range(1, 4 * WINDOW):
        bench.durable(height)
        for ahead in (1, WINDOW, WINDOW + 1, 2**32 - 1 - height):
            bench.certifier.handle_share(1, BlockShare(1, height + ahead, bytes(32), one))
        assert bench.kept() <= WINDOW + 4 * 2 * WINDOW
    assert len(bench.certifier._own) <= WINDOW
    bench.check()


def test_only_what_stays_missing_is_asked_for(bench: Bench) -> None:
    bench.sign(1)
    bench.said()
    bench.certifier.ask([1, 3])
    assert bench.said() == [], "its shares may be under way"
    bench.sign(2)
    bench.said()
    bench.certifier.ask([1, 3])
    assert bench.said() == [(1, CertificateRequest(0, 1)), (3, CertificateRequest(0, 1))]
    bench.certifier.handle_certificate(3, BlockCertificate(0, 1, certificate(1)))
    bench.check(1)
    bench.certifier.ask([2])
    assert bench.said() == [(2, CertificateRequest(0, 2))]


def test_a_request_is_answered_with_the_certificate_or_a_share_or_not_at_all(bench: Bench, clock: Any) -> None:
    bench.headers |= {1: header_of(1), 2: header_of(2)}
    bench.stored[1] = certificate(1)
    for height in (1, 2, 3):
        bench.certifier.handle_request(3, CertificateRequest(0, height))
    assert bench.said() == [(3, BlockCertificate(0, 1, certificate(1))), (3, share(0, 2))]
    for _ in range(10 * ANSWERS_PER_S):
        bench.certifier.handle_request(3, CertificateRequest(0, 1))
    assert len(bench.said()) == ANSWERS_PER_S - 3, "so many in a second"
    bench.certifier.handle_request(2, CertificateRequest(0, 1))
    assert len(bench.said()) == 1


def test_a_certificate_must_be_of_the_own_block(bench: Bench) -> None:
    bench.sign(1)
    bench.certifier.handle_certificate(1, BlockCertificate(0, 2, certificate(2)))
    assert bench.faults == [], "not asked for"
    bench.certifier.handle_certificate(1, BlockCertificate(0, 1, certificate(1, "fork")))
    assert bench.faults == [(1, FaultKind.BAD_CERTIFICATE)]
    bench.certifier.handle_certificate(1, BlockCertificate(0, 1, certificate(1, "fork")))
    assert len(bench.faults) == 1, "a liar is not checked again"
    bench.check()
    bench.certifier.handle_certificate(2, BlockCertificate(0, 1, certificate(1)))
    bench.check(1)


def signed(bench: Bench) -> list[int]:
    return [message.height for _, message in bench.said() if isinstance(message, BlockShare)]


def test_of_blocks_that_come_fast_one_in_a_few_is_signed(bench: Bench, clock: Any) -> None:
    bench.durable(1)
    assert signed(bench) == [1], "after a quiet time"
    for height in range(2, 3 * EVERY + 2):
        clock.now += QUIET_S / 2
        bench.durable(height)
        bench.certifier.poll()
        assert signed(bench) == ([] if height % EVERY else [height]), "the same ones at all nodes"
    clock.now += QUIET_S
    bench.durable(3 * EVERY + 2)
    assert signed(bench) == [3 * EVERY + 2]


def test_a_block_that_none_follows_is_signed_soon(bench: Bench, clock: Any) -> None:
    assert bench.certifier.rest_s == math.inf
    for height in (1, 2):
        bench.durable(height)
    bench.said()
    assert bench.certifier.rest_s == pytest.approx(QUIET_S)
    clock.now += QUIET_S / 2
    bench.certifier.poll()
    assert signed(bench) == []
    clock.now += QUIET_S
    bench.certifier.poll()
    assert signed(bench) == [2] and bench.certifier.rest_s == math.inf
    bench.certifier.poll()
    assert signed(bench) == []


@pytest.mark.parametrize("height", [3, EVERY])
def test_a_block_is_not_signed_when_one_above_is(bench: Bench, clock: Any, height: int) -> None:
    for earlier in (2, 3):
        bench.durable(earlier)
    bench.certifier.block_certified(height) if height == 3 else bench.durable(height)
    bench.said()
    clock.now += 2 * QUIET_S
    bench.certifier.poll()
    assert signed(bench) == []


def test_shares_for_a_block_that_is_not_signed_yet_are_kept(bench: Bench, clock: Any) -> None:
    """The others may have been quiet a moment earlier."""
    for height in (1, 2):
        bench.durable(height)
    bench.certifier.handle_share(1, share(1, 2))
    bench.check()
    clock.now += 2 * QUIET_S
    bench.certifier.poll()
    bench.check(2)


def test_a_certificate_ends_the_wait_for_those_that_it_covers(bench: Bench) -> None:
    """Not for that of a block that covers those before it, which this one does not."""
    for height in (EVERY, EVERY + 1, EVERY + 2):
        bench.sign(height)
    bench.said()
    bench.certifier.handle_share(1, share(1, EVERY + 2))
    for _ in range(2):
        bench.certifier.ask([1])
    assert bench.said() == [(1, CertificateRequest(0, EVERY))]
    bench.certifier.handle_share(2, share(2, EVERY))
    bench.check(EVERY + 2, EVERY)
    assert bench.kept() == 0


def test_a_node_that_is_ahead_certifies_what_the_others_sign(bench: Bench, clock: Any) -> None:
    """They have nothing after block 2; this node has, and so does not sign it."""
    for height in (1, 2, 3):
        bench.durable(height)
    assert signed(bench) == [1]
    for node in (2, 3):
        bench.certifier.handle_share(node, share(node, 2))
    bench.check(2)
    early = Bench()
    for node in (2, 3):
        early.certifier.handle_share(node, share(node, 2))
    for height in (1, 2):
        early.durable(height)
    early.check(2)
