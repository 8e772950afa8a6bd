"""Run on a host, by the environment that was put there: are manifest and keys what they should be, and what is it?

`python -m bench.hosts.check MANIFEST KEYS …` prints JSON: the fingerprint (the chain id, which is a hash over the
members, their keys and all that they agree on), machine and versions; or ends with one line that says what is wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.machine import machine, versions
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.preflight import check_machine


def main() -> None:
    """With the arguments of the command line."""
    try:
        manifest = Manifest.load(Path(sys.argv[1]))
        check_machine(manifest.quorums.nodes, manifest.runtime.curve)
        nodes = [NodeKeys.load(Path(path), manifest).node for path in sys.argv[2:]]
    except ClusterError as error:
        sys.exit(str(error))
    found = {"fingerprint": manifest.chain_id.hex(), "nodes": nodes, "machine": machine(), "versions": versions()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
