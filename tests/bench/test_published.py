"""Points that others published: which belong beside which line, and what a file may say."""

import pytest
from support.results import experiment_results, made_up, write

from bench.measure.results import grouped, read_results
from bench.measure.timeline import read_csv
from bench.plan.experiment import READY_MADE, Experiment
from bench.show.against import BATCH_SIZE, EPOCH, NODES, NODES_AT_SHARE, THROUGHPUT
from bench.show.overhead import overhead_rows, vanishing_batch
from bench.show.plot import draw_all
from bench.show.published import Point, read_points
from honeybadger.cluster.errors import ClusterError

HEAD = "protocol,nodes,batch-size,throughput_tx_per_s,epoch_s,source,note\n"
RUNS = {"nodes": [4, 8], "batch-size": [400, 4000], "duration": 5}


def points(tmp_path, text):
    (tmp_path / "points.csv").write_text(HEAD + text)
    return read_points(tmp_path / "points.csv")


def beside(along, quantity, groups, its):
    """(line, value) of each point that is drawn."""
    rows = along.rows(along.groups(groups, quantity.figure), quantity)
    return [(mark["beside"], mark[quantity.column]) for point in its for mark in point.marks(rows, along, quantity)]


def test_a_point_is_beside_the_line_with_its_settings_and_nowhere_else(tmp_path):
    groups = grouped(experiment_results(tmp_path, [1.0, 2.0, 3.0, 4.0], **RUNS))
    its = points(
        tmp_path,
        "honeybadger,4,900,10,1.5,a,\nhoneybadger,8,800,20,,a,\nhoneybadger,16,4000,30,,a,\npbft,4,400,40,,a,\n"
        "honeybadger,8,,50,,b,its batch size is not known\n",
    )
    assert beside(BATCH_SIZE, THROUGHPUT, groups, its) == [("N = 4", 10), ("N = 8", 20)]
    assert beside(BATCH_SIZE, EPOCH, groups, its) == [("N = 4", 1.5)]
    assert beside(NODES, THROUGHPUT, groups, its) == [("B = 4,000", 30), ("B = 400", 50)]


def test_at_the_same_share_what_matters_is_b_by_n(tmp_path):
    series = [{"nodes": n, "batch-size": b, "duration": n} for n, b in ((4, 400), (8, 800), (4, 4000), (8, 8000))]
    groups = grouped(experiment_results(tmp_path, [1.0, 2.0, 3.0, 4.0], series=series))
    its = points(tmp_path, "honeybadger,64,6400,10,,a,\nhoneybadger,64,64000,20,,a,\nhoneybadger,64,64,30,,a,\n")
    assert beside(NODES_AT_SHARE, THROUGHPUT, groups, its) == [("B / N = 100", 10), ("B / N = 1,000", 20)]


def test_runs_that_are_longer_where_they_must_be_are_on_one_line(tmp_path):
    series = [{"nodes": 4, "batch-size": b, "duration": b, "window": b} for b in (10, 20, 30)]
    groups = grouped(experiment_results(tmp_path / "a", [1.0, 2.0, 3.0], series=series))
    assert {row["line"] for row in BATCH_SIZE.rows(groups, THROUGHPUT)} == {"all runs"}
    twice = grouped(experiment_results(tmp_path / "b", [1.0] * 4, **{"batch-size": [10, 20], "duration": [1, 2]}))
    lines = {row["line"] for row in BATCH_SIZE.rows(twice, THROUGHPUT)}
    assert len(lines) == 2, "both lengths at each batch size"


