"""What protocols with a leader share: how transactions of all nodes' clients come into its batches.

A follower forwards what its clients submitted (`forwarder`), the leader keeps it (`pool`), and fills batches from there
and from its own clients (`selection`); `batch` is how a batch is encoded.
"""
