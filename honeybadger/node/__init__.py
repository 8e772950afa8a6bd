"""The running node: wires protocol, ledger, links, mempool and client API together.

`node.py` builds the object graph from the configuration, in one place; `reactor.py` is the main loop.
"""
