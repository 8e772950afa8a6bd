"""A node's secret key file (`keys.toml`, mode 0600): CURVE key and threshold key shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import tomli_w
import zmq

from crypto.dealer import SecretKeys
from crypto.errors import CryptoError
from crypto.signatures import SigningKey
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.secret_file import write_new
from honeybadger.cluster.toml_file import mistyped, other_kind, read_toml

SCHEMA = 1


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    node: int
    curve_secret_key: str
    shares: dict[str, str]
    signing_secret_key: str = ""


@dataclass(frozen=True, eq=False)
class NodeKeys:
    """Secrets of one node, checked against the manifest. `signing_key`: Ed25519; None if the manifest lists none."""

    node: int
    curve_secret_key: str = field(repr=False)
    secret_keys: SecretKeys = field(repr=False)
    signing_key: SigningKey | None = field(default=None, repr=False)

    @staticmethod
    def load(path: Path, manifest: Manifest) -> NodeKeys:
        """Read and check every share against the dealer's commitments; ClusterError in one line."""
        raw = read_toml(path)
        try:
            file = msgspec.convert(raw, _File)
        except msgspec.ValidationError as error:
            if kind := other_kind(raw, "curve_secret_key"):
                raise ClusterError(f"{path}: this is {kind}, not a node's key file (keys.toml of keygen)") from None
            raise ClusterError(f"{path}: {error}{mistyped(error, _File)}") from None
        if file.schema != SCHEMA:
            raise ClusterError(f"{path}: schema {file.schema} is not {SCHEMA}")
        if not 0 <= file.node < manifest.quorums.nodes:
            raise ClusterError(
                f"{path}: node {file.node} is not in the manifest (nodes 0 … {manifest.quorums.nodes - 1})"
            )
        try:
            public = zmq.curve_public(file.curve_secret_key.encode("ascii", "replace")).decode()
        except (ValueError, zmq.ZMQError):
            raise ClusterError(f"{path}: curve_secret_key is not a CURVE key of 40 characters") from None
        if public != manifest.members[file.node].public_key:
            raise ClusterError(
                f"{path}: these keys are of another cluster: the manifest lists another CURVE key for node {file.node}"
            )
        try:
            secrets = SecretKeys.from_dict(file.node, manifest.public_keys, file.shares)
        except CryptoError as error:
            raise ClusterError(f"{path}: {error}") from None
        expected = manifest.members[file.node].signing_key
        try:
            signing = SigningKey(bytes.fromhex(file.signing_secret_key)) if expected else None
        except ValueError:
            signing = None
        if expected and (signing is None or signing.public.hex() != expected):
            raise ClusterError(
                f"{path}: signing_secret_key is not the key that the manifest lists for node {file.node}"
            )
        return NodeKeys(file.node, file.curve_secret_key, secrets, signing)

    def save(self, path: Path) -> None:
        """Write with mode 0600; refuses to replace a file."""
        raw = {
            "schema": SCHEMA,
            "node": self.node,
            "curve_secret_key": self.curve_secret_key,
            "shares": self.secret_keys.to_dict(),
        }
        if self.signing_key is not None:
            raw["signing_secret_key"] = self.signing_key.to_bytes().hex()
        write_new(path, tomli_w.dumps(raw))
