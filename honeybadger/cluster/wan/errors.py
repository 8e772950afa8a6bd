"""What may be wrong with an emulated WAN."""

from __future__ import annotations

from honeybadger.cluster.errors import ClusterError


class WanUnavailable(ClusterError):
    """Links cannot be shaped on this machine: rights, commands or parts of the kernel are missing."""

    exit_status = 2
