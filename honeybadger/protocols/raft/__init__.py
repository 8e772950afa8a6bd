"""Raft: a leader is elected for a term, and all others copy its log."""

from honeybadger.protocols.raft.specification import SPECIFICATION

__all__ = ["SPECIFICATION"]
