"""A WAN in a box: nodes in network namespaces whose links are shaped with `tc netem`.

`profile.py`: what the links are like; `shaping.py`: the `tc` commands for that, a pure function that knows nothing of
namespaces; `namespaces.py`: makes and removes the network; `echo.py`: measures round trips; `emulation.py`: all of it
together, as a run uses it.
"""
