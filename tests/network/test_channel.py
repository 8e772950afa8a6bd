"""Noise KK against another implementation, and everything that must not open."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from honeybadger.network.channel import HEAD, TAIL, ChannelError, Initiator, Opener, Sealer, respond

ALICE, BOB, ALICE_NOW, BOB_NOW = (X25519PrivateKey.from_private_bytes(bytes(range(k, k + 32))) for k in (1, 33, 65, 97))
PROLOGUE = b"a prologue"

# Made by noiseprotocol 0.3.1 (Python) with Noise_KK_25519_AESGCM_SHA256, the keys above and empty payloads.
OFFER = "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466ce0d9091c92cba20d26070ff6e758429"
ANSWER = "244fe3b963e899dd295baffce248d3530f3a9a7479ba063002680ebfe7adad495933edb98d393751d547073f2f67faaa"
SEALED = {
    b"first": "2385801cce28899f08bfe6c6da60e597a9b928c608",
    b"": "3db73d5e3b4301aa9462adb9e487c683",
    b"third" * 10: "57275cf1693a18742e70ee9cb16e49f0b29c0a42e214ee54a8f82a75f755b4502e1ed4ad0d2b6e0562ff3160b4e0f7f814"
    "02f15f105cf7708c253a069c27c2bfca2a",
}


def pair() -> tuple[Sealer, Opener]:
    offered = Initiator(ALICE, BOB.public_key(), PROLOGUE)
    answer, opener = respond(BOB, ALICE.public_key(), PROLOGUE, offered.offer)
    return offered.finish(answer), opener


def test_the_handshake_is_noise_kk() -> None:
    offered = Initiator(ALICE, BOB.public_key(), PROLOGUE, ALICE_NOW)
    assert offered.offer.hex() == OFFER
    answer, opener = respond(BOB, ALICE.public_key(), PROLOGUE, bytes.fromhex(OFFER), BOB_NOW)
    assert answer.hex() == ANSWER
    sealer = offered.finish(answer)
    for message, sealed in SEALED.items():
        assert sealer.seal(message).hex() == sealed
        assert opener.open(bytes.fromhex(sealed)) == message


def test_each_connection_has_its_own_keys() -> None:
    """The same offer, answered twice, ends in two keys; and so do two offers."""
    offered = Initiator(ALICE, BOB.public_key(), PROLOGUE)
    _, first = respond(BOB, ALICE.public_key(), PROLOGUE, offered.offer)
    answer, second = respond(BOB, ALICE.public_key(), PROLOGUE, offered.offer)
    sealed = offered.finish(answer).seal(b"x")
    with pytest.raises(ChannelError):
        first.open(sealed)
    assert second.open(sealed) == b"x"
    with pytest.raises(ChannelError):
        pair()[1].open(sealed)


@pytest.mark.parametrize("mine", [X25519PrivateKey.generate(), BOB], ids=["a stranger", "the responder itself"])
def test_nobody_else_makes_an_offer(mine: X25519PrivateKey) -> None:
    with pytest.raises(ChannelError):
        respond(BOB, ALICE.public_key(), PROLOGUE, Initiator(mine, BOB.public_key(), PROLOGUE).offer)


def test_nobody_else_answers_an_offer() -> None:
    offer = Initiator(ALICE, BOB.public_key(), PROLOGUE).offer
    for mine in (X25519PrivateKey.generate(), ALICE):
        with pytest.raises(ChannelError):
            respond(mine, ALICE.public_key(), PROLOGUE, offer)


def test_who_has_only_the_static_key_of_the_responder_is_not_the_initiator() -> None:
    """Bob's key is stolen: the thief can make an offer in Alice's name, but not what follows."""
    forged = Initiator(ALICE, BOB.public_key(), PROLOGUE, ALICE_NOW)
    answer, opener = respond(BOB, ALICE.public_key(), PROLOGUE, forged.offer)
    # What the thief lacks is DH(Alice's static key, Bob's new one).
    forged._mine = X25519PrivateKey.generate()
    with pytest.raises(ChannelError):
        forged.finish(answer)
    with pytest.raises(ChannelError):
        opener.open(Sealer(bytes(32)).seal(b"x"))


@pytest.mark.parametrize("at", range(48))
def test_every_byte_of_the_handshake_counts(at: int) -> None:
    offered = Initiator(ALICE, BOB.public_key(), PROLOGUE)
    # The highest bit of an X25519 key is ignored by the curve, and not by the transcript.
    bad = bytearray(offered.offer)
    bad[at] ^= 0x80
    with pytest.raises(ChannelError):
        respond(BOB, ALICE.public_key(), PROLOGUE, bytes(bad))
    answer, _ = respond(BOB, ALICE.public_key(), PROLOGUE, offered.offer)
    bad = bytearray(answer)
    bad[at] ^= 0x80
    with pytest.raises(ChannelError):
        offered.finish(bytes(bad))


@pytest.mark.parametrize("offer", [b"", bytes(47), bytes(48), bytes(49), b"\1" + bytes(47)])
def test_what_is_no_offer(offer: bytes) -> None:
    with pytest.raises(ChannelError):
        respond(BOB, ALICE.public_key(), PROLOGUE, offer)


def test_another_prologue_is_another_handshake() -> None:
    with pytest.raises(ChannelError):
        respond(BOB, ALICE.public_key(), b"other", Initiator(ALICE, BOB.public_key(), PROLOGUE).offer)


@pytest.mark.parametrize("act", ["change", "cut", "extend", "again", "leave out", "swap", "other place", "empty"])
def test_a_message_opens_only_whole_once_and_in_its_place(act: str) -> None:
    rng = random.Random(act)
    sealer, opener = pair()
    sealed = [sealer.seal(b"message %d" % k) for k in range(4)]
    assert opener.open(sealed[0]) == b"message 0"
    flipped = bytearray(sealed[1])
    flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    bad = {
        "change": bytes(flipped),
        "cut": sealed[1][:-1],
        "extend": sealed[1] + b"\0",
        "again": sealed[0],
        "leave out": sealed[2],
        "swap": sealed[3],
        "empty": b"",
    }.get(act, sealed[1])
    with pytest.raises(ChannelError):
        opener.open(bad, HEAD if act == "other place" else b"")
    # It was not taken, so the right one still opens.
    assert opener.open(memoryview(sealed[1])) == b"message 1"


def test_pieces_cannot_be_put_together_otherwise() -> None:
    sealer, opener = pair()
    head, tail = sealer.seal(b"head", HEAD), sealer.seal(b"tail", TAIL)
    with pytest.raises(ChannelError):
        opener.open(head)
    assert opener.open(head, HEAD) == b"head"
    with pytest.raises(ChannelError):
        opener.open(tail)
    assert opener.open(tail, TAIL) == b"tail"
