"""Measurements with a program of their own: the limit of a machine, what HTTP costs, the table of faults."""