def test_marks_are_hollow_in_the_colour_of_their_line_and_the_legend_names_the_source(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    from bench.show.figures.catalogue import KINDS
    from bench.show.figures.style import Style

    groups = grouped(experiment_results(tmp_path, [1.0, 2.0, 3.0, 4.0], **RUNS))
    its = points(tmp_path, "honeybadger,8,100000,10,1.5,their logs,\nhoneybadger,8,400,1,1.5,their paper,\n")
    kind = KINDS["throughput-batch-size"]
    rows = kind.rows(kind.groups(groups))
    figure = kind.sheet(Style(), rows, groups, len(groups), kind.marks(its, rows)).figure
    (axes,) = figure.axes
    hollow = {line.get_marker(): line for line in axes.lines if line.get_markerfacecolor() == "white"}
    filled = {line.get_color(): line for line in axes.lines if line.get_linestyle() != "None"}
    assert len(hollow) == 2 and {line.get_color() for line in hollow.values()} == {list(filled)[1]}
    names = [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for one in figure.legends for text in one.get_texts()]
    assert names == ["N = 4", "N = 8", "their logs", "their paper"]
    assert axes.get_xlim()[1] > 100_000, "the axis reaches to the points of others"


def test_the_csv_of_a_figure_has_them_and_files_without_any_are_refused(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: make .venv/.installed-test")
    groups = grouped(experiment_results(tmp_path, [1.0, 2.0, 3.0, 4.0], **RUNS))
    one = [Point("honeybadger", 4, 900, "their logs", {"throughput_tx_per_s": 10.0})]
    draw_all(groups, tmp_path / "figures", ["svg"], ["throughput-batch-size"], published=one)
    *_, row = read_csv(tmp_path / "figures" / "throughput-batch-size.csv")
    assert (row["line"], row["beside"], row["batch-size"], row["throughput_tx_per_s"]) == (
        *("their logs", "N = 4"),
        *("900", "10"),
    )
    with pytest.raises(ClusterError, match="--published: none of its points has the settings of a line"):
        draw_all(groups, tmp_path / "none", ["svg"], ["phases"], published=one)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nodes\n4\n", "there is no column protocol"),
        (HEAD + "honeybadger,four,,1,,a,\n", "line 2: nodes = 'four' is not a positive number"),
        (HEAD + "honeybadger,4,,1,,a,\nhoneybadger,4,0,1,,a,\n", "line 3: batch-size = '0' is not a positive number"),
        (HEAD + "honeybadger,4,,nan,,a,\n", "line 2: throughput_tx_per_s = 'nan' is not"),
        (HEAD + "honeybadger,4,,1,,,\n", "line 2: protocol and source have no value"),
        (HEAD + "honeybadger\n", "line 2: protocol and source have no value"),
        ("\xff", "is not a CSV file"),
    ],
)
def test_nonsense_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ClusterError) as error:
        read_points(path)
    assert says in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ClusterError, match="No such file"):
        read_points(tmp_path / "none.csv")


def test_the_points_that_come_along_name_a_source_and_what_it_says():
    found = read_points(READY_MADE / "published.csv")
    assert {32, 40, 48, 56, 64, 104} <= {point.nodes for point in found}
    rows = read_csv(READY_MADE / "published.csv")
    assert all(row["source"] and row["note"] for row in rows)
    assert [row["source"] for row in rows if row["protocol"] == "pbft"] == ["the paper, from memory"]
    logs = [point for point in found if point.source.startswith("authors' logs")]
    for point in logs:
        # Distinct transactions of a batch: 63 to 66 % of it.
        share = point.values["throughput_tx_per_s"] * point.values["epoch_s"] / point.batch_size
        assert 0.62 < share < 0.67, point


def test_what_each_node_sends_and_where_overhead_vanishes(tmp_path):
    for run in Experiment.parse({"nodes": [4, 16], "batch-size": [100, 1000], "tx-size": 512}, "x").runs:
        write(tmp_path, run, made_up(run, sent_bytes_per_tx=5000.0))
    rows = overhead_rows(grouped(read_results(tmp_path)))
    assert [(row["nodes"], row["sent_bytes"]) for row in rows] == [(4, 1250), (4, 1250), (16, 312.5), (16, 312.5)]
    # 32 · 16² · 4 / 512
    assert [row["vanishing_batch_size"] for row in rows][2:] == [64, 64] == [vanishing_batch(16, 512)] * 2
