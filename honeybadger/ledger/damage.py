"""Finds all damaged blocks of a ledger, not only the first, from the ledger alone.

A header is good if a certificate holds for it, or if the good block above it names its hash. So the walk goes from the
top down, and takes nothing on trust but the newest header, as long as that has no certificate. A body is good if its
Merkle root is that of a good header.

The walk cannot see that a ledger was cut off at its end, or rewritten from some block to its end without certificates.
"""

from dataclasses import dataclass

from crypto.suite import CertificateKey
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.store import Record
from honeybadger.ledger.verify import check_certificate, check_contents, read_header

HIGHEST = 2**32 - 1
#: with more missing blocks than this, repair is refused: start afresh instead
MOST_MISSING = 100_000


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged block: what is wrong, in one line, and the hash that it must have; None if the ledger does not tell."""

    height: int
    reason: str
    block_hash: bytes | None


@dataclass(frozen=True, slots=True)
class _Look:
    """A record with a readable header. `flaw`: what is wrong apart from the header, "" if nothing is."""

    block_hash: bytes
    previous: bytes
    epoch: int
    certified: bool
    bad_certificate: bool
    #: the stored hash column is the hash of the header
    agrees: bool
    flaw: str


def find_damage(store: SQLiteStore, key: CertificateKey) -> tuple[list[Damage], list[int]]:
    """Damaged blocks, highest first, and heights of rows that no block can have.

    Some 300 bytes of memory per block. Raises `LedgerError` if the store cannot be read, or lacks too much.
    """
    looks = {record.height: _look(record, store, key) for record in store.iter_records()}
    readable = [height for height, look in looks.items() if isinstance(look, _Look)]
    top = max(readable, default=0)
    while top + 1 in looks and top < HIGHEST:
        top += 1
    stray = [height for height in looks if not 1 <= height <= top]
    if top - (len(looks) - len(stray)) > MOST_MISSING:
        raise LedgerError(
            f"more than {MOST_MISSING} blocks are missing below block {top}: move the ledger away and start the node,"
            " which then fetches the blocks from the others"
        )
    return _walk(looks, top, store.chain_id), sorted(stray)


def _look(record: Record, store: SQLiteStore, key: CertificateKey) -> _Look | str:
    """What the record holds; a text that says why if it has no header of this block."""
    if not 1 <= record.height <= HIGHEST:
        return "no block has this height"
    try:
        header = read_header(record.header, record.height, store.chain_id)
    except LedgerError as error:
        return str(error)
    flaws = []
    certified = bad_certificate = False
    try:
        check_contents(record, header)
    except LedgerError as error:
        flaws.append(str(error))
    try:
        certified = check_certificate(store.certificate(record.height), header, key)
    except LedgerError as error:
        flaws.append(str(error))
        bad_certificate = True
    agrees = record.columns.get("hash") == header.hash
    return _Look(header.hash, header.previous, header.epoch, certified, bad_certificate, agrees, "; ".join(flaws))


def _walk(looks: dict[int, _Look | str], top: int, chain_id: bytes) -> list[Damage]:
    """Judge the headers from the top down."""
    damage: dict[int, Damage] = {}
    #: the good block above, None if there is none; `doubtful`: uncertified blocks from there up, each naming the next
    above: _Look | None = None
    doubtful: list[int] = []
    for height in range(top, 0, -1):
        look = looks.get(height, "the block is missing")
        if isinstance(look, str):
            damage[height] = Damage(height, look, above.previous if above else None)
            above, doubtful = None, []
            continue
        follows = above is None or (above.previous == look.block_hash and above.epoch > look.epoch)
        if not follows and look.certified and doubtful:
            # The certificate settles it: the blocks above, up to the next certificate, are not of this chain.
            for wrong in doubtful:
                damage[wrong] = Damage(wrong, f"it does not follow block {height}, which is certified", None)
            follows = True
        elif not follows and doubtful == [height + 1] and above is not None:
            # Only the newest header contradicts this one: of the two, the one that differs from its hash column is bad.
            suspects = [h for h, seen in ((height + 1, above), (height, look)) if not seen.agrees]
            for wrong in suspects if len(suspects) == 1 else (height + 1, height):
                damage[wrong] = Damage(wrong, f"blocks {height} and {height + 1} do not follow each other", None)
            follows, above, doubtful = height not in damage, None, []
        if not follows:
            expected = above.previous if above is not None else None
            reason = f"its hash is not the one that block {height + 1} names"
            damage.setdefault(height, Damage(height, reason, expected))
            above, doubtful = None, []
            continue
        if height == 1 and look.previous != chain_id and not look.certified:
            damage[height] = Damage(height, "previous hash is not the chain id", None)
            continue
        if look.flaw:
            # The newest header proves nothing about itself if its certificate or its hash column is wrong.
            proven = look.certified or above is not None or (look.agrees and not look.bad_certificate)
            damage[height] = Damage(height, look.flaw, look.block_hash if proven else None)
        if look.certified:
            doubtful = []
        else:
            doubtful.append(height)
        above = look
    return [damage[height] for height in sorted(damage, reverse=True)]
