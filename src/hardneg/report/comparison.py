"""The paper's table for your own data: every source, every union, the controls and the final sets, ranked."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.table import Table
from rich.text import Text

from hardneg.probe import ProbeScore, difference
from hardneg.report.visible import in_cell, in_markdown

NUMBERS = ("size", "hardness", "safety", "efficiency", "capacity", "eci_v1")
COLUMNS = (
    *("rank", "run", "set", "what", "probe", *NUMBERS, "low", "high"),
    *("eci_sem", "above_positive", "false", "best"),
)

ORDER = ("final", "source", "hybrid", "control")
"""In which sets without a probe score follow each other."""

TITLE = (
    "after filtering, ranked by the probe where there is one; eci_v1 (arXiv:2603.20990v1) with its 95 % interval over "
    "queries; eci_sem after version 3"
)


def rows(reports: Mapping[str, Mapping[str, Any]], moment: str = "after") -> list[dict[str, Any]]:
    """A mapping per set of ``reports`` (by run), with the keys `COLUMNS`.

    Sets with a probe score come first, by that score, and have a ``rank``. The others follow without one, since
    eci_v1 does not rank them: final sets, sources, hybrids, controls.

    ``what`` is final, source, hybrid or control. ``low`` and ``high`` bound eci_v1. ``best`` names the kind of which a
    set has the best probe score over all runs; it is None for all others.
    """
    out: list[dict[str, Any]] = []
    for run, report in reports.items():
        for name, moments in report["sets"].items():
            terms = moments[moment]
            low, high = terms["intervals"]["eci_v1"]
            out.append(
                {"rank": None, "run": run, "set": name, "what": _what(name, report), "probe": _probe(name, report)}
                | {term: terms[term] for term in NUMBERS}
                | {
                    "low": low,
                    "high": high,
                    "eci_sem": terms["sem"]["eci_sem"] if terms["sem"] else None,
                    "above_positive": terms["above_positive"],
                    "false": (report["false"]["sets"][name][moment]["estimated"] or {}).get("value"),
                    "best": None,
                }
            )
    ranked = sorted((row for row in out if row["probe"] is not None), key=lambda row: -row["probe"])
    others = sorted((row for row in out if row["probe"] is None), key=lambda row: ORDER.index(row["what"]))
    found: set[str] = set()
    for rank, row in enumerate(ranked, 1):
        row["rank"] = rank
        if row["what"] in ("source", "hybrid") and row["what"] not in found:
            found.add(row["what"])
            row["best"] = row["what"]
    return [*ranked, *others]


def _probe(name: str, report: Mapping[str, Any]) -> float | None:
    """The probe's score of a set. The probe does not look at unions."""
    found = report.get("probe", {}).get("sets", {}).get(name)
    return None if found is None else float(found["score"])


def _what(name: str, report: Mapping[str, Any]) -> str:
    if name == "final":
        return "final"
    return "control" if name in report["controls"] else "hybrid" if name in report["hybrids"] else "source"


def probed(scores: Mapping[str, ProbeScore]) -> list[dict[str, Any]]:
    """The final sets of several runs, best first: score, interval, and how far each is below the best."""
    order = sorted(scores, key=lambda run: -scores[run].score)
    gaps = {run: difference(scores[run], scores[order[0]]) for run in order}
    return [
        {
            "run": run,
            "score": scores[run].score,
            "interval": [scores[run].low, scores[run].high],
            "log_likelihood": scores[run].log_likelihood,
            "ndcg": scores[run].ndcg,
            "less_than_best": {"value": gaps[run].mean, "interval": [gaps[run].low, gaps[run].high]},
            "decided": gaps[run].decided,
        }
        for run in order
    ]


def probe_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """`probed` for a terminal."""
    out = Table(title="final sets by the probe: which trains best (docs/explanation/study.md)", title_justify="left")
    for heading in ("run", "probe (95 %)", "less than the best", ""):
        out.add_column(heading)
    for place, row in enumerate(found):
        (low, high), gap = row["interval"], row["less_than_best"]
        below = f"{gap['value']:+.4f} ({gap['interval'][0]:+.4f} to {gap['interval'][1]:+.4f})" if place else ""
        word = ("decided" if row["decided"] else "not decided") if place else "best"
        out.add_row(Text(row["run"]), f"{row['score']:.4f} ({low:.4f} to {high:.4f})", below, word)
    return out


def by_corpus(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Mapping[str, Any]]]:
    """The runs on each corpus: numbers on different corpora are never put into one ranking."""
    groups: dict[tuple[Any, Any], dict[str, Mapping[str, Any]]] = {}
    for run, report in reports.items():
        groups.setdefault((report["read"]["corpus"], report["read"]["examples"]), {})[run] = report
    return list(groups.values())


def overlaps(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on final sets of different runs whose intervals overlap: their queries are not paired."""
    finals = [row for row in found if row["what"] == "final"]
    return [
        f"the final sets of {one['run']} and {other['run']} may not differ in eci_v1: "
        f"{one['low']:.3f} to {one['high']:.3f} and {other['low']:.3f} to {other['high']:.3f} overlap"
        for one, other in pairwise(finals)
        if one["low"] <= other["high"]
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    """As people read them."""
    return [
        "" if row["rank"] is None else str(row["rank"]),
        row["run"],
        row["set"],
        f"best {row['best']}" if row["best"] else row["what"],
        "" if row["probe"] is None else f"{row['probe']:.3f}",
        f"{row['size']:.1f}",
        *(f"{row[term]:.3f}" for term in NUMBERS[1:]),
        f"{row['low']:.3f} to {row['high']:.3f}",
        "" if row["eci_sem"] is None else f"{row['eci_sem']:.3f}",
        f"{row['above_positive']:.1%}",
        "" if row["false"] is None else f"{row['false']:.1%}",
    ]


HEADINGS = (
    *("rank", "run", "set", "what", "probe", *NUMBERS),
    *("95 %", "eci_sem", "above s+", "false"),
)


NOT_IN_TERMINAL = ("efficiency", "capacity", "safety", "95 %")
"""Columns for which a terminal is too narrow."""


def table(found: Sequence[Mapping[str, Any]]) -> Table:
    """For a terminal; the run is named where there are several."""
    hidden = NOT_IN_TERMINAL if len({row["run"] for row in found}) > 1 else (*NOT_IN_TERMINAL, "run")
    out = Table(title=TITLE, title_justify="left")
    for heading in HEADINGS:
        if heading not in hidden:
            left = heading in ("run", "set", "what")
            out.add_column(
                heading,
                justify="left" if left else "right",
                no_wrap=heading not in ("run", "set"),
                overflow="fold",
                min_width={"run": 8, "set": 12}.get(heading),
            )
    for row in found:
        cells = _cells(row)
        out.add_row(
            *(Text(cell) for heading, cell in zip(HEADINGS, cells, strict=True) if heading not in hidden),
            style="bold" if row["best"] or row["what"] == "final" else None,
        )
    return out


def markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown."""
    lines = [HEADINGS, ["---"] * 4 + ["---:"] * (len(HEADINGS) - 5) + ["---"], *map(_cells, found)]
    return "\n".join("| " + " | ".join(map(in_markdown, line)) + " |" for line in lines)


def comma_separated(found: Sequence[Mapping[str, Any]]) -> str:
    """CSV with a heading, numbers in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([in_cell(row[name]) for name in COLUMNS] for row in found)
    return out.getvalue()
