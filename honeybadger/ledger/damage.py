"""Which blocks of a ledger are damaged: all of them, not only the first, from what is in the ledger itself.

A header is good if a certificate holds for it, or if a good block above it names its hash. So the walk is from the top
down, and what it needs to trust without proof is only the newest header, while that has no certificate. A body is good
if its Merkle root is that of a good header. Nothing is compared with copies.

What cannot be seen from here is a ledger that was cut off at its end, or rewritten from some block to its end with no
certificate left there.
"""

from __future__ import annotations

from dataclasses import dataclass

from crypto.threshold_signature import SignaturePublicKey
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.store import BlockStore, Record
from honeybadger.ledger.verify import check_certificate, check_contents, read_header

HIGHEST = 2**32 - 1
#: more missing blocks than this are no damage that one repairs block by block
MOST_MISSING = 100_000


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged block: what is wrong, in one line, and the hash it must have as far as this is known here."""

    height: int
    reason: str
    block_hash: bytes | None


@dataclass(frozen=True, slots=True)
class _Look:
    """What one record says: its header is readable, and `flaw` is what is wrong beside it ("" if nothing)."""

    block_hash: bytes
    previous: bytes
    epoch: int
    certified: bool
    bad_certificate: bool
    #: the column beside the header has the header's hash
    agrees: bool
    flaw: str


def find_damage(store: BlockStore, key: SignaturePublicKey) -> tuple[list[Damage], list[int]]:
    """Damaged blocks, highest first, and heights of rows that no block can have.

    Some 300 bytes of memory per block. Raises ``LedgerError`` if the store cannot be read, or lacks too much.
    """
    looks: dict[int, _Look | str] = {}
    for record in store.iter_records():
        looks[record.height] = _look(record, store, key)
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


def _look(record: Record, store: BlockStore, key: SignaturePublicKey) -> _Look | str:
    """What is there; a text if there is no header that can be the one of this block."""
    if not 1 <= record.height <= HIGHEST:
        return "no block has this height"
    try:
        header = read_header(record.header, record.height, store.chain_id)
    except LedgerError as error:
        return str(error)
    flaw = ""
    certified = bad_certificate = False
    try:
        certified = check_certificate(store.certificate(record.height), header, key)
    except LedgerError as error:
        flaw, bad_certificate = str(error), True
    try:
        check_contents(record, header)
    except LedgerError as error:
        flaw = f"{error}; {flaw}" if flaw else str(error)
    agrees = record.columns.get("hash") == header.hash
    return _Look(header.hash, header.previous, header.epoch, certified, bad_certificate, agrees, flaw)


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
            # The certificate settles it: what is above, up to the next certificate, is no part of this chain.
            for wrong in doubtful:
                damage[wrong] = Damage(wrong, f"it does not follow block {height}, which is certified", None)
            follows = True
        elif not follows and doubtful == [height + 1] and above is not None:
            # Nothing but the newest header speaks against this one: the hashes stored beside them tell, or nobody.
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
            # The newest header, with a wrong certificate or a wrong hash beside it, proves nothing about itself.
            proven = look.certified or above is not None or (look.agrees and not look.bad_certificate)
            damage[height] = Damage(height, look.flaw, look.block_hash if proven else None)
        if look.certified:
            doubtful = []
        else:
            doubtful.append(height)
        above = look
    return [damage[height] for height in sorted(damage, reverse=True)]
