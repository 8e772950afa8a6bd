"""Replicas of PBFT in memory, a search over hostile schedules, and the mistakes that it must find."""
