"""The protocol objects of `honeybadger.protocols` on a deterministic in-memory network.

`clock.py` is the time, and `network.py` delivers messages in an order that a scheduler of `schedulers/` chooses;
`coin_attack.py` is one that learns, and `attacked_agreement.py` counts what it costs one agreement;
`cluster.py` builds whole nodes, some of which an adversary may control; `recovery.py` nodes that crash and come back.
"""
