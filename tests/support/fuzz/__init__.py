"""Mutated messages and frames, and nodes in memory to send them to."""
