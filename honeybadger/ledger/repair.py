"""Replaces the damaged blocks of a ledger, and only those, with blocks from the other nodes.

`damage` finds them. A block from another node is used only if its header has a valid certificate, or the hash that this
ledger requires at that height, and if its body is the one that the header commits to. So no member is trusted, and one
honest member is enough. The quickest member is asked first, so a member that is slow on purpose delays only one block.
Each block is replaced in one transaction.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crypto.suite import CertificateKey
from honeybadger.ledger.block import Block, check_block
from honeybadger.ledger.damage import Damage, find_damage
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.fetch import SLOWEST, Garbage, NoAnswer, Source, ask, fetch_body, fetched_header
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.verify import VerifyReport, check_certificate, read_header, verify_ledger

#: a repaired block may reveal damage below it, which the next pass repairs
PASSES = 8


@dataclass(frozen=True, slots=True)
class RepairReport:
    """`verify`: the check at the end; `repaired`: heights that were replaced or removed; `left`: height → what is
    still wrong there."""

    verify: VerifyReport
    repaired: list[int]
    left: dict[int, str]


def repair_ledger(
    store: SQLiteStore,
    key: CertificateKey,
    sources: Sequence[Source],
    say: Callable[[str], None],
    *,
    patience_s: float = 5.0,
    scratch: Path | None = None,
) -> RepairReport:
    """Repair `store`, which must have no other writer, from `sources`. A good ledger is left alone, and nobody asked.

    `key`: the cluster's, for certificates. `say(line)` reports every block and every liar. `patience_s`: how long a
    member may take for a block; a large body gets more. Raises `LedgerError` if the store is damaged below the level
    of blocks, or cannot be written.
    """
    repair = _Repair(store, key, dict.fromkeys(sources, 0.0), say, patience_s)
    report = verify_ledger(store, scratch=scratch, certificate_key=key)
    for _ in range(PASSES):
        if report.ok or not repair.run():
            break
        report = verify_ledger(store, scratch=scratch, certificate_key=key)
    left = {} if report.ok else {damage.height: damage.reason for damage in find_damage(store, key)[0]}
    if report.bad_height is not None and not left:
        left[report.bad_height] = report.reason or ""
    return RepairReport(report, sorted(repair.repaired), left)


@dataclass
class _Repair:
    store: SQLiteStore
    key: CertificateKey
    #: by member, the share of the allowed time that its last block took; infinite if it did not serve it
    took: dict[Source, float]
    say: Callable[[str], None]
    patience_s: float
    repaired: set[int] = field(default_factory=set)

    def run(self) -> bool:
        """One pass over all damage, from the top down; False if it changed nothing."""
        damaged, stray = find_damage(self.store, self.key)
        self.store.check_container()
        changed = bool(stray)
        for height in stray:
            self.store.discard(height)
            self.repaired.add(height)
            self.say(f"row {height}: no block of this ledger has this height; removed")
        bad = {damage.height for damage in damaged}
        for damage in damaged:
            expected = damage.block_hash
            if expected is None and damage.height + 1 not in bad:
                following = self.store.header(damage.height + 1)
                expected = following.previous if following is not None else None
            where = self._mend(damage, expected)
            if where is None:
                self.say(f"block {damage.height}: {damage.reason}; not repaired")
                continue
            bad.discard(damage.height)
            self.repaired.add(damage.height)
            self.say(f"block {damage.height}: {damage.reason}; {where}")
            changed = True
        return changed

    def _mend(self, damage: Damage, expected: bytes | None) -> str | None:
        """Replace a block; returns a text that says how, or None if nobody has it."""
        own, certificate, wrong_certificate = self._own(damage.height, expected)
        if own is not None and not wrong_certificate:
            self.store.replace(own, certificate)
            return "the rest of the block is good, so it was written again from its own header"
        body = own.body if own is not None else None
        # Members that have the block without a certificate are asked again if nobody has a certificate.
        uncertified: list[Source] = []
        quickest = sorted(self.took, key=self.took.__getitem__)
        for members, needs_certificate in ((quickest, True), (uncertified, False)):
            for source in members:
                name, began = source.name, time.monotonic()
                got, took = None, math.inf
                try:
                    got = self._fetch(source, damage.height, expected, certificate, needs_certificate, body)
                    length = len(got[0].body) if got is not None else 0
                    took = (time.monotonic() - began) / (self.patience_s + length / SLOWEST)
                except Garbage as error:
                    self.say(f"{name} served garbage for block {damage.height}: {error}")
                except NoAnswer as error:
                    self.say(f"{name} did not serve block {damage.height}: {error}")
                self.took[source] = took
                if got is not None:
                    self.store.replace(*got)
                    return f"fetched from {name}"
                if took < math.inf:
                    uncertified.append(source)
        return None

    def _own(self, height: int, expected: bytes | None) -> tuple[Block | None, bytes | None, bool]:
        """The good parts of our own block: header with body, certificate, each None if bad; and whether the
        certificate is invalid."""
        record = self.store.record(height)
        try:
            header = read_header(record.header, height, self.store.chain_id)
        except LedgerError:
            return None, None, False
        if header.hash != expected:
            return None, None, False
        certificate, wrong = self.store.certificate(height), False
        try:
            check_certificate(certificate, header, self.key)
        except LedgerError:
            certificate, wrong = None, True
        try:
            check_block(header, record.body or b"")
        except LedgerError:
            return None, certificate, wrong
        return Block(header, record.body or b""), certificate, wrong

    def _fetch(
        self,
        source: Source,
        height: int,
        expected: bytes | None,
        certificate: bytes | None,
        needs_certificate: bool,
        body: bytes | None,
    ) -> tuple[Block, bytes | None] | None:
        """A good block with its certificate; None if a certificate is needed and the member has none.

        `certificate`, `body`: our own, if they are good. Raises `Garbage` or `NoAnswer`.
        """
        limit = time.monotonic() + self.patience_s
        first = ask(source, height, 0)
        header = fetched_header(first, height, self.store.chain_id, self.key)
        if first.certificate:
            # It outweighs our own blocks: if they contradict it, the next pass finds that they are wrong.
            certificate = first.certificate
        elif expected is None:
            raise NoAnswer("it has no certificate, and no good block here names its hash")
        elif header.hash != expected:
            raise Garbage("its hash is not the one that this ledger requires, and it has no certificate")
        elif certificate is None and needs_certificate:
            return None
        if body is None or header.hash != expected:
            body = fetch_body(source, header, first, limit)[0]
        return Block(header, body), certificate
