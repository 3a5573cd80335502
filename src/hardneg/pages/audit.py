"""The page of an audit: what is wrong with a training file, with cases to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hardneg.pages.charts import bar, interval
from hardneg.pages.page import page
from hardneg.report.first_lines import percent

TERMS = ("hardness", "safety", "eci_v1")
COMMON = 8
"""So many lengths of rows are shown, the commonest."""


def audit_page(report: Mapping[str, Any]) -> bytes:
    """The page in UTF-8, from what `hardneg.audit` returned. A file with every fault in the book stays under 2 MB."""
    findings = report["findings"]
    found = {name: finding for name, finding in findings.items() if finding["count"]}
    return page(
        "audit.html",
        title=f"Audit of {Path(report['file']).name}",
        data={},
        report=report,
        found=found,
        bars={name: bar(one["rows"], report["rows"], colour=1 if one["refused"] else 6) for name, one in found.items()},
        clear=[name for name, finding in findings.items() if finding["checked"] and not finding["count"]],
        unseen=[name for name, finding in findings.items() if not finding["checked"]],
        lengths=[*_lengths(report)],
        sets=[*_sets(report["model"])] if report["model"] else [],
        shortcut=[*_shortcut(report["shortcut"] or {})],
    )


def _lengths(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows by their number of negatives, the commonest lengths."""
    by_size = {int(size): rows for size, rows in report["negatives_per_row"].items()}
    common = sorted(sorted(by_size, key=lambda size: -by_size[size])[:COMMON])
    for size in common:
        yield {"size": size, "rows": by_size[size], "picture": bar(by_size[size], report["rows"])}


def _sets(model: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The file's negatives and the random control, with what the model says of each."""
    terms = {name: moments["before"] for name, moments in model["sets"].items() if name != "final"}
    bounds = [bound for own in terms.values() for bound in own["intervals"]["eci_v1"]]
    for name, own in terms.items():
        false = model["false"]["sets"][name]["before"]["estimated"]
        low, high = own["intervals"]["eci_v1"]
        yield {
            "name": name,
            "false": percent(false) if false else "",
            "above": f"{own['above_positive']:.1%}",
            "terms": [f"{own[term]:.3f}" for term in TERMS],
            "picture": interval(low, own["eci_v1"], high, begin=min(bounds), end=max(bounds)),
        }


def _shortcut(found: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for name, own in found.items():
        if isinstance(own, dict):
            low, high = own["interval"]
            yield {"name": name, "auc": f"{own['auc']:.2f}", "interval": f"{low:.2f} to {high:.2f}"}
