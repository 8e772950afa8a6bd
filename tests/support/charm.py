"""Imported first by tests of the suite `charm`: skips them, with the reason, where it is not installed."""

import pytest

for package in ("charm.core.math.elliptic_curve", "zfec", "Cryptodome"):
    pytest.importorskip(package, reason=f"{package} is not installed: run `make charm`", exc_type=ImportError)

SUITES = ("charm", "charm-secp256k1")
