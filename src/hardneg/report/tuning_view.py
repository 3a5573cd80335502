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
    "survival": "kept",
    "above_positive": "above s+",
    "false_negatives": "false",
    "found": "false caught",
}


def table(found: Curves, rows: int = 21) -> Table:
    """About ``rows`` of the thresholds, the current one among them."""
    out = Table(title=f"what `{found.rule}` leaves, 95 % intervals over queries", title_justify="left")
    out.add_column("threshold", justify="right")
    shares = ("survival", "above_positive", "false_negatives", "found")
    for name in found.names:
        out.add_column(HEADINGS.get(name, name), justify="right")
    for heading in ("eci_sem", "short", "empty", "false among chosen"):
        out.add_column(heading, justify="right")
    everything = found.rows()
    step = max(1, len(everything) // rows)
    for place, row in enumerate(everything):
        current = row["threshold"] == found.current
        if place % step and not current and row["threshold"] not in USUAL:
            continue
        cells = []
        for name in found.names:
            low, high = row[f"{name}_interval"]
            half = (high - low) / 2
            cells.append(f"{row[name]:.1%} ±{half:.1%}" if name in shares else f"{row[name]:.3f} ±{half:.3f}")
        cells.append("" if row["eci_sem"] is None else f"{row['eci_sem']:.3f}")
        cells += [
            f"{row['short']:,.0f}",
            f"{row['empty']:,.0f}",
            f"{row['chosen_false']:.1%}" if found.estimated else "",
        ]
        out.add_row(f"{row['threshold']:.4g}" + (" *" if current else ""), *cells, style="bold" if current else None)
    return out


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
