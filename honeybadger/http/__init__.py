"""A node's HTTP port: health, status, blocks, proofs, transactions, metrics, and a page that shows the cluster.

Consensus shares its thread with what is here, so everything is bounded: connections, sizes, times, and the processor
time that all clients together may take (`budget.py`).
"""
