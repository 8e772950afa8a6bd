"""Exceptions of the package: one base class, so that a caller can turn a peer's bad bytes into a fault."""


class CryptoError(ValueError):
    """Something given to this package is not acceptable."""


class InvalidPoint(CryptoError):
    """Bytes that are not the canonical encoding of a point of the group other than the identity."""


class InvalidKey(CryptoError):
    """A key, or a share of one, that is malformed or does not match its commitment."""


class InvalidCodeword(CryptoError):
    """Shards that are malformed, too few, or do not decode to a well-formed value."""
