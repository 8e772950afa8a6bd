"""What is offered: sizes, scheduled times, and what counts as answered."""

import numpy as np
import pytest

from bench.load.arrivals import make_arrivals
from bench.load.outstanding import Outstanding
from bench.plan.workload import TxSizes, Workload


def everything_due(arrivals, duration: float, step: float = 0.0137):
    """Ask as a client does, in irregular steps, and late in the middle."""
    times, now = [], 0.0
    while now < duration:
        now = min(duration, now + (10 * step if 0.4 < now / duration < 0.5 else step))
        times.append(arrivals.due(now))
    return np.concatenate(times)


@pytest.mark.parametrize(("rate", "clients"), [(1000.0, 1), (997.0, 3), (0.7, 2), (25_000.0, 4)])
def test_a_fixed_rate_is_offered_by_all_clients_together(rate, clients):
    duration = 20.0
    parts = [everything_due(make_arrivals("fixed", rate, k, clients, 7), duration) for k in range(clients)]
    times = np.sort(np.concatenate(parts))
    assert len(times) == pytest.approx(rate * duration, rel=0.01, abs=1)
    assert np.allclose(np.diff(times), 1 / rate), "evenly spaced over all clients"
    assert times[0] == 0 and times[-1] <= duration


def test_poisson_arrivals_have_the_rate_and_exponential_gaps():
    rate, duration = 2000.0, 60.0
    times = np.concatenate([everything_due(make_arrivals("poisson", rate, k, 3, 5), duration) for k in (0, 1, 2)])
    times.sort()
    # The seed is fixed; a Poisson count of 120,000 has a standard deviation of 0.3 %.
    assert len(times) == pytest.approx(rate * duration, rel=0.01)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03), "exponential: deviation = mean"
    assert np.mean(gaps > 1 / rate) == pytest.approx(np.exp(-1), abs=0.01)
    counts = np.histogram(times, bins=600, range=(0, duration))[0]
    assert counts.var() == pytest.approx(counts.mean(), rel=0.2), "counts: variance = mean"


def test_poisson_arrivals_come_from_the_seed_and_the_client_and_are_handed_out_once_and_not_early():
    arrivals, again, other = (make_arrivals("poisson", 500.0, client, 2, 3) for client in (0, 0, 1))
    first, nothing, second = (arrivals.due(now) for now in (1.0, 1.0, 2.0))
    assert first.max() <= 1.0 < second.min() and second.max() <= 2.0 and len(nothing) == 0
    times, others = np.concatenate([first, second]), other.due(2.0)
    assert np.array_equal(again.due(2.0), times) and not np.array_equal(others[:100], times[:100])


@pytest.mark.parametrize(
    ("text", "low", "high", "mean"),
    [("250", 250, 250, 250), (64, 64, 64, 64), ("100-500", 100, 500, 300), ("exp:250", 16, 5000, 250)],
)
def test_sizes(text, low, high, mean):
    sizes = TxSizes.parse(text)
    assert (sizes.low, sizes.high, sizes.mean) == (low, high, mean)
    lengths = np.array([len(tx) for tx in Workload(1, sizes).batch(0, 20_000)])
    assert lengths.min() >= low and lengths.max() <= high
    assert lengths.mean() == pytest.approx(mean, rel=0.03)
    if low != high:
        assert len(set(lengths.tolist())) > 100


@pytest.mark.parametrize(
    "text", ["", "15", "15-20", "30-20", "exp:15", "exp", "250.5", "-3", "1e3", "exp:100-200", "٢٥٠"]
)
def test_sizes_that_make_no_sense(text):
    with pytest.raises(ValueError):
        TxSizes.parse(text)


@pytest.mark.parametrize("sizes", ["32", "20-60", "exp:40"])
def test_batches_can_be_made_again_and_are_unique(sizes):
    batches = [
        Workload(seed, sizes, client).batch(number, 500) for seed in (1, 2) for client in (0, 1) for number in (0, 1)
    ]
    assert Workload(1, sizes, 1).batch(1, 500) == batches[3]
    everything = [tx for batch in batches for tx in batch]
    assert len(set(everything)) == len(everything) == 4000


def arrays(outstanding: Outstanding):
    scheduled, durable = outstanding.transactions()
    return scheduled.tolist(), (durable - scheduled).tolist()


def test_a_transaction_sent_to_two_nodes_counts_once_from_the_first_answer():
    outstanding = Outstanding(2)
    outstanding.sent(0, np.array([1.0, 2.0, 3.0]), [0, 1])
    assert outstanding.by_node == [3, 3] and outstanding.unanswered == 3
    outstanding.committed(1, 0, [0, 2], 5.0)
    outstanding.committed(0, 0, [0, 1, 1], 7.0)
    assert arrays(outstanding) == ([1.0, 2.0, 3.0], [4.0, 5.0, 2.0])
    assert (outstanding.acknowledged, outstanding.unanswered, outstanding.by_node) == (3, 0, [1, 1])
    outstanding.committed(0, 0, [0, 0, 2, 3, -1], 9.0)
    assert outstanding.acknowledged == 3 and outstanding.by_node == [0, 1], "answers are not counted again"


def test_refused_only_if_all_refuse():
    outstanding = Outstanding(2)
    outstanding.sent(0, np.zeros(3), [0, 1])
    outstanding.refuse(0, 0, [0, 1, 2], "full")
    assert outstanding.refused == {} and outstanding.unanswered == 3
    outstanding.refuse(1, 0, [0], "full")
    outstanding.committed(1, 0, [1], 1e-9)
    assert outstanding.refused == {"full": 1} and outstanding.unanswered == 1
    outstanding.abandon(1)
    assert outstanding.abandoned == outstanding.unanswered == 1 and outstanding.by_node == [0, 0]
    outstanding.committed(1, 0, [2], 1e-9)
    assert outstanding.acknowledged == 1, "nothing is expected of a node that is gone"


def test_a_node_that_goes_takes_only_what_nobody_else_has():
    outstanding = Outstanding(3)
    outstanding.sent(0, np.zeros(2), [0, 1])
    outstanding.sent(1, np.zeros(5), [2])
    outstanding.abandon(0)
    outstanding.abandon(2)
    assert outstanding.abandoned == 5 and outstanding.unanswered == 7 and outstanding.by_node == [0, 2, 0]
    outstanding.committed(1, 0, [0, 1], 2e-9)
    assert outstanding.unanswered == 5
