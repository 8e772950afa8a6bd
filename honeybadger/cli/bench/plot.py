"""`honeybadger bench plot`: figures, and the numbers in them."""

from __future__ import annotations

from pathlib import Path

import click

from honeybadger.cli.bench.warn import warn
from honeybadger.cli.options import Directory, FileIn, Results


@click.command("plot", short_help="Draw an experiment's figures.")
@click.argument("directory", type=Results())
@click.option("--out", type=Directory(), help="Where to write figures.  [default: figures/ in DIRECTORY]")
@click.option("--format", "form", default="png,svg", show_default=True, help="pdf, svg, png, or several with commas.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Only this figure, named as its file; repeat it or use commas."
)
@click.option("--width", default="7.5in", show_default=True, help="Such as 84mm (a paper's column), 17.8cm, 7in.")
@click.option("--published", type=FileIn("*.csv"), help="Draw the points of this CSV file too, as hollow marks.")
@click.option("--log-y", is_flag=True, help="Logarithmic y axes, in figures of throughput and latency.")
@click.option("--no-title", is_flag=True, help="Leave out the title, for a figure that has a caption.")
@click.option("--no-notes", is_flag=True, help="Leave out the small print, and print it here for the caption.")
def plot(
    directory: Path,
    out: Path | None,
    form: str,
    only: tuple[str, ...],
    width: str,
    published: Path | None,
    log_y: bool,
    no_title: bool,
    no_notes: bool,
) -> None:
    """Draw an experiment's figures, and write a CSV with the numbers of each.

    For a paper: --format pdf --width 84mm --no-title --no-notes.
    """
    from bench.measure.results import grouped, read_results
    from bench.show import plot as plotting
    from bench.show.figures.style import Style
    from bench.show.published import read_points

    formats, names = plotting.formats_of(form), plotting.names_of(only)
    style = Style(plotting.width_of(width), log_y=log_y, title=not no_title, notes=not no_notes)
    points = read_points(published) if published else []
    groups = grouped(read_results(directory, warn))
    for drawn in plotting.draw_all(groups, out or directory / "figures", formats, names, style, points):
        for path in drawn.paths:
            click.echo(path)
        if no_notes:
            click.echo(f"{drawn.name}: {drawn.notes}")
