"""Measuring: workloads, runs, checks and results. `local_run.py` is what `honeybadger local` does.

One run. `workload.py`, `arrivals.py`: transactions and sending times that can be made again from a seed; `load.py`: a
process that offers them; `offers.py`: what all of these report; `observations.py`: what nodes reported; `checks.py`:
whether a run is valid; `summary.py`, `local_summary.py`: the figures; `series.py`: the same over time.

Experiments. `experiment.py`: a manifest and its runs; `runner.py`: running and resuming; `results.py`: what is on
disk; `report.py`, `compare.py`, `plot.py` with `figure_data.py`: tables, ratios, figures. `limit.py`: the bound of the
machine.
"""
