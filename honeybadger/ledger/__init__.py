"""The ledger: blocks, their hash chain, proofs, storage, verification and export.

Start with `block` (what is a block?), then `chain` (what does a node do with an agreed epoch?), `history`
(which transactions are committed?) and `sqlite` (the file). Nothing here knows of consensus or sockets.
"""

from honeybadger.ledger.block import Block, Header, build_block, check_block, decode_body, encode_body
from honeybadger.ledger.chain import Chain, ChainUpdate
from honeybadger.ledger.errors import LedgerError
from honeybadger.ledger.export import export_csv, export_jsonl
from honeybadger.ledger.history import History
from honeybadger.ledger.merkle import tx_root
from honeybadger.ledger.proof import Proof, build_proof, verify_proof
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.store import Durability, Record
from honeybadger.ledger.verify import VerifyReport, compare, verify_ledger

__all__ = [
    "Block",
    "Chain",
    "ChainUpdate",
    "Durability",
    "Header",
    "History",
    "LedgerError",
    "Proof",
    "Record",
    "SQLiteStore",
    "VerifyReport",
    "build_block",
    "build_proof",
    "check_block",
    "compare",
    "decode_body",
    "encode_body",
    "export_csv",
    "export_jsonl",
    "tx_root",
    "verify_ledger",
    "verify_proof",
]
