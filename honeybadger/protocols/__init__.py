"""Consensus protocols as deterministic state machines: no socket, clock, thread, file or global randomness.

Start with `honey_badger.py` and follow the composition downwards:

    honey_badger → epoch → common_subset → reliable_broadcast
                                         → binary_agreement → common_coin

`base.py` says what a protocol may use and what the runtime asks of it; `registry.py` finds protocols by name.
"""
