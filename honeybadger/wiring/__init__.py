"""Puts the parts together: the only place that knows all of them, above everything that it wires.

`running_node.py` puts a node (`honeybadger.node.assembly`) on sockets and a disk, honest or in the hands of an
adversary.
"""
