"""Turns what a run left behind into its result: observations, quantities, validity, `summary.json`, CSV."""
