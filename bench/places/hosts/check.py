"""Checks manifest and keys on a host, in the environment that was installed there.

`python -m bench.places.hosts.check MANIFEST KEYS …` prints JSON: the fingerprint (the chain id, a hash over the
members, their keys and all that they agree on), machine and versions; or it ends with one line that says what is wrong.
"""

import json
import sys
from pathlib import Path

from bench.places.hardware import machine, versions
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest
from honeybadger.cluster.preflight import check_machine


def main() -> None:
    """Check the files that the command line names."""
    try:
        manifest = Manifest.load(Path(sys.argv[1]))
        check_machine(manifest.quorums.nodes, manifest.runtime.curve)
        nodes = [NodeKeys.load(Path(path), manifest).node for path in sys.argv[2:]]
    except ClusterError as error:
        sys.exit(str(error))
    facts = {"fingerprint": manifest.chain_id.hex(), "nodes": nodes, "machine": machine(), "versions": versions()}
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
