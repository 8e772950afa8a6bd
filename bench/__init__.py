"""Measuring: workloads, runs, checks and results. `local_run.py` is what `honeybadger local` does.

`workload.py`: transactions that can be made again from a seed; `load.py`: the process that offers them;
`observations.py`: what nodes and load generator reported; `checks.py`: whether a run is valid; `summary.py`: the
figures.
"""
