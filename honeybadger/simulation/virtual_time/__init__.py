"""Whole clusters in virtual time: the very protocol objects of real nodes, on simulated processors and links.

`clock` runs events in order of time; `links` and `processors` say how long frames and work take; `costs` what work
costs, by a table (`table`); `node` is one node, as a real one's main loop would run it; `world` puts them together.
docs/simulate.md says what is simulated and what is not.
"""
