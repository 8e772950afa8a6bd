"""PBFT."""
