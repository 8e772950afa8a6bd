"""Mends the damaged blocks of a ledger, and only those, with blocks from the other nodes.

``damage`` finds them. What another node serves is checked before it is used: its header must have a certificate that
holds, or the hash that this ledger itself asks for at that height; its body must be the one that the header commits to.
So one honest member is enough, and no member is trusted. The member that was quickest is asked first, so one that is
slow on purpose costs one block's time. Each block is replaced in one transaction.
"""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crypto.threshold_signature import SignaturePublicKey
from honeybadger.ledger.block import MAX_BODY_BYTES, Block, Header, check_block
from honeybadger.ledger.certificates import block_statement
from honeybadger.ledger.damage import Damage, find_damage
from honeybadger.ledger.errors import LedgerError, printable
from honeybadger.ledger.store import BlockStore
from honeybadger.ledger.verify import VerifyReport, check_certificate, read_header, verify_ledger

#: a member that delivers a body more slowly than this, bytes per second, is given up; half of what a node allows itself
#: for the end of the longest body
SLOWEST = 256 * 1024
#: what a repaired block reveals about the blocks below it is repaired in the next pass
PASSES = 8


class Piece(Protocol):
    """What a member says about a block: nothing of it is checked, but the sizes are bounded."""

    @property
    def header(self) -> bytes:
        """Header bytes."""

    @property
    def certificate(self) -> bytes:
        """Certificate, empty if there is none."""

    @property
    def body_bytes(self) -> int:
        """Length of the body."""

    @property
    def part(self) -> bytes:
        """Bytes of the body from the offset that was asked for."""


class Source(Protocol):
    """A member to ask; `name` is for people."""

    name: str

    def piece(self, height: int, offset: int) -> Piece | str:
        """The block at ``height`` with its body from ``offset`` on, or a text that says why not. Must not wait long."""


class _Garbage(Exception):
    """What a member served cannot be the block; one line."""


class _NoAnswer(Exception):
    """A member has not served the block; one line."""


