"""Measuring, by stage; a run goes through them in this order, and imports go back only.

`plan`: the one description of a run (`run_settings`), and experiments, which are many runs. `places`: where the nodes
of a run live. `load`: clients that offer transactions. `run`: doing one run, or all of an experiment. `measure`: what
came of it, as `summary.json` and CSV. `show`: tables and figures of many results. `studies`: measurements that are
programs of their own.
"""
