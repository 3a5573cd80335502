"""Sources and unions: every term with its interval, both metrics, and who found what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hardneg.pages.charts import interval, scatter
from hardneg.report.first_lines import bounds

UNIONS = 12
"""So many unions are shown, the best by eci_v1."""
SIZES = 2
"""At so many equal sizes the sets are shown."""
TERMS = ("hardness", "safety", "efficiency", "capacity")
OPTIONAL = ("estimated", "judged", "sem")
"""Columns that are left out where nothing is known."""
SHADES = 8


def sources(report: Mapping[str, Any]) -> dict[str, Any]:
    """Tables by moment and size, both metrics against each other, overlaps, and notes, for the template."""
    return {
        "tables": [*_tables(report)],
        "hidden": max(0, len(report["hybrids"]) - UNIONS),
        "metrics": _metrics(report),
        "overlaps": [*_overlaps(report)],
        "notes": report["notes"],
    }


def shown(report: Mapping[str, Any]) -> list[str]:
    """The sets that a page has room for: the final one, all generators, some unions."""
    unions = sorted(report["hybrids"], key=lambda name: -report["sets"][name]["after"]["eci_v1"])[:UNIONS]
    return [name for name in report["sets"] if name not in report["hybrids"] or name in unions]


def _tables(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    sizes = sorted({int(k) for own in report["sets"].values() for k in own["after"].get("at", {})})[:SIZES]
    for size in (None, *sizes):
        for moment in ("after", "before"):
            told = "all negatives that each set has" if size is None else f"the {size} hardest of each query"
            name = f"{moment.capitalize()} filtering, {told}"
            rows = _rows(report, moment, size)
            yield {"name": name, "rows": rows, **{key: any(row[key] for row in rows) for key in OPTIONAL}}


def _rows(report: Mapping[str, Any], moment: str, size: int | None) -> list[dict[str, Any]]:
    terms = {name: report["sets"][name][moment] for name in shown(report)}
    if size is not None:
        terms = {name: own["at"][str(size)] for name, own in terms.items()}
    bounds = [bound for own in terms.values() for bound in own["intervals"]["eci_v1"]]
    begin, end = min(bounds, default=0), max(bounds, default=1)
    controls = report["controls"]
    reference = terms[controls[0]]["eci_v1"] if controls else None
    return [
        {
            "name": name,
            "kind": kind_of(report, name),
            "size": f"{own['size']:.1f}",
            **(_shares(report, name, moment) if size is None else {"estimated": None, "judged": ""}),
            "terms": [_term(own, term) for term in TERMS],
            "above": f"{own['above_positive']:.1%}",
            "eci": _term(own, "eci_v1"),
            "sem": f"{own['sem']['eci_sem']:.3f}" if own.get("sem") else "",
            "picture": interval(
                own["intervals"]["eci_v1"][0],
                own["eci_v1"],
                own["intervals"]["eci_v1"][1],
                begin=begin,
                end=end,
                reference=reference,
                colour=6 if name in controls else 0 if name == "final" else 1,
            ),
        }
        for name, own in terms.items()
    ]


def kind_of(report: Mapping[str, Any], name: str) -> str:
    """Final, control, union or source."""
    if name == "final":
        return "what is exported"
    return "control" if name in report["controls"] else "union" if name in report["hybrids"] else "source"


def _shares(report: Mapping[str, Any], name: str, moment: str) -> dict[str, Any]:
    false = report["false"]["sets"][name][moment]
    share = false["estimated"]
    return {
        "estimated": (f"{share['value']:.1%}", bounds(share)) if share else None,
        "judged": "" if false["judged"] is None else f"{false['judged']:.1%}",
    }


def _term(own: Mapping[str, Any], term: str) -> tuple[str, str]:
    """A value and its interval."""
    low, high = own["intervals"].get(term, (own[term], own[term]))
    return f"{own[term]:.3f}", "" if low == high else f"{low:.3f} to {high:.3f}"


def _metrics(report: Mapping[str, Any]) -> Markup:
    after = {name: own["after"] for name, own in report["sets"].items() if name not in report["hybrids"]}
    points = {name: (own["eci_v1"], own["sem"]["eci_sem"]) for name, own in after.items() if own["sem"]}
    return scatter(points, title="Both metrics after filtering", x_label="eci_v1", y_label="eci_sem")


def _overlaps(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A matrix for candidates and for chosen ones: of what the row's generator found, how much the column's found."""
    found: Mapping[str, Any] = report["found_by"]
    names: Sequence[str] = found["generators"]
    if len(names) < 2:
        return
    for what, title in (("candidates", "Of all candidates"), ("chosen", "Of the chosen negatives")):
        if what not in found or not any(map(any, found[what]["both"])):
            continue
        both, alone = found[what]["both"], found[what]["alone"]
        trained = [i for i, name in enumerate(names) if what == "candidates" or name not in report["controls"]]
        yield {
            "name": title,
            "columns": [names[j] for j in trained],
            "rows": [
                {
                    "name": names[i],
                    "all": both[i][i],
                    "alone": alone[i],
                    "cells": [_cell(both[i][j], both[i][i], own=i == j) for j in trained],
                }
                for i in trained
            ],
        }


def _cell(count: int, whole: int, *, own: bool) -> dict[str, Any]:
    if own:
        return {"count": None, "share": "", "shade": 0}
    share = count / max(whole, 1)
    return {"count": count, "share": f"{share:.0%}", "shade": round(share * SHADES)}
