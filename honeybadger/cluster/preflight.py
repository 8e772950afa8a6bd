"""Checks a machine before a node starts; each failure is one line that says what to do."""

import resource

import zmq

from honeybadger.cluster.errors import ClusterError

#: descriptors of a node beyond those of its peers' connections
BASE_DESCRIPTORS = 100
GENEROUS_DESCRIPTORS = 65_536
#: per peer: two TCP connections, a socket's mailbox and a monitor pair
DESCRIPTORS_PER_PEER = 8


def check_machine(nodes: int, curve: bool) -> None:
    """Raise the soft limit of descriptors; ClusterError if `nodes` members need more, or if ZeroMQ lacks CURVE."""
    if curve and not zmq.has("curve"):
        raise ClusterError("this ZeroMQ library was built without CURVE; install a pyzmq wheel, or use --no-curve")
    needed = BASE_DESCRIPTORS + DESCRIPTORS_PER_PEER * nodes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ClusterError(f"N = {nodes} needs {needed} file descriptors, the limit is {hard}; raise `ulimit -n`")
    # Strangers' connections take descriptors too, so take more than needed.
    generous = max(needed, GENEROUS_DESCRIPTORS)
    if soft < generous:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (generous if hard == resource.RLIM_INFINITY else min(generous, hard), hard)
        )
