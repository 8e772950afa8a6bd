"""The estimator of throughput, as docs/results.md defines it: no bias, no block more or less, no stall lost."""

import math
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.measure.student import t_quantile
from bench.measure.throughput import MOST_GROUPS, Commit, Throughput, throughput
from bench.measure.validity import FEWEST_BLOCKS

sizes = st.lists(st.integers(1, 50_000), min_size=6, max_size=40)
intervals = st.lists(st.floats(0.01, 5.0), min_size=6, max_size=40)


def commits(took: list[float], made: list[int], began: float = 0.0) -> list[Commit]:
    """Blocks of `made` transactions of 250 bytes, each `took` seconds after the one before it."""
    return [Commit(at, n, 250 * n) for at, n in zip(accumulate(took, initial=began), [0, *made], strict=True)][1:]


def steady(count: int, every: float = 1.0, made: int = 1000) -> list[Commit]:
    return commits([every] * count, [made] * count)


@given(made=sizes, rate=st.floats(1.0, 1e6), places=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_constant_rate_is_exact_whatever_the_blocks_and_wherever_the_window_is(
    made: list[int], rate: float, places: tuple[float, float]
) -> None:
    blocks = commits([n / rate for n in made], made)
    start, end = (place * blocks[-1].at for place in sorted(places))
    inside = sum(start <= one.at < end for one in blocks)
    # The smallest block may be tiny beside the window and the largest: rounding is not what this is about.
    assume(inside >= 1 and end - start > 1e-6 * blocks[-1].at)
    found = throughput((start, end), 0.0, blocks)
    assert found.tx_per_s == pytest.approx(rate) and found.bytes_per_s == pytest.approx(250 * rate)
    expected = found.tx_per_s if inside == 1 else 0.0
    assert found.error_tx_per_s == pytest.approx(expected, abs=1e-6 * rate)


@given(took=intervals, made=sizes, edges=st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_windows_side_by_side_add_up_so_that_there_is_no_bias(
    took: list[float], made: list[int], edges: list[float]
) -> None:
    count = min(len(took), len(made))
    blocks = commits(took[:count], made[:count])
    whole = throughput((0.0, blocks[-1].at + 1e-9), 0.0, blocks)
    assert whole.transactions == pytest.approx(sum(made[:count])) and whole.epochs == pytest.approx(count)
    windows = list(pairwise([0.0, *sorted(edge * blocks[-1].at for edge in edges), blocks[-1].at + 1e-9]))
    assume(all(any(start <= one.at < end for one in blocks) for start, end in windows))
    parts = [throughput(window, 0.0, blocks) for window in windows]
    for name in ("transactions", "bytes", "epochs"):
        assert sum(getattr(part, name) for part in parts) == pytest.approx(getattr(whole, name))


def test_counting_blocks_errs_by_one_and_this_does_not() -> None:
    blocks = steady(20)
    counted = {sum(start <= one.at < start + 5.5 for one in blocks) for start in np.arange(2.05, 8, 0.1)}
    assert counted == {5, 6}
    found = {round(throughput((start, start + 5.5), 0.0, blocks).tx_per_s) for start in np.arange(2.05, 8, 0.1)}
    assert found == {1000}


def test_the_order_of_the_blocks_does_not_matter_and_those_that_come_together_count_once() -> None:
    together = [Commit(1.0, 10, 100), Commit(2.0, 30, 300), Commit(2.0, 50, 500), Commit(3.0, 70, 700)]
    for order in (together, together[::-1]):
        found = throughput((0.5, 2.5), 0.0, order)
        assert found.transactions == pytest.approx(5 + 30 + 50 + 35) and found.epochs == pytest.approx(3)
    # As `committed_tx` has it: the start belongs to the window, the end does not.
    assert throughput((2.0, 2.5), 1.0, together).transactions == pytest.approx(50 + 35)
    assert throughput((1.0, 2.0), 1.0, together).transactions == pytest.approx(10 + 30)


@pytest.mark.parametrize(
    ("took", "window", "expected"),
    [
        # Nothing more was ever committed after second 8.
        ([1.0] * 8, (2.0, 12.0), 6000 / 10),
        # A stall from 8 to 18, over the end of the window, and its block: a tenth of it for each second.
        ([1.0] * 8 + [10.0], (2.0, 12.0), (6000 + 400) / 10),
        # The same over the start of the window.
        ([1.0] * 8 + [10.0] + [1.0] * 10, (14.0, 24.0), (400 + 6000) / 10),
        # And in the middle.
        ([1.0] * 8 + [10.0] + [1.0] * 10, (6.0, 20.0), (2000 + 1000 + 2000) / 14),
    ],
)
def test_a_stall_counts_at_the_edges_as_in_the_middle(
    took: list[float], window: tuple[float, float], expected: float
) -> None:
    found = throughput(window, 0.0, commits(took, [1000] * len(took)))
    assert found.tx_per_s == pytest.approx(expected)
    # From the first commit to the last in the window it would be 1,000 but for the last case.
    assert found.error_tx_per_s is not None
    assert found.tx_per_s + found.error_tx_per_s >= 900 > found.tx_per_s, "the error says that it was not steady"


def test_time_before_the_first_block_and_before_the_nodes_could_agree_counts() -> None:
    assert throughput((0.0, 4.0), 0.0, commits([3.0, 1.0], [900, 100])).tx_per_s == pytest.approx(1000 / 4)
    assert throughput((0.0, 4.0), 2.0, commits([3.0, 1.0], [900, 100])).tx_per_s == pytest.approx(1000 / 4)
    assert throughput((2.5, 3.5), 2.0, commits([3.0, 1.0], [900, 100])).tx_per_s == pytest.approx(450 + 50)


def test_one_block_and_none() -> None:
    one = throughput((2.5, 3.25), 0.0, steady(10))
    assert one.tx_per_s == pytest.approx(1000) and one.error_tx_per_s == one.tx_per_s
    for blocks in (steady(10), []):
        none = throughput((2.1, 2.9), 0.0, blocks)
        assert none == Throughput(pytest.approx(0.8), 0.0, 0.0, 0.0, None) and none.tx_per_s == 0


def test_far_below_capacity_many_small_blocks_give_the_offered_rate() -> None:
    blocks = [Commit(number / 50 + 0.003, 1, 250) for number in range(1, 1000)]
    found = throughput((5.0, 15.0), 0.0, blocks)
    assert found.tx_per_s == pytest.approx(50) and found.error_tx_per_s == pytest.approx(0, abs=1e-6)


@settings(max_examples=10)
@given(spread=st.floats(0.02, 0.9), seed=st.integers(0, 2**32 - 1))
def test_the_error_falls_with_the_root_of_the_number_of_epochs(spread: float, seed: int) -> None:
    took = 1 + spread * np.random.default_rng(seed).uniform(-1, 1, 2000)
    blocks = commits(took.tolist(), [1000] * 2000)

    def error(seconds: float) -> float:
        found = [throughput((at, at + seconds), 0.0, blocks).error_tx_per_s for at in range(10, 1000, 25)]
        return math.sqrt(np.mean(np.square([one for one in found if one is not None])))

    errors = {seconds: error(seconds) for seconds in (10.0, 40.0, 160.0, 640.0)}
    assert errors[10.0] > errors[40.0] > errors[160.0] > errors[640.0] > 0
    assert 2.2 < errors[40.0] / errors[640.0] < 8, "sixteen times the epochs, a fourth of the error"


@pytest.mark.parametrize("epochs", [5, 10, 30, 100])
@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_the_error_is_that_of_95_in_a_hundred_runs(epochs: int, spread: float) -> None:
    random = np.random.default_rng(epochs)
    right, rates, runs = 0, [], 400
    for _ in range(runs):
        took = random.gamma(1 / spread**2, spread**2, epochs + 30).tolist()
        start = 10 + 5 * random.random()
        found = throughput((start, start + epochs), 0.0, commits(took, [1000] * len(took)))
        assert found.error_tx_per_s is not None
        rates.append(found.tx_per_s)
        right += abs(found.tx_per_s - 1000) <= found.error_tx_per_s
    assert 0.88 <= right / runs <= 0.99
    assert np.mean(rates) == pytest.approx(1000, abs=3.5 * np.std(rates) / math.sqrt(runs)), "no bias"


def test_a_slow_spell_is_in_the_error_although_its_blocks_are_alike() -> None:
    """The second half of 400 blocks takes twice as long: as if they were independent, the error would say 3 %."""
    blocks = commits([1.0] * 200 + [2.0] * 200, [1000] * 400)
    found = throughput((0.0, 600.0), 0.0, blocks)
    assert found.tx_per_s == pytest.approx(1000 * 400 / 600, rel=0.01)
    assert found.error_tx_per_s is not None and found.error_tx_per_s > 0.12 * found.tx_per_s


def by_the_page(window: tuple[float, float], blocks: list[Commit]) -> tuple[float, float]:
    """Throughput and its error, word by word as docs/results.md has it; the run begins at 0."""
    length = window[1] - window[0]
    pieces = []  # (transactions, seconds) inside the window
    ends = [0.0, *(one.at for one in blocks)]
    for (before, at), block in zip(pairwise(ends), blocks, strict=True):
        inside = max(0.0, min(at, window[1]) - max(before, window[0]))
        if inside:
            pieces.append((block.transactions * inside / (at - before), inside))
    if window[1] > ends[-1]:
        pieces.append((0.0, window[1] - max(ends[-1], window[0])))
    rate = sum(made for made, _ in pieces) / length
    deviations = [made - rate * seconds for made, seconds in pieces]
    m = min(20, sum(window[0] <= one.at < window[1] for one in blocks))
    sums = [sum(group) for group in np.array_split(np.array(deviations), m)]
    return rate, t_quantile(m - 1) * math.sqrt(m / (m - 1) * sum(D * D for D in sums)) / length


@given(took=intervals, made=sizes, begin=st.floats(0, 0.5), end=st.floats(0.5, 1.3))
def test_it_is_what_the_page_defines(took: list[float], made: list[int], begin: float, end: float) -> None:
    count = min(len(took), len(made))
    blocks = commits(took[:count], made[:count])
    window = (begin * blocks[-1].at, end * blocks[-1].at)
    assume(sum(window[0] <= one.at < window[1] for one in blocks) >= 2)
    found = throughput(window, 0.0, blocks)
    rate, error = by_the_page(window, blocks)
    assert found.tx_per_s == pytest.approx(rate)
    assert found.error_tx_per_s == pytest.approx(error, abs=1e-6 * rate)


def test_the_page_says_so() -> None:
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    text = " ".join(page.split("\n### Throughput\n")[1].split("\n### ")[0].split())
    for said in (
        "spread evenly over its *interval*, the time since the commit before it",
        "t · √(m / (m-1) · ΣD²) / T",
        f"m is the number of blocks in the window, {MOST_GROUPS} at most",
        "The time after the last block of the run, which may be one of the drain, counts with no transactions.",
        "If no block ended in the window, throughput is 0, and the error is null.",
    ):
        assert said in text
    assert "fewer than ten blocks" in text and FEWEST_BLOCKS == 10
