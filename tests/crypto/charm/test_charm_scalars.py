"""Two scalars, as shares and ciphertexts have them."""

import pytest
from support.charm import SUITES

from crypto.charm.curve import CURVES
from crypto.charm.proof import encode_scalars, scalars
from crypto.errors import CryptoError


def test_two_scalars_have_one_encoding() -> None:
    assert len(SUITES) == len(CURVES)
    for curve in CURVES.values():
        data = encode_scalars(5, curve.order - 1)
        assert scalars(data, curve.order) == (5, curve.order - 1)
        too_large = encode_scalars(5, curve.order), encode_scalars(curve.order, 5)
        for bad in (b"", data[:32], data[:-1], data + b"\0", *too_large):
            with pytest.raises(CryptoError):
                scalars(bad, curve.order)
