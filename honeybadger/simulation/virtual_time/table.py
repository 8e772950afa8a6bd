"""The table of costs: what a node's work costs on one machine, by primitive. Times are in seconds of one processor.

A table ships with the package; `honeybadger simulate --calibrate` measures another one. docs/simulate.md says how each
number is found and where it is charged.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import tomli_w

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.toml_file import mistyped, read_toml

SHIPPED = Path(__file__).parent / "costs.toml"

Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cost that grows: `once`, and `each` for every share, item or byte."""

    once: Seconds
    each: Seconds

    def of(self, count: float) -> float:
        return self.once + self.each * count


class Crypto(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Operations of a suite. `encrypt`, `open`: by byte; `check`: by ciphertext; those that combine: by share;
    `code`: by byte of a whole codeword, with its Merkle tree."""

    encrypt: Line
    check: Line
    decryption_share: Seconds
    decrypt: Line
    open_byte: Seconds
    coin_share: Seconds
    coin: Line
    certificate_share: Seconds
    certificate: Line
    code: Line


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's other work. Of a protocol: `tick`, a `message` handled. `loop`: what a tick costs a real node besides
    (main loop, sockets, threads). Of the network, by byte: `encode`, `decode`, `send` and `receive` a frame, sealed;
    `send_io`, `receive_io`: what ZeroMQ's thread does of it. `submit`, `commit`: by transaction; `commit_byte`;
    `block`: once. `ledger`: a block to the disk, by byte. `sync`: the wait until what was written is on the disk,
    without a processor. `client`: a request, by transaction, at the load generator."""

    tick: Seconds
    loop: Seconds
    message: Seconds
    encode: Line
    decode: Line
    send: Line
    receive: Line
    send_io: Line
    receive_io: Line
    submit: Line
    block: Seconds
    commit: Seconds
    commit_byte: Seconds
    ledger: Line
    sync: Seconds
    client: Line


class CostTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`machine`, `version`: where and with what it was measured, in words; `suite`: the one of `crypto`."""

    machine: str
    version: str
    suite: str
    crypto: Crypto
    node: Node

    @staticmethod
    def load(path: Path = SHIPPED) -> "CostTable":
        """ClusterError, in one line, for a file that is not such a table."""
        raw = read_toml(path)
        try:
            return msgspec.convert(raw, CostTable)
        except msgspec.ValidationError as error:
            like = mistyped(error, CostTable, Crypto, Node, Line)
            raise ClusterError(f"{path}: not a table of costs: {error}{like}") from None

    def save(self, path: Path) -> None:
        path.write_text(tomli_w.dumps(msgspec.to_builtins(self)), encoding="utf-8")
