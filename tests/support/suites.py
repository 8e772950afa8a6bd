"""The cryptographic suites as tests meet them: those that are installed, with keys dealt once, and one key at work."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest

from crypto.dealer import PublicKeys, SecretKeys, deal
from crypto.suite import Suite
from crypto.suites import DEFAULT, SUITE_NAMES, SuiteMissing, find_suite

MESSAGE = b"chain, epoch 7, proposer 2, round 0"
LABEL = b"chain, epoch 7, proposer 2"
NOBODY: frozenset[int] = frozenset()

#: for tests that others than the default suite take, too
OTHERS = pytest.mark.parametrize("name", [name for name in SUITE_NAMES if name != DEFAULT])


def suite_or_skip(name: str) -> Suite:
    """The suite; where it is not installed, the test is skipped."""
    try:
        return find_suite(name)
    except SuiteMissing:
        pytest.skip("Charm is not installed: run make charm")


@cache
def dealt_once(name: str, nodes: int = 4, faults: int = 1, seed: int = 41) -> tuple[PublicKeys, list[SecretKeys]]:
    """Keys of `nodes` nodes, `faults` of which may lie."""
    return deal(nodes, faults, random.Random(seed).randbytes, find_suite(name))


@dataclass(frozen=True, repr=False)
class AtWork:
    """One of the three keys, and all nodes' shares of one message or ciphertext.

    `combine(shares, suspects=())`: what comes out, None for nothing, and the liars. `value`: what must come out.
    `foreign`: each node's shares of something else, and of keys dealt apart.
    """

    threshold: int
    shares: dict[int, bytes]
    foreign: Sequence[dict[int, bytes]]
    value: Any
    combine: Callable[..., tuple[Any, frozenset[int]]]
    verify: Callable[[int, bytes], bool]
    suite: Suite

    def bad(self, index: int) -> list[bytes]:
        """Whatever a liar may send as node `index`'s share."""
        share, lies = self.shares[index], self.suite.lies
        neighbour = self.shares[(index + 1) % len(self.shares)]
        wrong_length = [b"", share[:1], share[:-1], share + b"\0", share * 2]
        wrong = [neighbour, *(other[index] for other in self.foreign)]
        junk = [bytes(len(share)), b"\xff" * len(share), random.Random(index).randbytes(len(share))]
        return [lies.stranger(index + 1), *lies.malformed(), *wrong_length, *wrong, *junk]


def flip(data: bytes, position: int, bit: int = 0) -> bytes:
    """The same with one bit changed."""
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def shares_of(secret: Sequence[SecretKeys], kind: str, of: Any) -> dict[int, bytes]:
    """All nodes' shares of a message, or of a checked ciphertext."""
    make = "decryption_share" if kind == "encryption" else "sign_share"
    return {keys.index: getattr(getattr(keys, kind), make)(of) for keys in secret}


@cache
def at_work(kind: str, name: str, nodes: int = 4, faults: int = 1) -> AtWork:
    """The key of this kind: coin, encryption or certificate."""
    public, secret = dealt_once(name, nodes, faults)
    stranger = dealt_once(name, nodes, faults, seed=42)[1]
    key = getattr(public, kind)
    if kind == "encryption":
        randbytes = random.Random(nodes).randbytes
        made = [(key.encrypt(MESSAGE, label, randbytes), label) for label in (LABEL, LABEL, b"another")]
        checked, again, another = key.check(made)
        foreign = [shares_of(secret, kind, again), shares_of(secret, kind, another), shares_of(stranger, kind, checked)]

        def decrypt(shares: dict[int, bytes], suspects: Any = ()) -> tuple[bytes | None, frozenset[int]]:
            outcome = key.decrypt(checked, shares, suspects)
            assert outcome.done == (outcome.plaintext is not None)
            return outcome.plaintext, outcome.bad

        of, value, combine = checked, MESSAGE, decrypt
    else:
        other_kind = "certificate" if kind == "coin" else "coin"
        foreign = [
            shares_of(secret, kind, MESSAGE + b"!"),
            shares_of(secret, other_kind, MESSAGE),
            shares_of(stranger, kind, MESSAGE),
        ]

        def certify(shares: dict[int, bytes], suspects: Any = ()) -> tuple[bool | None, frozenset[int]]:
            proof, bad = key.combine(MESSAGE, shares, suspects)
            assert proof is None or len(proof) == key.proof_bytes
            return None if proof is None else key.verify(MESSAGE, proof), bad

        of, combine = MESSAGE, certify if kind == "certificate" else partial(key.toss, MESSAGE)
        value = True if kind == "certificate" else combine(shares_of(secret, kind, MESSAGE))[0]
    shares = shares_of(secret, kind, of)
    verify = lambda index, share: key.verify_share(index, of, share)  # noqa: E731
    return AtWork(faults + 1, shares, foreign, value, combine, verify, public.suite)
