"""Pictures of similarities: distributions, what filters looked at, reliability of probabilities, `tune`'s curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup

from hardneg.false_negatives.share import wilson
from hardneg.pages.charts import Series, plot

SOURCES = 12
"""The most sources that have a picture of their own."""
COLOUR = {"positives": 2, "candidates": 6, "refused": 1, "kept": 3, "chosen": 0}
"""As in the examples below the pictures."""
KINDS = ("candidates", "refused", "kept", "chosen")
FEW = 15
"""Fewer numbers a step than these, on average, make a ragged curve."""
IN_FORCE = "in force"


def similarity(report: Mapping[str, Any], tuning: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The pictures by topic, for the template."""
    return {
        "whole": whole(report),
        "sources": [*_sources(report)],
        "filters": [*_filters(report)],
        "reliability": _reliability(report),
        "curves": [picture for curves in tuning if _of_this_run(curves, report) for picture in _curves(curves, report)],
    }


def _steps(name: str, counts: Sequence[int], first: float, width: float) -> Series:
    """A histogram as shares of its own total, a bin. Where there are few numbers, a step is several bins wide and has
    their mean.
    """
    total, begin, together = sum(counts) or 1, round(first / width), 1
    joined = {begin + place: count for place, count in enumerate(counts) if count}
    while len(joined) > 4 and total < FEW * len(joined):
        together *= 2
        pairs: dict[int, int] = {}
        for place, count in joined.items():
            pairs[place // 2] = pairs.get(place // 2, 0) + count
        joined = pairs
    places = range(min(joined), max(joined) + 2) if joined else range(0)
    x = [place * width * together for place in places]
    return Series(name, x, [joined.get(p, 0) / total / together for p in places], stepped=True, colour=COLOUR[name])


def _histograms(
    report: Mapping[str, Any],
    name: str,
    counts: Mapping[str, Sequence[int]],
    kinds: Sequence[str],
    marks: Mapping[str, float],
) -> Markup:
    found = report["similarities"]
    first, width = found["first"], found["width"]
    series = [_steps("positives", found["counts"]["positives"], first, width)]
    series += [_steps(kind, counts[kind], first, width) for kind in kinds]
    return plot(
        [one for one in series if len(one.x)],
        title=f"Similarity to the query: {name}",
        x_label=f"similarity by {report['scorer']}",
        y_label=f"share of each, per {width:.2g}",
        x_marks=marks,
        percent=True,
    )


def whole(report: Mapping[str, Any]) -> Markup:
    """The distributions over all sources together."""
    filters = report["similarities"]["filters"]
    marks = {
        f"ceiling of {name}": own["threshold"]
        for name, own in filters.items()
        if own["rule"] == "ceiling" and own["scorer"] == report["scorer"]
    }
    positive = report["sets"]["final"]["after"]["positive"]
    counts = report["similarities"]["counts"]
    return _histograms(report, "all sources", counts, KINDS, {"mean positive": positive, **marks})


def distributions(similarities: Mapping[str, Any]) -> Markup:
    """Arrays of similarities by name (``positives`` or one of `KINDS`), each as shares of its own total."""
    width = 0.02
    series = []
    for name, values in similarities.items():
        places, counts = np.unique(np.floor(np.asarray(values, np.float64) / width), return_counts=True)
        if len(places):
            filled = np.zeros(int(places[-1] - places[0]) + 1, np.int64)
            filled[(places - places[0]).astype(np.int64)] = counts
            series.append(_steps(name, filled.tolist(), float(places[0]) * width, width))
    across = f"share of each, per {width:.2g}"
    return plot(series, title="Similarity to the query", x_label="similarity", y_label=across, percent=True)


def _sources(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    counts = report["similarities"]["sources"]
    for name in list(report["generated"])[:SOURCES]:
        control = name in report["controls"]
        kinds = ("candidates",) if control else ("candidates", "refused", "chosen")
        yield {
            "name": name + (" (control)" if control else ""),
            "picture": _histograms(report, name, counts[name], kinds, {}),
        }


def _filters(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, own in report["similarities"]["filters"].items():
        powers, constant = own["rule"] == "calibrated", own["rule"] in ("calibrated", "ceiling")
        threshold = own["threshold"] if constant else 0.0
        if powers:
            threshold = math.log10(max(threshold, 1e-4))
        label = "probability of being relevant" if powers else f"score by {own['scorer']}"
        series = [_steps(kind, own["counts"][kind], own["first"], own["width"]) for kind in ("kept", "refused")]
        totals = {kind: sum(own["counts"][kind]) for kind in own["counts"]}
        whole = sum(totals.values()) or 1
        shares = [
            replace(one, name=f"{one.name} ({totals[one.name]:,})", y=[y * totals[one.name] / whole for y in one.y])
            for one in series
            if len(one.x)
        ]
        picture = plot(
            shares,
            title=f"What {name} looked at",
            x_label=label if constant else f"{label}, less what is allowed",
            y_label="share of all",
            x_marks={own["rule"] if constant else "what is allowed": threshold},
            percent=True,
            powers=powers,
        )
        yield {"name": name, "rule": f"{own['rule']} {own['threshold']:.4g}", "picture": picture}


def _reliability(report: Mapping[str, Any]) -> dict[str, Any] | None:
    rows: Sequence[Mapping[str, Any]] | None = report["reliability"]
    if not rows:
        return None
    bounds = [wilson(row["judged"], row["count"]) for row in rows]
    curve = Series(
        f"judged relevant, by the probability of {report['false']['scorer']}",
        [row["probability"] for row in rows],
        [row["judged"] for row in rows],
        [low for low, _ in bounds],
        [high for _, high in bounds],
    )
    picture = plot(
        [curve],
        title="Reliability of the probabilities",
        x_label="mean estimated probability",
        y_label="share judged relevant",
        diagonal=True,
        percent=True,
    )
    return {"picture": picture, "rows": rows}


def _of_this_run(curves: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
    """Whether the filter that was tuned is still there, with the rule and the selection that it was tuned for."""
    own = report["similarities"]["filters"].get(curves["filter"])
    same = (curves.get("per_query"), curves.get("target")) == (report["per_query"], report["scorer"])
    return same and own is not None and own["rule"] == curves["rule"]


def _curves(curves: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What `tune` found for one filter: shares, and how hard and how short the chosen set would be."""
    columns, powers = curves["columns"], curves["rule"] == "calibrated"
    places = [place for place, value in enumerate(columns["threshold"]) if not powers or value > 0]
    x = [math.log10(columns["threshold"][p]) if powers else columns["threshold"][p] for p in places]
    now = report["similarities"]["filters"][curves["filter"]]["threshold"]
    marks = {IN_FORCE: math.log10(now) if powers else now} if not powers or now > 0 else {}
    shares = {
        "candidates kept": columns["survival"],
        "queries that are short": [short / (curves["queries"] or 1) for short in columns["short"]],
    }
    panels: list[tuple[str, Mapping[str, Any], bool]] = [
        ("false among the chosen", {"false": columns.get("chosen_false")}, True),
        ("what is left", shares, True),
        ("hardness of the chosen", {"hardness": columns["chosen_hardness"]}, False),
    ]
    for name, series, percent in panels:
        yield {
            "name": f"{curves['filter']}: {name}",
            "picture": plot(
                [Series(label, x, [found[p] for p in places]) for label, found in series.items() if found],
                title=f"{curves['filter']}: {name} by threshold",
                x_label=f"threshold of {curves['rule']}",
                y_label="share" if percent else "hardness",
                x_marks=marks,
                percent=percent,
                powers=powers,
                from_zero=percent,
            ),
        }