@dataclass(eq=False, slots=True)
class _Member:
    """Whom to ask. `took`: what part of its time the last block took; infinite if it did not serve it."""

    source: Source
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What ``repair_ledger`` did: ``verify`` is the check at the end, ``repaired`` the heights that were replaced or
    removed, ``left`` the heights that are still damaged, with the reason."""

    verify: VerifyReport
    repaired: list[int]
    left: dict[int, str]


def repair_ledger(
    store: BlockStore,
    key: SignaturePublicKey,
    sources: Sequence[Source],
    say: Callable[[str], None],
    *,
    patience_s: float = 5.0,
    scratch: Path | None = None,
) -> RepairReport:
    """Repair ``store``, which nobody else writes, from ``sources``; asks none of them if the ledger is good.

    ``key``: the cluster's, for certificates. ``say(line)`` tells a person about every block and every liar.
    ``patience_s``: a member has this long for a block, and more for a large body. Raises ``LedgerError`` if the store
    is damaged below the level of blocks, or cannot be written.
    """
    repair = _Repair(store, key, sources, say, patience_s)
    report = verify_ledger(store, scratch=scratch, certificate_key=key)
    for _ in range(PASSES):
        if report.ok or not repair.run():
            break
        report = verify_ledger(store, scratch=scratch, certificate_key=key)
    left = {} if report.ok else {damage.height: damage.reason for damage in find_damage(store, key)[0]}
    if report.bad_height is not None and not left:
        left[report.bad_height] = report.reason or ""
    return RepairReport(report, sorted(repair.repaired), left)


class _Repair:
    def __init__(
        self,
        store: BlockStore,
        key: SignaturePublicKey,
        sources: Sequence[Source],
        say: Callable[[str], None],
        patience_s: float,
    ) -> None:
        self._store = store
        self._key = key
        #: the quickest first, beginning with those that were not asked yet
        self._members = [_Member(source) for source in sources]
        self._say = say
        self._patience_s = patience_s
        self.repaired: set[int] = set()

    def run(self) -> bool:
        """One pass over all damage, from the top down; False if it changed nothing."""
        found, stray = find_damage(self._store, self._key)
        self._store.check_container()
        changed = False
        for height in stray:
            self._store.discard(height)
            self.repaired.add(height)
            self._say(f"row {height}: no block of this ledger has this height; removed")
            changed = True
        bad = {damage.height for damage in found}
        for damage in found:
            expected = damage.block_hash
            if expected is None and damage.height + 1 not in bad:
                following = self._store.header(damage.height + 1)
                expected = following.previous if following is not None else None
            where = self._mend(damage, expected)
            if where is None:
                self._say(f"block {damage.height}: {damage.reason}; not repaired")
                continue
            bad.discard(damage.height)
            self.repaired.add(damage.height)
            self._say(f"block {damage.height}: {damage.reason}; {where}")
            changed = True
        return changed

    def _mend(self, damage: Damage, expected: bytes | None) -> str | None:
        """Replace a block; how this was done, or None if nobody has it."""
        own, certificate, wrong_certificate = self._own(damage.height, expected)
        if own is not None and not wrong_certificate:
            self._store.replace(own, certificate)
            return "the rest of the block is good, so it was written again from its own header"
        body = own.body if own is not None else None
        # Those that have no certificate for it are asked again if nobody has one.
        uncertified: list[_Member] = []
        for members, needs_certificate in ((list(self._members), True), (uncertified, False)):
            for member in members:
                name, began = member.source.name, time.monotonic()
                got, took = None, math.inf
                try:
                    got = self._fetch(member.source, damage.height, expected, certificate, needs_certificate, body)
                    length = len(got[0].body) if got is not None else 0
                    took = (time.monotonic() - began) / (self._patience_s + length / SLOWEST)
                except _Garbage as error:
                    self._say(f"{name} served garbage for block {damage.height}: {error}")
                except _NoAnswer as error:
                    self._say(f"{name} did not serve block {damage.height}: {error}")
                self._rank(member, took)
                if got is not None:
                    self._store.replace(*got)
                    return f"fetched from {name}"
                if took < math.inf:
                    uncertified.append(member)
        return None

    def _own(self, height: int, expected: bytes | None) -> tuple[Block | None, bytes | None, bool]:
        """What is good of our own block: header and body (or None), certificate (or None), and whether there is a
        certificate that does not hold."""
        record = self._store.record(height)
        try:
            header = read_header(record.header, height, self._store.chain_id)
        except LedgerError:
            return None, None, False
        if header.hash != expected:
            return None, None, False
        certificate, wrong = self._store.certificate(height), False
        try:
            check_certificate(certificate, header, self._key)
        except LedgerError:
            certificate, wrong = None, True
        if record.body is None:
            return None, certificate, wrong
        try:
            check_block(header, record.body)
        except LedgerError:
            return None, certificate, wrong
        return Block(header, record.body), certificate, wrong

    def _fetch(
        self,
        source: Source,
        height: int,
        expected: bytes | None,
        certificate: bytes | None,
        needs_certificate: bool,
        body: bytes | None,
    ) -> tuple[Block, bytes | None] | None:
        """A good block with its certificate, or None if it has none and one is needed.

        ``certificate`` and ``body`` are our own where they are good. Raises ``_Garbage`` or ``_NoAnswer``.
        """
        limit = time.monotonic() + self._patience_s
        first = _ask(source, height, 0)
        try:
            header = read_header(first.header, height, self._store.chain_id)
        except LedgerError as error:
            raise _Garbage(printable(error)) from None
        if first.certificate:
            # More than what our own blocks say: if they contradict it, the next pass finds that they are wrong.
            if not self._key.verify(block_statement(header.hash), first.certificate):
                raise _Garbage("its certificate does not hold")
            certificate = first.certificate
        elif expected is None:
            raise _NoAnswer("it has no certificate for it, and no good block here names it")
        elif header.hash != expected:
            raise _Garbage("it has another hash than this ledger asks for, and no certificate")
        elif certificate is None and needs_certificate:
            return None
        if body is None or header.hash != expected:
            body = _fetch_body(source, header, first, limit)
        return Block(header, body), certificate

    def _rank(self, member: _Member, took: float) -> None:
        """Ask the member after those that are quicker, or as quick."""
        member.took = took
        self._members.remove(member)
        bisect.insort(self._members, member, key=lambda other: other.took)


def _ask(source: Source, height: int, offset: int) -> Piece:
    answer = source.piece(height, offset)
    if isinstance(answer, str):
        raise _NoAnswer(answer)
    return answer


def _fetch_body(source: Source, header: Header, first: Piece, limit: float) -> bytes:
    """The body that ``header`` commits to, in parts of which ``first`` has the first."""
    length = first.body_bytes
    # What a canonical body of so many transactions and bytes can need, at the most.
    if not header.tx_bytes < length <= min(MAX_BODY_BYTES, header.tx_bytes + 5 * header.tx_count + 5):
        raise _Garbage(f"{length} bytes cannot be its body")
    limit += length / SLOWEST
    body = bytearray()
    piece = first
    while True:
        if piece.header != first.header or piece.body_bytes != length:
            raise _Garbage("it changed while it was read")
        if not 0 < len(piece.part) <= length - len(body):
            raise _Garbage(f"a part of {len(piece.part)} bytes where {length - len(body)} are left")
        body += piece.part
        if len(body) == length:
            break
        if time.monotonic() > limit:
            raise _NoAnswer(f"only {len(body)} of {length} bytes came in time")
        piece = _ask(source, header.height, len(body))
    whole = bytes(body)
    try:
        check_block(header, whole)
    except LedgerError as error:
        raise _Garbage(printable(error)) from None
    return whole
