"""The study of rounds: what it counts, and its figure."""

from pathlib import Path

import pytest

from bench.studies.agreement_rounds import agreement_rounds, mean, quantile
from bench.studies.rounds_figure import draw, shares_by_rounds


def test_counts_add_up_and_the_paper_stalls(tmp_path: Path) -> None:
    ticks: list[str] = []
    found = agreement_rounds(12, 20, "every-round", ticks.append)
    rows = {(row["agreement"], row["attacked"]): row for row in found["rows"]}
    assert len(rows) == len(ticks) == 6
    for row in rows.values():
        assert row["undecided"] + sum(row["rounds"].values()) == row["runs"] == 12
        assert row["unsafe"] == 0
    assert [key for key, row in rows.items() if row["undecided"]] == [("mmr14", True)]
    assert rows["mmr14", True]["undecided"] == 12
    assert agreement_rounds(12, 20, "every-round") == found
    draw(found, tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")


def test_figures_of_a_distribution() -> None:
    rounds = {1: 50, 2: 49, 7: 1}
    assert mean(rounds) == pytest.approx(1.55)
    assert [quantile(rounds, share) for share in (0.5, 0.51, 0.99, 1.0)] == [1, 2, 2, 7]
    assert mean({}) is quantile({}, 0.5) is None


def test_shares_by_rounds() -> None:
    assert shares_by_rounds({"runs": 4, "rounds": {1: 2, 3: 2}}, 9) == [1, 0.5, 0.5]
    assert shares_by_rounds({"runs": 4, "rounds": {}}, 3) == [1, 1, 1]
