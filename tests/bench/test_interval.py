"""Student's t against printed tables, and an interval computed by hand."""

import math

import pytest

from bench.measure.student import t_quantile
from bench.show.interval import Interval, interval

PRINTED = {1: 12.7062, 2: 4.3027, 3: 3.1824}
PRINTED |= {4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 8: 2.3060, 9: 2.2622, 10: 2.2281, 12: 2.1788, 15: 2.1314}
PRINTED |= {20: 2.0860, 25: 2.0595, 29: 2.0452, 30: 2.0423, 40: 2.0211, 60: 2.0003, 120: 1.9799, 10**6: 1.9600}


@pytest.mark.parametrize(("freedom", "printed"), PRINTED.items())
def test_the_quantile_is_that_of_the_tables(freedom: int, printed: float) -> None:
    assert t_quantile(freedom) == pytest.approx(printed, rel=4e-4)


def test_an_interval() -> None:
    # The standard deviation of 1, 2, 3, 4, 5 is √2.5.
    assert interval([5, 1, 2, 4, 3]) == Interval(3, pytest.approx(2.7764 * math.sqrt(2.5 / 5), rel=4e-4))
    assert interval([7.0] * 6) == Interval(7, 0)
    assert interval([1, 2, 3, 4]) is None and interval([]) is None
