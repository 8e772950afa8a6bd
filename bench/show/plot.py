"""Draws the figures of an experiment, each with a CSV of its numbers.

Which there are depends on what varies in the experiment. Lines and bars are medians over repeats; bars through points
reach from the smallest to the largest. Needs matplotlib, the optional extra `plot`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure.results import Group
from bench.measure.timeline import write_csv
from bench.show.figures.style import MM_PER_INCH, Style
from honeybadger.cluster.errors import ClusterError
from honeybadger.wording import nearest

if TYPE_CHECKING:
    from bench.show.figures.catalogue import Kind
    from bench.show.published import Point

#: millimetres: in less, the words have no room
NARROWEST, WIDEST = 60, 400
FORMATS = ("pdf", "svg", "png")
USUAL_FORMATS = ("png", "svg")
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "in": MM_PER_INCH}


@dataclass(frozen=True)
class Drawn:
    """A figure in its files, and its small print: what a caption must say."""

    name: str
    paths: Sequence[Path]
    notes: str


def draw_all(
    groups: Sequence[Group],
    out: Path,
    formats: Iterable[str] = USUAL_FORMATS,
    only: Sequence[str] = (),
    style: Style | None = None,
    published: Sequence[Point] = (),
) -> list[Drawn]:
    """Write every figure that makes sense, or those of `only` (names), with those of the `published` points that belong
    into them. ClusterError, in one line, without matplotlib, or for a name that makes no sense."""
    kinds, style = _kinds(), style or Style()
    groups = [group for group in groups if group.valid]
    if not groups:
        raise ClusterError("there is no valid run to draw")
    chosen = {name: shown for name, kind in kinds.items() if (shown := kind.groups(groups))}
    if missing := next((name for name in only if name not in chosen), None):
        raise ClusterError(f"--only {missing}: these runs have no such figure, only {', '.join(chosen)}")
    names = [name for name in chosen if not only or name in only]
    if style.log_y and not any(kinds[name].has_values for name in names):
        raise ClusterError(f"--log-y: {', '.join(names)} cannot have a logarithmic y axis")
    rows = {name: kinds[name].rows(chosen[name][: kinds[name].most]) for name in names}
    marks = {name: kinds[name].marks(published, rows[name]) for name in names}
    if published and not any(marks.values()):
        raise ClusterError("--published: none of its points has the settings of a line in these figures")
    out.mkdir(parents=True, exist_ok=True)
    drawn: list[Drawn] = []
    for name in names:
        kind, all_shown = kinds[name], chosen[name]
        paths = [out / f"{name}.{ending}" for ending in formats]
        notes = kind.save(style, rows[name], all_shown[: kind.most], len(all_shown), paths, marks[name])
        write_csv(out / f"{name}.csv", [*rows[name], *marks[name]])
        drawn.append(Drawn(name, [*paths, out / f"{name}.csv"], notes))
    return drawn


def names_of(texts: Iterable[str]) -> list[str]:
    """Names of figures, as --only takes them: several, also separated by commas. ClusterError for an unknown one."""
    return _pieces("--only", texts, list(_kinds()))


def formats_of(text: str) -> list[str]:
    """As --format takes them. ClusterError for an unknown one."""
    formats = _pieces("--format", [text], FORMATS)
    if not formats:
        raise ClusterError(f"--format has no value: write one or more of {', '.join(FORMATS)}")
    return formats


def width_of(text: str) -> float:
    """Inches, of a width such as 84mm; ClusterError for nonsense."""
    parts = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{0,6})?)\s*(mm|cm|in)\s*", text, re.ASCII)
    if not parts:
        raise ClusterError(f"--width {text!r:.80} is not a width: write 84mm, 8.4cm or 3.3in")
    millimetres = float(parts[1]) * _MILLIMETRES[parts[2]]
    if not NARROWEST <= millimetres <= WIDEST:
        raise ClusterError(f"--width {text.strip()} is not from {NARROWEST}mm to {WIDEST}mm")
    return millimetres / MM_PER_INCH


def _pieces(option: str, texts: Iterable[str], names: Sequence[str]) -> list[str]:
    pieces = [piece.strip() for text in texts for piece in text.split(",") if piece.strip()]
    for piece in pieces:
        if piece not in names:
            raise ClusterError(f"{option} {piece!r:.80} is none of {', '.join(names)}{nearest(piece, names)}")
    return list(dict.fromkeys(pieces))


def _kinds() -> Mapping[str, Kind]:
    """All kinds of figures, by the names of their files."""
    try:
        from bench.show.figures.catalogue import KINDS
    except ImportError:
        raise ClusterError("figures need matplotlib; in the project's folder: pip install -e '.[plot]'") from None
    return KINDS
