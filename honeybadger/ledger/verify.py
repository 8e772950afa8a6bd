"""Checks a ledger that may have been damaged or forged, and compares the ledgers of several nodes.

`verify_ledger` derives everything again from header and body bytes and trusts no stored value: heights without gaps
from 1, chain id, hash chain, strictly increasing epochs, columns equal to header fields, canonical bodies with the
header's count, size and Merkle root, and no transaction committed twice. It cannot see that a ledger was cut off at its
end, or rewritten as a whole. To find that, compare it with other nodes, or give the cluster's key: then every stored
certificate must hold. The newest blocks may not have one yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from crypto.suite import CertificateKey
from honeybadger.fingerprinted import Fingerprinted
from honeybadger.ledger.block import Header, check_block
from honeybadger.ledger.certificates import verify_certificate
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.history import History
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.store import Record, header_columns
from honeybadger.transactions import Transactions


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Counts of the good blocks before the first bad one, and that block with a one-line reason.

    `tip_hash`: hash of the last good block (the chain id if there is none). `certified`: how many blocks there are up
    to the newest with a valid certificate; 0 if certificates were not checked.
    """

    blocks: int
    transactions: int
    tx_bytes: int
    tip_hash: bytes
    bad_height: int | None = None
    reason: str | None = None
    certified: int = 0

    @property
    def ok(self) -> bool:
        """True if every block passed."""
        return self.reason is None


def verify_ledger(
    store: SQLiteStore,
    *,
    find_repeats: bool = True,
    scratch: Path | None = None,
    certificate_key: CertificateKey | None = None,
) -> VerifyReport:
    """Walk the ledger up to the first bad block; never raises for what is in the store.

    `find_repeats=False` skips the search for transactions committed twice. That search takes about 20 bytes per
    transaction, of which all but 3 go to temporary files in `scratch`. `certificate_key` is the cluster's; without it
    certificates are not checked.
    """
    seen = History(store.open_body, directory=scratch) if find_repeats else None
    blocks = transactions = tx_bytes = certified = 0
    epoch = -1
    tip = store.chain_id
    try:
        for record in store.iter_records():
            header, body = _check_record(record, blocks + 1, store.chain_id, tip, epoch)
            if seen is not None:
                _check_repeats(seen, header.height, body)
            if certificate_key and check_certificate(store.certificate(header.height), header, certificate_key):
                # It speaks for all blocks below as well.
                certified = header.height
            blocks, epoch, tip = header.height, header.epoch, header.hash
            transactions += header.tx_count
            tx_bytes += header.tx_bytes
    except LedgerError as error:
        return VerifyReport(blocks, transactions, tx_bytes, tip, blocks + 1, str(error), certified)
    return VerifyReport(blocks, transactions, tx_bytes, tip, certified=certified)


def _check_record(
    record: Record, height: int, chain_id: bytes, previous: bytes, epoch: int
) -> tuple[Header, Transactions]:
    if record.height != height:
        raise LedgerError(f"block {height} is missing, the next one stored is {record.height}")
    header = read_header(record.header, height, chain_id)
    if header.previous != previous:
        raise LedgerError("previous hash is not the hash of the block before")
    if header.epoch <= epoch:
        raise LedgerError(f"epoch {header.epoch} does not follow epoch {epoch}")
    return header, check_contents(record, header)


def read_header(data: bytes | None, height: int, chain_id: bytes) -> Header:
    """The header in `data`; `LedgerError` unless it can belong to block `height` of the chain."""
    if data is None:
        raise LedgerError("header is missing")
    header = Header.decode(data)
    if header.height != height:
        raise LedgerError(f"header says height {header.height}")
    if header.chain_id != chain_id:
        raise LedgerError(f"header belongs to chain {header.chain_id.hex()}")
    return header


def check_contents(record: Record, header: Header) -> Transactions:
    """Transactions of a record; `LedgerError` unless its columns and body belong to `header`."""
    for name, value in header_columns(header).items():
        if record.columns.get(name) != value:
            raise LedgerError(f"column {name} differs from the header")
    if record.body is None:
        raise LedgerError("body is missing")
    return check_block(header, record.body)


def _check_repeats(seen: History, height: int, transactions: Transactions) -> None:
    body = Fingerprinted.of(transactions, seen.key)
    if body.first_equal() is not None:
        raise LedgerError("a transaction is twice in the block")
    heights = seen.find(body)
    if heights.any():
        position = int(np.flatnonzero(heights)[0])
        start = transactions[position][:16].hex()
        raise LedgerError(f"transaction {start}... was committed before, in block {heights[position]}")
    seen.add(height, body)
    seen.compact()


def check_certificate(certificate: bytes | None, header: Header, key: CertificateKey) -> bool:
    """Whether there is a certificate; `LedgerError` if it is invalid."""
    if certificate is None:
        return False
    if not isinstance(certificate, bytes) or not verify_certificate(key, header.hash, certificate):
        raise LedgerError("certificate is invalid")
    return True


def compare(stores: Sequence[SQLiteStore]) -> int | None:
    """Lowest height at which two of the ledgers differ, `None` if each is a prefix of the longest.

    Compares header bytes; bodies follow from them once each ledger passes `verify_ledger`. Ledgers of
    different chains differ at height 1 if they have blocks there. Raises `LedgerError` for unreadable
    headers.
    """
    step = 1000
    first = 1
    while True:
        columns = [store.headers(first, first + step - 1) for store in stores]
        for height, row in enumerate(zip_longest(*columns), first):
            if len({header for header in row if header is not None}) > 1:
                return height
        if not any(columns):
            return None
        first += step
