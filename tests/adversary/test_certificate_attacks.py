"""Strategies against block certificates, with the certifiers of four nodes; node 3 is faulty."""

import random
from hashlib import sha256
from types import SimpleNamespace

import pytest
from support.byzantine import STRATEGIES
from support.byzantine.scripted import Recorder

from crypto.bls.signature import SignatureKey
from honeybadger.adversary import FilteredOutbox
from honeybadger.adversary.blocks import DripBlocks
from honeybadger.ledger.certificates import block_statement
from honeybadger.node.block_messages import BlockCertificate, BlockShare, BodyPart, CertifiedHeader
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import dealt_keys

PUBLIC, SECRET = dealt_keys(4, 1)


def faulty(name):
    sent = Recorder()
    context = SimpleNamespace(
        me=3,
        quorums=Quorums(4, 1),
        outbox=sent,
        public_keys=PUBLIC,
        secret_keys=SECRET[3],
        randbytes=random.Random(1).randbytes,
    )
    return sent, FilteredOutbox(sent, 4, STRATEGIES[name](context).change)


def share(height):
    block_hash = sha256(b"%d" % height).digest()
    signed = SECRET[3].certificate.sign_share(block_statement(block_hash))
    return BlockShare(height, height, block_hash, signed)


@pytest.mark.parametrize("name", ["bad-certificates", "stale-shares"])
def test_shares_of_certificates_are_bad(name):
    """Others get a share that does not verify under the right hash; the node itself gets the good one."""
    public: SignatureKey = PUBLIC.certificate
    sent, outbox = faulty(name)
    for height in range(1, 6):
        sent.to.clear()
        good = share(height)
        outbox.broadcast(good)
        assert [node for node, _ in sent.to] == [0, 1, 2, 3]
        for node, message in sent.to:
            assert (message.height, message.block_hash) == (height, good.block_hash)
            first = name == "stale-shares" and height == 1
            valid = public.verify_share(3, block_statement(good.block_hash), message.share)
            assert valid == (node == 3 or first)


def test_served_blocks_are_false_in_one_point():
    """In turn the certificate, the header and the body: whatever is not checked lets a false block in."""
    sent, outbox = faulty("bad-certificates")
    header, body = CertifiedHeader(0, b"h" * 130, bytes(48), 10), BodyPart(0, 1, 0, b"x" * 10)
    for message in [header, body] * 6:
        outbox.send(0, message)
    served = [m for _, m in sent.to]
    true = [
        (h.certificate == bytes(48), h.header == header.header, b == body)
        for h, b in zip(served[::2], served[1::2], strict=True)
    ]
    assert true == [(False, True, True), (True, False, True), (True, True, False)] * 2
    outbox.send(0, BlockCertificate(0, 1, bytes(48)))
    assert sent.to[-1][1].certificate != bytes(48)


def test_blocks_drip_whole_and_in_order():
    """A message every few seconds to each node that asked; other messages are not held up."""
    sent = Recorder()
    context = SimpleNamespace(me=3, quorums=Quorums(4, 1), outbox=sent)
    adversary = DripBlocks(context)
    outbox = FilteredOutbox(sent, 4, adversary.change)
    answer = [CertifiedHeader(0, b"h" * 130, bytes(48), 20), BodyPart(0, 1, 0, b"x" * 20)]
    for recipient in (0, 1):
        for message in answer:
            outbox.send(recipient, message)
    outbox.send(0, share(1))
    assert sent.to == [(0, share(1))]
    for turn in range(4):
        adversary.tick(100.0 + turn * DripBlocks.EVERY_S)
        adversary.tick(101.0 + turn * DripBlocks.EVERY_S)
    assert sent.to[1:] == [(node, message) for message in answer for node in (0, 1)]


def test_silence_covers_blocks():
    sent, outbox = faulty("silent")
    outbox.broadcast(share(1))
    assert [node for node, _ in sent.to] == [3]
