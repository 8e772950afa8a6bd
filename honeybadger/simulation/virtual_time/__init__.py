"""Whole clusters in virtual time: the nodes are real ones, on simulated processors, links and disks.

`clock` runs events in order of time; `links` and `processors` say how long frames and work take; `costs` what work
costs, by a table (`table`). `outside` is what a node stands in, and `transport`, `writer`, `clients` and `codec` are
its parts; `node` lets a node live, die and live again; `world` puts them together. docs/simulate.md says what is
simulated and what is not.
"""
