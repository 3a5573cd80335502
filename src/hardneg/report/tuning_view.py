"""The threshold curves of a filter as a table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from hardneg import eci
from hardneg.errors import JobError, MissingExtraError
from hardneg.report.tuning import USUAL, Curves

HEADINGS: Mapping[str, str] = {
    "chosen_false": "false",
    "chosen_hardness": "hardness",
    "survival": "all: kept",
    "false_negatives": "false",
    "found": "caught",
    "above_positive": "above s+",
}


COLUMNS = (
    *("chosen_false", "short", "empty", "chosen_hardness"),
    *("survival", "false_negatives", "found", "above_positive", "eci_v1"),
)
"""First what is left to train on, then what the filter keeps of the candidates."""
SHARES = ("chosen_false", "survival", "false_negatives", "found", "above_positive")
COUNTS = ("short", "empty")


def table(found: Curves, rows: int = 21, suggested: float | None = None) -> Table:
    """About ``rows`` of the thresholds, with the current and the suggested one. Intervals are in `Curves.rows`."""
    title = f"what `{found.rule}` leaves: of the chosen negatives, and of all candidates (--json has more)"
    out = Table(title=title, title_justify="left")
    everything = found.rows()
    unknown = () if found.estimated else ("chosen_false",)
    shown = [name for name in COLUMNS if everything[0].get(name) is not None and name not in unknown]
    for name in ("threshold", *shown):
        out.add_column(HEADINGS.get(name, name), justify="right")
    step = max(1, len(everything) // rows)
    for place, row in enumerate(everything):
        current = row["threshold"] == found.current
        if place % step and not current and row["threshold"] not in (*USUAL, suggested):
            continue
        cells = [_cell(name, row[name]) for name in shown]
        out.add_row(f"{row['threshold']:.4g}" + (" *" if current else ""), *cells, style="bold" if current else None)
    return out


def _cell(name: str, value: float) -> str:
    if name in COUNTS:
        return f"{value:,.0f}"
    return f"{value:.1%}" if name in SHARES else f"{value:.3f}"


def columns(found: Curves) -> dict[str, Any]:
    """The curves for the report's page: the rule, the threshold in force, and a list of numbers a column."""
    rows = found.rows()
    names = [name for name in ("threshold", *COLUMNS) if rows[0].get(name) is not None]
    kept = [name for name in names if name != "chosen_false" or found.estimated]
    return {
        "rule": found.rule,
        "threshold": found.current,
        "judged": found.judged,
        "queries": rows[0]["queries"],
        "columns": {name: [float(f"{row[name]:.6g}") for row in rows] for name in kept},
    }


def plot(found: Curves, path: Path) -> None:
    """Draws the curves into an ``.svg`` or ``.png``; bands are 95 % intervals, the line is the current threshold."""
    if path.suffix not in (".svg", ".png"):
        raise JobError(f"{path}: a plot is an `.svg` or a `.png`")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plots", "`--plot`") from error
    shares: list[str] = [
        name for name in ("survival", "above_positive", "false_negatives", "found") if name in found.names
    ]
    panels: list[tuple[str, list[str]]] = [
        ("share", shares),
        ("similarity", ["hardness", "safety"]),
        ("eci_v1", ["eci_v1"]),
    ]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes: Any = figure.subplots(1, len(panels))
    for axis, (title, names) in zip(axes, panels, strict=True):
        for name in names:
            low, high = eci.interval(found.quantity(name, found.resampled))
            axis.plot(found.thresholds, found.quantity(name), label=HEADINGS.get(name, name))
            axis.fill_between(found.thresholds, low, high, alpha=0.2)
        if title == "eci_v1" and found.sem is not None:
            axis.plot(found.thresholds, found.sem, linestyle="--", label="eci_sem")
        axis.axvline(found.current, color="grey", linewidth=0.8)
        axis.set_title(title)
        axis.set_xlabel(f"threshold of `{found.rule}`")
        axis.legend(frameon=False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise JobError(f"{path}: cannot be written ({error})") from error
