"""The watcher: one process that asks all nodes of a cluster over their client ports and serves HTTP for all of them.

It is no node: it holds no key of one, consensus does not wait for it, and it gives way to the nodes when the processor
is busy. What it hears from nodes is bounded, typed and, where a certificate allows it, verified.
"""
