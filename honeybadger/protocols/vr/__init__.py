"""Viewstamped Replication: views follow each other, and the number of a view says who leads it."""

from honeybadger.protocols.vr.specification import SPECIFICATION

__all__ = ["SPECIFICATION"]
