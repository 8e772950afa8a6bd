"""What a cryptographic suite is: the one interface between the mathematics and everything that uses it.

A suite brings three keys that N nodes share, any `threshold` of which act together, and an erasure code:

- coin: shares of a message become one bit that nobody knew before, the same from whatever shares;
- encryption: labelled threshold encryption, secure against chosen ciphertexts;
- certificate: shares of a message become one proof that `threshold` nodes have signed it;
- the erasure code of reliable broadcast.

Guarantees that every suite gives, and that the tests in `tests/crypto` ask of each:

1. A share carries no index: its index is that of the authenticated sender, never one from the message.
2. Whatever the shares' senders do, any set of shares with enough valid ones leads to the same outcome, and each node
   that is named as bad did send an invalid share.
3. A ciphertext that passes `check` passes it at every node, for one label only, and decrypts to the same outcome at
   every node: a plaintext, or nothing.
4. Nothing that a peer sends raises: bytes that are no share are an invalid share, bytes that are no ciphertext do not
   pass. Only an index out of range, which no peer can choose, is a CryptoError.
5. A key that exists is well formed, and a node's secret matches what is public of it (else InvalidKey).

`suites` finds a suite by its name. A new one is a folder beside `bls` and `charm` that makes a `Suite`, and a line
there.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from crypto.erasure import ErasureCode

RandomBytes = Callable[[int], bytes]
"""A source of uniformly random bytes, such as `secrets.token_bytes`."""

SHARE_BYTES = 128
"""No suite has longer shares."""

Ciphertext: TypeAlias = Any
"""A ciphertext that was checked, or made here, in whatever form the suite likes; `data` are its bytes."""


@dataclass(frozen=True, slots=True)
class Decryption:
    """Outcome of `EncryptionKey.decrypt`.

    `done` and a plaintext: decrypted. `done` and None: the ciphertext itself is bad, at every node alike. Not
    `done`: more shares are needed. `bad`: senders of invalid shares, as far as they had to be looked at.
    """

    done: bool
    plaintext: bytes | None
    bad: frozenset[int]


class PublicKey(Protocol):
    """What everybody knows of a key: `threshold` of `nodes` shares are needed; `parts` are its encoded parts."""

    @property
    def nodes(self) -> int: ...

    @property
    def threshold(self) -> int: ...

    @property
    def parts(self) -> tuple[bytes, ...]: ...


class CoinKey(PublicKey, Protocol):
    """The public side of the coin's key."""

    def verify_share(self, index: int, message: bytes, share: bytes) -> bool:
        """Whether this is node `index`'s share of `message`. CryptoError for an index out of range."""

    def toss(
        self, message: bytes, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[int | None, frozenset[int]]:
        """The coin of `message`, 0 or 1 (None if there are not enough valid shares), and senders of invalid shares.

        `shares` by sender, in order of preference; with fewer than `threshold` nothing is done. Senders are named as
        far as their shares had to be checked: the caller drops these shares, and passes the senders as `suspects` from
        then on. CryptoError for a sender out of range.
        """


class CertificateKey(PublicKey, Protocol):
    """The public side of the key that certifies."""

    def verify_share(self, index: int, message: bytes, share: bytes) -> bool:
        """Whether this is node `index`'s share of `message`. CryptoError for an index out of range."""

    def combine(
        self, message: bytes, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> tuple[bytes | None, frozenset[int]]:
        """The proof that `threshold` nodes signed `message`, of `proof_bytes`; else as `CoinKey.toss`."""

    def verify(self, message: bytes, proof: bytes) -> bool:
        """Whether `proof` proves that `threshold` nodes signed `message`."""

    @property
    def proof_bytes(self) -> int:
        """The length of every proof."""


class EncryptionKey(PublicKey, Protocol):
    """The public side of the encryption key."""

    def encrypt(self, message: bytes, label: bytes, randbytes: RandomBytes) -> bytes:
        """The ciphertext of `message` for `label`, longer by a constant.

        `label` says where this ciphertext belongs (key set, epoch, proposer ...); the decrypting nodes know it
        from the context. `randbytes` must be unpredictable and never repeat. CryptoError for a message over
        2 GiB.
        """

    def check(self, items: Sequence[tuple[bytes, bytes]]) -> list[Ciphertext | None]:
        """Decodes and verifies pairs (ciphertext, label); None stands for each invalid one.

        Release no share of anything that did not pass.
        """

    def own(self, data: bytes, label: bytes) -> Ciphertext:
        """A ciphertext that this node has just made by `encrypt`: it needs no check."""

    def verify_share(self, index: int, ciphertext: Ciphertext, share: bytes) -> bool:
        """Whether this is node `index`'s share of a *checked* ciphertext. CryptoError for an index out of range."""

    def decrypt(
        self, ciphertext: Ciphertext, shares: Mapping[int, bytes], suspects: Collection[int] = ()
    ) -> Decryption:
        """Decrypts a *checked* ciphertext; `shares` and `suspects` as for `CoinKey.toss`."""


class SecretKey(Protocol):
    """What node `index` holds of a key."""

    @property
    def index(self) -> int: ...

    def to_bytes(self) -> bytes:
        """The secret, 32 bytes."""


class SigningShare(SecretKey, Protocol):
    """A node's part of the coin's or of the certificate's key."""

    def sign_share(self, message: bytes) -> bytes:
        """This node's share of `message`, the same each time."""


class DecryptionShare(SecretKey, Protocol):
    """A node's part of the encryption key."""

    def decryption_share(self, ciphertext: Ciphertext) -> bytes:
        """This node's share of a *checked* ciphertext. Reveal it only once its use is agreed."""


Public = TypeVar("Public", bound=PublicKey)
Secret = TypeVar("Secret", bound=SecretKey)

SECRET_BYTES = 32
"""Bytes of a node's secret of one key, in every suite."""


class Scheme(ABC, Generic[Public, Secret]):
    """One key of a suite: how it is dealt, and read again. `part_bytes`: the length of each public part."""

    part_bytes: int

    @abstractmethod
    def deal(self, nodes: int, threshold: int, randbytes: RandomBytes) -> tuple[list[bytes], list[bytes]]:
        """The public parts, and the secret of each node."""

    @abstractmethod
    def public(self, nodes: int, threshold: int, parts: Sequence[bytes]) -> Public:
        """The key with these parts. InvalidKey for a wrong number of them, or one that is malformed."""

    @abstractmethod
    def secret(self, index: int, secret: bytes, public: Public) -> Secret:
        """What node `index` holds. InvalidKey unless it is well formed and matches `public`."""


class Lies(ABC):
    """What a liar sends where this suite is used: for attacks and tests only."""

    @abstractmethod
    def stranger(self, number: int) -> bytes:
        """A share that is well formed and nobody's, another one for each `number` above 0."""

    @abstractmethod
    def malformed(self) -> Sequence[bytes]:
        """Shares of the right length that no honest node ever sends: of the identity first, then others."""

    @abstractmethod
    def spoilt(
        self, key: Any, message: bytes, label: bytes, randbytes: RandomBytes, part: Literal["body", "mask"]
    ) -> bytes:
        """A ciphertext that passes the check, made by one who knows its randomness, and that nobody can decrypt."""

    @abstractmethod
    def identity_header(self, ciphertext: bytes) -> bytes:
        """The same ciphertext with the identity in place of its first point."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A cryptographic suite. `code(data, total)`: the erasure code, for `most_nodes` at most; `about`: one line."""

    name: str
    about: str
    coin: Scheme[Any, Any]  # CoinKey, SigningShare
    encryption: Scheme[Any, Any]  # EncryptionKey, DecryptionShare
    certificate: Scheme[Any, Any]  # CertificateKey, SigningShare
    code: Callable[[int, int], ErasureCode]
    most_nodes: int
    lies: Lies
