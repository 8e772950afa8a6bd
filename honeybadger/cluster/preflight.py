"""What must hold on a machine before a node starts; each failure is one line that says what to do."""

from __future__ import annotations

import resource

import zmq

from honeybadger.cluster.errors import ClusterError

#: descriptors of a node beyond those of its peers' connections
BASE_DESCRIPTORS = 100
GENEROUS_DESCRIPTORS = 65_536
#: per peer: two TCP connections, a socket's mailbox and a monitor pair
DESCRIPTORS_PER_PEER = 8


def check_machine(nodes: int, curve: bool) -> None:
    """ClusterError if ZeroMQ lacks CURVE or the descriptor limit is too low for `nodes` members.

    Raises a soft limit itself.
    """
    if curve and not zmq.has("curve"):
        raise ClusterError("this ZeroMQ library was built without CURVE; install a pyzmq wheel, or use --no-curve")
    needed = BASE_DESCRIPTORS + DESCRIPTORS_PER_PEER * nodes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ClusterError(f"N = {nodes} needs {needed} file descriptors, the limit is {hard}; raise `ulimit -n`")
    # As many as allowed, within reason: strangers' connections take descriptors too.
    wanted = max(needed, GENEROUS_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
