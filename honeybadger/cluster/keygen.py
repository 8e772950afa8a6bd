"""Makes a cluster's files: the trusted dealer.

The person who runs this can see every secret key. That is fine for experiments and wrong for anything else;
distributed key generation is to replace it.
"""

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import zmq
from zmq.utils import z85

from crypto.dealer import deal
from crypto.signatures import deal_signing_keys
from crypto.suites import find_suite
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.http_token import TOKEN_FILE
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Consensus, Keys, Manifest, Member, Runtime, refuse_flawed
from honeybadger.cluster.secret_file import write_new
from honeybadger.cluster.sizes import check as check_sizes
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.registry import find_protocol


def make_cluster(
    nodes: int,
    faults: int,
    parameters: Parameters,
    addresses: list[tuple[str, int, int]],
    runtime: Runtime | None = None,
    randbytes: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[Manifest, list[NodeKeys]]:
    """Deal keys for `nodes` nodes at `addresses` (host, port for peers, port for clients). `randbytes` draws them."""
    try:
        # Before keys are dealt, which takes a while in a large cluster.
        specification = find_protocol(parameters.protocol)
        refuse_flawed(parameters, runtime or Runtime())
        check_sizes(specification, parameters, specification.fault_model.quorums(nodes, faults), runtime or Runtime())
    except (ValueError, LookupError) as error:
        raise ClusterError(str(error)) from None
    public, secret = deal(nodes, faults, randbytes, find_suite(parameters.suite))
    _, signing = deal_signing_keys(nodes, randbytes)
    curve = [z85.encode(randbytes(32)) for _ in range(nodes)]
    members = [
        Member(host, port, client_port, zmq.curve_public(secret_key).decode(), key.public.hex())
        for (host, port, client_port), secret_key, key in zip(addresses, curve, signing, strict=True)
    ]
    consensus = Consensus(
        chain=randbytes(16).hex(),
        nodes=nodes,
        faults=faults,
        keys=msgspec.convert(public.to_dict(), Keys),
        parameters=msgspec.structs.asdict(parameters),
    )
    keys = [NodeKeys(i, curve[i].decode(), secret[i], signing[i]) for i in range(nodes)]
    return Manifest(consensus, members, runtime), keys


def refuse_overwriting(directory: Path) -> None:
    """ClusterError if a cluster is there."""
    if (path := directory / "cluster.toml").exists():
        raise ClusterError(f"{path} exists already; choose another directory")


def write_cluster(directory: Path, manifest: Manifest, keys: list[NodeKeys]) -> None:
    """Write `cluster.toml`, `http-token`, and `keys.toml` in `node-<i>`; refuses to overwrite any of them.

    If it fails it removes what it has written, so that it can be repeated.
    """
    refuse_overwriting(directory)
    path = directory / "cluster.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            for node in keys:
                home = directory / f"node-{node.node}"
                home.mkdir(mode=0o700, exist_ok=True)
                node.save(home / "keys.toml")
                undo.callback((home / "keys.toml").unlink)
            # 256 random bits, as 43 characters that need no quoting.
            write_new(directory / TOKEN_FILE, secrets.token_urlsafe(32) + "\n")
            undo.callback((directory / TOKEN_FILE).unlink)
            undo.callback(path.unlink, missing_ok=True)
            manifest.save(path)
            undo.pop_all()
    except OSError as error:
        raise ClusterError(f"{error.filename or directory}: {error.strerror}") from None
