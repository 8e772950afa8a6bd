"""The parts of a running node: main loop, mempool, journal, recovery, client port. Each can be tested alone.

`reactor.py` is the main loop; `core.py` what it stands on; `node.py` what passes between the parts, which `assembly.py`
joins. What they stand in, sockets or a simulation, is built elsewhere.
"""
