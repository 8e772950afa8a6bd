"""Consensus protocols as deterministic state machines: no socket, clock, thread, file or global randomness.

Start with `honey_badger` and follow the composition downwards:

    honey_badger → epoch → common_subset → reliable_broadcast
                                         → binary_agreement → common_coin

`contract.py` says what a protocol must provide, `context.py` what it may use; `registry.py` finds and checks protocols.
"""
