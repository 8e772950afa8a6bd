"""The cluster manifest: who the members are, what they agree on, how a node runs by default (`cluster.toml`).

The `consensus` section and the members' public keys are hashed into the chain id. Two nodes whose chain ids differ
refuse each other and name the first difference. Addresses, the `runtime` section and the `faults` that an experiment
injects into the links may differ between nodes.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w
from zmq.utils import z85

from crypto.dealer import PublicKeys
from crypto.errors import CryptoError
from crypto.signatures import PublicSigningKeys
from crypto.suites import find_suite
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.sizes import check as check_sizes
from honeybadger.cluster.toml_file import mistyped, other_kind, read_toml
from honeybadger.ledger.certificates import LONGEST, signed_certificate
from honeybadger.network.addresses import is_host
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.parameters import Parameters, read_parameters
from honeybadger.protocols.registry import find_protocol
from honeybadger.wording import counted

SCHEMA = 1
Durability = Literal["fsync", "os", "memory"]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's address and public key; its index is its position in the manifest.

    `host`: a name, which stands for an IPv4 address, or an IPv4 or IPv6 address (without brackets). `port`: for peers;
    `client_port`: for clients; `public_key`: CURVE key as Z85 text; `signing_key`: Ed25519 key in hex, "" in a manifest
    of a protocol that needs none.
    """

    host: str
    port: Port
    client_port: Port
    public_key: Annotated[str, msgspec.Meta(min_length=40, max_length=40)]
    signing_key: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Runtime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a node runs; not part of the chain id.

    `durability`: "fsync" (a block survives power loss), "os" (survives the process) or "memory". `curve`:
    authenticate and encrypt connections. `recovery`: keep a vote journal and certify blocks, so that nodes can be
    restarted; without it a restarted node is silent for a while. `allow_flawed`: run a protocol although its parameters
    are known to break a promise of it. `instrumentation`: report phases of epochs, messages
    and bytes by type, queue depths and delays of timers, for measurement. `mempool_transactions`, `mempool_bytes`:
    limits of waiting transactions; beyond them clients are answered "full". `held_bytes_per_peer`: bytes kept for a
    peer that does not acknowledge; 0: as many as the parameters need (see `sizes`), 256 MiB at least and 2 GiB at the
    most.
    """

    durability: Durability = "fsync"
    curve: bool = True
    recovery: bool = True
    allow_flawed: bool = False
    instrumentation: bool = True
    mempool_transactions: Annotated[int, msgspec.Meta(ge=1)] = 1_000_000
    mempool_bytes: Annotated[int, msgspec.Meta(ge=1)] = 256 * 1024 * 1024
    held_bytes_per_peer: Annotated[int, msgspec.Meta(ge=0)] = 0


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public parts of the coin, encryption and certificate keys, hex, as the suite has them."""

    coin: list[str]
    encryption: list[str]
    certificate: list[str]


