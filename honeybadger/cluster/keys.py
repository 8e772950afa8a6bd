"""A node's secret key file (`keys.toml`, mode 0600): CURVE key and threshold key shares."""

from __future__ import annotations

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
from honeybadger.cluster.toml_file import read_toml

SCHEMA = 1


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    node: int
    curve_secret_key: str
    shares: dict[str, str]
    signing_secret_key: str = ""


class NodeKeys:
    """Secrets of one node, checked against the manifest."""

    def __init__(
        self, node: int, curve_secret_key: str, secret_keys: SecretKeys, signing_key: SigningKey | None = None
    ) -> None:
        self.node = node
        self.curve_secret_key = curve_secret_key
        self.secret_keys = secret_keys
        #: Ed25519; None if the manifest lists no such keys
        self.signing_key = signing_key

    def __repr__(self) -> str:
        return f"NodeKeys(node={self.node})"

    @staticmethod
    def load(path: Path, manifest: Manifest) -> NodeKeys:
        """Read and check every share against the dealer's commitments; ClusterError in one line."""
        try:
            file = msgspec.convert(read_toml(path), _File)
        except msgspec.ValidationError as error:
            raise ClusterError(f"{path}: {error}") from None
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
            raise ClusterError(f"{path}: the CURVE key is not the one that the manifest lists for node {file.node}")
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
