"""Doing it: one run with its faults, and an experiment run by run."""
