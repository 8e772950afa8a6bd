"""Zab: whoever has the newest history is elected and begins an epoch, and everybody's history becomes the same."""

from honeybadger.protocols.zab.specification import SPECIFICATION

__all__ = ["SPECIFICATION"]
