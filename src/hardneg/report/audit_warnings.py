"""What a reader of an audit must know before anything else, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hardneg.report.shortcut import ALARM
from hardneg.report.warnings import FEW


def warnings_of(report: Mapping[str, Any]) -> list[str]:
    """What makes the file dangerous to train on, and what makes the numbers unsure."""
    return [*_warnings(report)]


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    if count := report["findings"]["known_positive"]["count"]:
        share = count / report["negatives"]
        yield (
            f"{count:,} of {report['negatives']:,} negatives ({share:.1%}) are positives of the same query in other "
            "rows: they teach the opposite"
        )
    for name, found in (report["shortcut"] or {}).items():
        if isinstance(found, dict) and max(found["auc"], 1 - found["auc"]) > ALARM:
            low, high = found["interval"]
            yield (
                f"a simple classifier tells positives from negatives by their {name} without seeing the query (AUC "
                f"{found['auc']:.2f}, 95 % interval {low:.2f} to {high:.2f}): a retriever can learn that instead of "
                "relevance"
            )
    for known in report["against"]:
        if not known["splits"]:
            yield f"{known['folder']} has no judgments: all its queries and passages count as evaluated"
    if (model := report["model"]) is not None:
        if model["passages"] < FEW:
            yield (
                f"the file has {model['passages']:,} distinct passages: ranks among so few say little about which "
                "negatives are false"
            )
        before = {name: moments["before"] for name, moments in model["sets"].items()}
        hard = {name: terms["hardness"] for name, terms in before.items()}
        if before["file"]["size"] and before["random"]["size"] and hard["file"] <= hard["random"]:
            yield (
                f"the file's negatives are no harder (hardness {hard['file']:.3f}) than random passages of the file "
                f"({hard['random']:.3f})"
            )
    if (clean := report["clean"]) is not None and not clean["rows"]:
        yield f"{clean['file']} is empty: something is refused of every row; `--keep KIND` leaves a kind in"