class Consensus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all members agree on: `chain` is a random name that makes this chain unlike any other.

    `parameters`: those of the protocol that their key `protocol` names, as plain data.
    """

    chain: str
    nodes: int
    faults: int
    keys: Keys
    parameters: dict[str, Any]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    consensus: Consensus
    members: list[Member]
    runtime: Runtime = msgspec.field(default_factory=Runtime)
    faults: tuple[LinkFault, ...] = ()


class Manifest:
    """A validated manifest."""

    def __init__(
        self,
        consensus: Consensus,
        members: list[Member],
        runtime: Runtime | None = None,
        faults: Iterable[LinkFault] = (),
    ) -> None:
        """ClusterError, in one line, for the first thing that is wrong."""
        try:
            self.specification = find_protocol(str(consensus.parameters.get("protocol")))
            self.quorums = self.specification.fault_model.quorums(consensus.nodes, consensus.faults)
            #: the typed record of the protocol
            self.parameters = read_parameters(self.specification.parameters, consensus.parameters)
            self.runtime = runtime or Runtime()
            self.sizes = check_sizes(self.specification, self.parameters, self.quorums, self.runtime)
            refuse_flawed(self.parameters, self.runtime)
            self.public_keys = PublicKeys.from_dict(
                consensus.nodes,
                self.quorums.weak,
                msgspec.to_builtins(consensus.keys),
                find_suite(self.parameters.suite),
            )
        except (ValueError, LookupError, CryptoError) as error:
            raise ClusterError(str(error)) from None
        longest = len(signed_certificate(bytes(self.public_keys.certificate.proof_bytes)))
        if longest > LONGEST:
            raise ClusterError(
                f"suite = {self.parameters.suite}: with {consensus.nodes} nodes a certificate has {longest} bytes, and"
                f" {LONGEST} are the most"
            )
        if len(members) != consensus.nodes:
            raise ClusterError(f"consensus.nodes is {consensus.nodes}, but {counted(len(members), 'member')} listed")
        for index, member in enumerate(members):
            if not is_host(member.host):
                raise ClusterError(
                    f'members[{index}].host "{_plain(member.host)}" is not a host name, an IPv4 address,'
                    " or an IPv6 address without brackets and zone"
                )
            if not _is_z85_key(member.public_key):
                raise ClusterError(f"members[{index}].public_key is not a CURVE key of 40 characters")
        self.signing_keys = _signing_keys(members)
        if self.specification.needs_signing_keys and self.signing_keys is None:
            raise ClusterError(f"protocol {self.specification.name} needs a signing_key of each member")
        if len({member.public_key for member in members}) != len(members):
            raise ClusterError("two members have the same public key")
        used = [(m.host, port) for m in members for port in (m.port, m.client_port)]
        if len(set(used)) != len(used):
            raise ClusterError("two members use the same host and port")
        self.consensus = consensus
        self.members = members
        self.faults = tuple(faults)
        for index, fault in enumerate(self.faults):
            try:
                fault.check(consensus.nodes)
            except ValueError as error:
                raise ClusterError(f"faults[{index}].{error}") from None
        self.settings = _flatten(consensus, self.parameters, members)
        self.chain_id = hashlib.sha256(
            msgspec.msgpack.encode(["honeybadger chain", SCHEMA, sorted(self.settings.items())])
        ).digest()

    @staticmethod
    def load(path: Path) -> Manifest:
        """Read and validate; ClusterError names the file and what is wrong with it."""
        raw = read_toml(path)
        try:
            file = msgspec.convert(raw, _File)
            if file.schema != SCHEMA:
                raise ClusterError(f"schema {file.schema} is not {SCHEMA}")
            return Manifest(file.consensus, file.members, file.runtime, file.faults)
        except (msgspec.ValidationError, ClusterError) as error:
            like = mistyped(error, _File, Consensus, Keys, Member, Runtime)
            if "consensus" not in raw and "members" not in raw:
                what = f"is {kind}, not" if (kind := other_kind(raw)) else "is not"
                raise ClusterError(f"{path}: this {what} a cluster's manifest (cluster.toml of keygen)") from None
            raise ClusterError(f"{path}: {error}{like}") from None

    def with_faults(self, faults: Iterable[LinkFault]) -> Manifest:
        """The same chain, whose links suffer `faults`; ClusterError if one names a node that does not exist."""
        return Manifest(self.consensus, self.members, self.runtime, faults)

    def save(self, path: Path) -> None:
        """Write the manifest as TOML."""
        raw: dict[str, Any] = {
            "schema": SCHEMA,
            "consensus": msgspec.to_builtins(self.consensus),
            "runtime": msgspec.to_builtins(self.runtime),
            "members": msgspec.to_builtins(self.members),
        }
        if self.faults:
            raw["faults"] = msgspec.to_builtins(self.faults)
        path.write_text(tomli_w.dumps(raw), encoding="utf-8")

    def difference(self, settings: Mapping[str, str]) -> str:
        """The first setting in which another node's differ from this one's, for people; "" if none does."""
        # Keys of another suite differ, too, but the suite is why.
        for name in sorted(self.settings.keys() | settings.keys(), key=lambda name: (name != "suite", name)):
            mine, theirs = self.settings.get(name, "absent"), settings.get(name, "absent")
            if mine != theirs:
                return f"{_plain(name)} is {_plain(mine)} here and {_plain(theirs)} there"
        return ""


def refuse_flawed(parameters: Parameters, runtime: Runtime) -> None:
    """ValueError, in one line, for what is known to be flawed, unless `runtime` allows it.

    Here because everything that starts a node has a manifest, which the node itself reads again.
    """
    if parameters.flaw and not runtime.allow_flawed:
        raise ValueError(f"{parameters.flaw}; to study it anyway: --allow-flawed")


def _plain(text: str) -> str:
    """What a peer says, fit for a line on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:60])


def _signing_keys(members: list[Member]) -> PublicSigningKeys | None:
    """The members' Ed25519 keys; None if there are none. ClusterError if only some have one, or one is malformed."""
    if not any(member.signing_key for member in members):
        return None
    for index, member in enumerate(members):
        if not re.fullmatch(r"[0-9a-f]{64}", member.signing_key):
            raise ClusterError(f"members[{index}].signing_key is not an Ed25519 key of 64 hex digits")
    if len({member.signing_key for member in members}) != len(members):
        raise ClusterError("two members have the same signing key")
    try:
        return PublicSigningKeys([bytes.fromhex(member.signing_key) for member in members])
    except CryptoError as error:
        raise ClusterError(str(error)) from None


def _is_z85_key(text: str) -> bool:
    try:
        return len(z85.decode(text)) == 32
    except (ValueError, KeyError, struct.error):
        return False


def _flatten(consensus: Consensus, parameters: Parameters, members: list[Member]) -> dict[str, str]:
    """Every agreed setting by name, as text; long ones by their hash."""
    flat = {name: str(value) for name, value in msgspec.structs.asdict(parameters).items()}
    flat |= {"chain": consensus.chain, "nodes": str(consensus.nodes), "faults": str(consensus.faults)}
    for kind, commitments in msgspec.structs.asdict(consensus.keys).items():
        digest = hashlib.sha256("".join(commitments).encode()).hexdigest()
        flat[f"keys.{kind}"] = f"sha256:{digest[:32]}"
    for index, member in enumerate(members):
        flat[f"members[{index}].public_key"] = member.public_key
        if member.signing_key:
            flat[f"members[{index}].signing_key"] = member.signing_key
    return flat
