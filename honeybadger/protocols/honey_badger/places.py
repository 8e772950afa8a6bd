"""Who holds which shard of a broadcast, and who owes it to everybody.

In proposer p's broadcast node j is at place (j - p) mod N and holds that shard. The code is systematic, so the places
below N-2f, the holders, hold the proposal itself in pieces. Each node is a holder for N-2f proposers, so all send the
same.
"""

from honeybadger.protocols.quorums import Quorums


def place_of(node: int, proposer: int, nodes: int) -> int:
    """The index of the node's shard in the proposer's broadcast; 0 is the proposer's own."""
    return (node - proposer) % nodes


def is_holder(node: int, proposer: int, quorums: Quorums) -> bool:
    """Whether the node holds a data shard, which it sends to everybody."""
    return place_of(node, proposer, quorums.nodes) < quorums.data_shards
