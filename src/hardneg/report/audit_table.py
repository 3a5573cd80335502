"""An audit on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hardneg.report import tables

SEVERAL = 3
"""Lengths of rows that are told."""


def parts(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What there is, what is wrong with it, what the model says, what the cleaned file is; sentences and tables."""
    yield _first(report)
    if any(finding["count"] for finding in report["findings"].values()):
        yield findings(report)
    yield _nothing(report)
    for known in report["against"]:
        equal = known["equal"]
        yield (
            f"{known['folder']} ({known['queries']:,} queries, {known['answers']:,} answers are held against the "
            f"file). Word for word in its corpus of {known['passages']:,}: {equal['positives']:,} positives, "
            f"{equal['negatives']:,} negatives"
        )
    for name, found in (report["shortcut"] or {}).items():
        if isinstance(found, dict):
            low, high = found["interval"]
            yield (
                f"positives against negatives by their {name}, query unseen: AUC {found['auc']:.2f} ({low:.2f} to "
                f"{high:.2f}; 0.5: cannot be told apart)"
            )
    if report["model"] is not None:
        yield tables.sets(report["model"], title=f"under {report['model']['name']}")
    if (clean := report["clean"]) is not None:
        yield (
            f"{clean['file']}: {clean['rows']:,} rows, {clean['rows_changed']:,} of them changed; "
            f"{clean['rows_removed']:,} rows and {clean['passages_removed']:,} passages are gone, "
            f"{clean['relabelled']:,} relabelled; {clean['removed']} lists them"
        )
    for warning in report["warnings"]:
        yield f"warning: {warning}"


def findings(report: Mapping[str, Any]) -> Table:
    """A line per kind that was found."""
    table = Table(box=None, pad_edge=False)
    for heading in ("finding", "count", "rows", "refused", "what it is", "for example"):
        table.add_column(heading, justify="right" if heading in ("count", "rows") else "left")
    for name, finding in report["findings"].items():
        if finding["count"]:
            case = finding["cases"][0]
            table.add_row(
                name,
                f"{finding['count']:,}",
                f"{finding['rows']:,}",
                "yes" if finding["refused"] else "no",
                Text(finding["what"]),
                Text(f"line {case['line']}: {case['reason']}"),
            )
    return table


def _first(report: Mapping[str, Any]) -> str:
    counts = sorted(report["negatives_per_row"].items(), key=lambda item: -item[1])
    sizes = ", ".join(f"{rows:,} with {size}" for size, rows in counts[:SEVERAL])
    more = f", and {len(counts) - SEVERAL} other numbers" if len(counts) > SEVERAL else ""
    return (
        f"{report['file']}: {report['rows']:,} rows, {report['queries']:,} queries, {report['positives']:,} positives, "
        f"{report['negatives']:,} negatives (rows by negatives: {sizes}{more})"
    )


def _nothing(report: Mapping[str, Any]) -> str:
    clear = [name for name, f in report["findings"].items() if f["checked"] and not f["count"]]
    unseen = sorted(
        {
            "--model" if name == "likely_answer" else "--against"
            for name, f in report["findings"].items()
            if not f["checked"]
        }
    )
    other = " other" if any(finding["count"] for finding in report["findings"].values()) else ""
    line = f"{len(clear)}{other} checks found nothing" if clear else "every check found something"
    return line + (f" ({' and '.join(unseen)} would tell more)" if unseen else "")
