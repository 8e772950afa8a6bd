"""Byzantine behaviour for tests: strategies for `SimulatedCluster`, and hand-scripted schedules.

`puppet` drives an honest object and changes what it says; `broadcast`, `agreement` and `proposals` hold the attacks
on each layer; `scripted` runs single instances message by message; `weakened` has protocol variants that must fail.
"""
