"""One exception for everything that is wrong with a cluster's files or settings; its text is one line for people."""


class ClusterError(Exception):
    """A manifest, key file or setting cannot be used. `exit_status`: what a command ends with."""

    exit_status = 1
