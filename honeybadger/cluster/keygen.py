"""Makes a cluster's files: the trusted dealer.

Whoever runs this sees every secret key for a moment. That is fine for experiments and wrong for anything else;
distributed key generation is to replace it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import zmq

from crypto.dealer import deal
from crypto.signatures import deal_signing_keys
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.http_token import TOKEN_FILE, new_token, save_token
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Consensus, Keys, Manifest, Member, Runtime
from honeybadger.cluster.sizes import check as check_sizes
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol


def make_cluster(
    nodes: int,
    faults: int,
    parameters: Parameters,
    addresses: list[tuple[str, int, int]],
    runtime: Runtime | None = None,
    http_ports: Sequence[int] | None = None,
) -> tuple[Manifest, list[NodeKeys]]:
    """Deal keys for `nodes` nodes at `addresses` (host, port for peers, port for clients).

    `http_ports`: one for each node, 0 for none; None: no node serves HTTP.
    """
    try:
        # Before keys are dealt, which takes a while in a large cluster.
        check_sizes(find_protocol(parameters.protocol), parameters, Quorums(nodes, faults), runtime or Runtime())
    except (ValueError, LookupError) as error:
        raise ClusterError(str(error)) from None
    public, secret = deal(nodes, faults)
    _, signing = deal_signing_keys(nodes)
    pairs = [zmq.curve_keypair() for _ in range(nodes)]
    members = [
        Member(host, port, client_port, pair[0].decode(), key.public.hex(), http_port)
        for (host, port, client_port), pair, key, http_port in zip(
            addresses, pairs, signing, http_ports or [0] * nodes, strict=True
        )
    ]
    consensus = Consensus(
        chain=secrets.token_hex(16),
        nodes=nodes,
        faults=faults,
        keys=msgspec.convert(public.to_dict(), Keys),
        **msgspec.structs.asdict(parameters),
    )
    keys = [NodeKeys(i, pairs[i][1].decode(), secret[i], signing[i]) for i in range(nodes)]
    return Manifest(consensus, members, runtime), keys


def write_cluster(directory: Path, manifest: Manifest, keys: list[NodeKeys]) -> None:
    """Write `cluster.toml`, and `keys.toml` and `http-token` in `node-<i>`; refuses to overwrite any of them.

    If it fails it removes what it has written, so that it can be repeated.
    """
    path = directory / "cluster.toml"
    if path.exists():
        raise ClusterError(f"{path} exists already; choose another directory or remove it")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            for node in keys:
                home = directory / f"node-{node.node}"
                home.mkdir(mode=0o700, exist_ok=True)
                node.save(home / "keys.toml")
                undo.callback((home / "keys.toml").unlink)
                save_token(home / TOKEN_FILE, new_token())
                undo.callback((home / TOKEN_FILE).unlink)
            undo.callback(path.unlink, missing_ok=True)
            manifest.save(path)
            undo.pop_all()
    except OSError as error:
        raise ClusterError(f"{error.filename or directory}: {error.strerror}") from None
