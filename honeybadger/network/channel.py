"""The cipher of a connection between two nodes: Noise KK, then sealed messages in one direction.

Why not CURVE. Its cipher (XSalsa20 and Poly1305) does some 460 MB/s in ZeroMQ; AES-256-GCM does six times that. ZeroMQ
cannot take CURVE's handshake without its cipher. A second, plain socket beside a CURVE one would need a second port for
each node, twice the connections, and the same answers to strangers, replays and forged bytes as here.

The handshake is `Noise_KK_25519_AESGCM_SHA256` of the Noise Protocol Framework (revision 34, section 7.5), not one of
our own: two messages between nodes that know each other's key. The static keys are the CURVE keys of the manifest,
which are X25519 keys. Tests hold it against another implementation. Each connection has a handshake of its own, with
ephemeral keys of both sides. So keys serve one connection in one direction, and what was recorded on another connection
opens on none.

What is sealed is AES-256-GCM under the initiator's key. Its nonce is its number on the connection, which both sides
count; it is not on the wire. So what was changed, cut short, sent twice, left out or moved does not open, and neither
does anything after it: the connection is of no more use. Only the length limit of Noise (65,535 bytes) is not kept;
AES-GCM allows 64 GiB.

A message is sealed once. If its last part is long, that is sealed by itself, so that nobody copies it to join the
others. The additional data says which of the two it is, so messages cannot be taken apart and put together otherwise.
"""

import hmac
import struct
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: bytes of each message of the handshake: an ephemeral public key and a tag
HANDSHAKE_BYTES = 48
#: bytes that sealing adds
SEAL_BYTES = 16
#: places of what is sealed: a whole message, or the two pieces of one
WHOLE, HEAD, TAIL = b"", b"head", b"tail"

_NAME = b"Noise_KK_25519_AESGCM_SHA256"
_nonce = struct.Struct(">4xQ")


class ChannelError(ValueError):
    """Bytes that the owner of the other key has not sent here, or not in this place."""


class Sealer:
    """Seals what one side says on a connection."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0

    def seal(self, data: bytes, place: bytes = WHOLE) -> bytes:
        """The next thing to send, `SEAL_BYTES` longer. `place`: what the receiver must know it as."""
        nonce = _nonce.pack(self._number)
        self._number += 1
        return self._cipher.encrypt(nonce, data, place)


class Opener:
    """Opens what the `Sealer` of the other side has sealed."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0

    def open(self, sealed: bytes | memoryview, place: bytes = WHOLE) -> bytes:
        """What was sealed next, for this place; ChannelError if this is not it."""
        try:
            data = self._cipher.decrypt(_nonce.pack(self._number), sealed, place)
        except InvalidTag:
            raise ChannelError("a message that does not open") from None
        self._number += 1
        return data


class _Transcript:
    """`SymmetricState` of Noise (section 5.2)."""

    def __init__(self, prologue: bytes, initiator: bytes, responder: bytes) -> None:
        self._chain = self._hash = _NAME.ljust(32, b"\0")
        self._key = b""
        for known in (prologue, initiator, responder):
            self.mix_hash(known)

    def mix_hash(self, data: bytes) -> None:
        self._hash = sha256(self._hash + data).digest()

    def mix_key(self, mine: X25519PrivateKey, theirs: X25519PublicKey) -> None:
        try:
            self._chain, self._key = self._derive(mine.exchange(theirs))
        except ValueError:
            raise ChannelError("a public key that agrees on nothing") from None

    def tag(self) -> bytes:
        """Proves what was mixed so far."""
        tag = AESGCM(self._key).encrypt(bytes(12), b"", self._hash)
        self.mix_hash(tag)
        return tag

    def check(self, tag: bytes) -> None:
        """ChannelError if it is not what `tag` returned on the other side."""
        try:
            AESGCM(self._key).decrypt(bytes(12), tag, self._hash)
        except InvalidTag:
            raise ChannelError("a handshake with another key") from None
        self.mix_hash(tag)

    def key_of_initiator(self) -> bytes:
        """`Split`; the responder says nothing after the handshake, so its key is not used."""
        return self._derive(b"")[0]

    def _derive(self, secret: bytes) -> tuple[bytes, bytes]:
        """`HKDF` with two outputs."""
        temporary = hmac.digest(self._chain, secret, "sha256")
        first = hmac.digest(temporary, b"\1", "sha256")
        return first, hmac.digest(temporary, first + b"\2", "sha256")


class Initiator:
    """The side that opens the connection and will speak on it.

    `prologue`: what both sides must agree on besides the keys. `ephemeral`: for tests.
    """

    def __init__(
        self,
        mine: X25519PrivateKey,
        theirs: X25519PublicKey,
        prologue: bytes,
        ephemeral: X25519PrivateKey | None = None,
    ) -> None:
        self._mine = mine
        self._ephemeral = ephemeral or X25519PrivateKey.generate()
        self._transcript = _Transcript(prologue, mine.public_key().public_bytes_raw(), theirs.public_bytes_raw())
        public = self._ephemeral.public_key().public_bytes_raw()
        self._transcript.mix_hash(public)
        self._transcript.mix_key(self._ephemeral, theirs)
        self._transcript.mix_key(mine, theirs)
        #: to be sent first
        self.offer = public + self._transcript.tag()

    def finish(self, answer: bytes) -> Sealer:
        """Only the owner of the other key can have answered; ChannelError if somebody else has."""
        theirs, tag = _split(answer)
        self._transcript.mix_hash(answer[:32])
        self._transcript.mix_key(self._ephemeral, theirs)
        self._transcript.mix_key(self._mine, theirs)
        self._transcript.check(tag)
        return Sealer(self._transcript.key_of_initiator())


def respond(
    mine: X25519PrivateKey,
    theirs: X25519PublicKey,
    prologue: bytes,
    offer: bytes,
    ephemeral: X25519PrivateKey | None = None,
) -> tuple[bytes, Opener]:
    """The answer to an offer, and what opens the messages that follow. ChannelError if the offer was not made for us.

    The offer may be old: that somebody has the other key *now* is only certain when the first message opens.
    """
    their_ephemeral, tag = _split(offer)
    transcript = _Transcript(prologue, theirs.public_bytes_raw(), mine.public_key().public_bytes_raw())
    transcript.mix_hash(offer[:32])
    transcript.mix_key(mine, their_ephemeral)
    transcript.mix_key(mine, theirs)
    transcript.check(tag)
    my_ephemeral = ephemeral or X25519PrivateKey.generate()
    public = my_ephemeral.public_key().public_bytes_raw()
    transcript.mix_hash(public)
    transcript.mix_key(my_ephemeral, their_ephemeral)
    transcript.mix_key(my_ephemeral, theirs)
    return public + transcript.tag(), Opener(transcript.key_of_initiator())


def _split(message: bytes) -> tuple[X25519PublicKey, bytes]:
    if len(message) != HANDSHAKE_BYTES:
        raise ChannelError(f"{len(message)} bytes instead of a handshake")
    return X25519PublicKey.from_public_bytes(message[:32]), message[32:]
