"""Searches over hostile schedules of the in-memory network, and the bugs that they must find."""
