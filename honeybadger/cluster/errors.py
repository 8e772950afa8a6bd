"""The exception for bad files and settings of a cluster; its text is one line for people."""


class ClusterError(Exception):
    """A manifest, key file or setting cannot be used. `exit_status`: that of a command."""

    exit_status = 1


class WanUnavailable(ClusterError):
    """Links cannot be shaped on this machine: rights, commands or parts of the kernel are missing."""

    exit_status = 2
