"""For applications that build on a cluster: submit transactions, follow the ledger, prove what is in it.

    from honeybadger.client import Cluster

    with Cluster.open("cluster.toml") as cluster:
        [height] = cluster.submit([b"hello"])
        for block in cluster.follow(height):
            print(block.height, block.transactions)

Plain blocking Python, no secret, no trust in any single node: see docs/client.md for what each call guarantees.
"""

from honeybadger.client.blocks import CommittedBlock, CommittedHeader
from honeybadger.client.cluster import Cluster
from honeybadger.client.errors import ClientError, NotCommitted, Refused, TimedOut, TooLarge, Undecided
from honeybadger.client.evidence import Evidence
from honeybadger.client.status import NodeStatus
from honeybadger.cluster.errors import ClusterError

__all__ = [
    "ClientError",
    "Cluster",
    "ClusterError",
    "CommittedBlock",
    "CommittedHeader",
    "Evidence",
    "NodeStatus",
    "NotCommitted",
    "Refused",
    "TimedOut",
    "TooLarge",
    "Undecided",
]
