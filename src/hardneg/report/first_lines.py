"""The lines that a run shows first: what there is to train on, how much of it is false, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def first_lines(report: Mapping[str, Any]) -> list[str]:
    """One sentence per line, from a finished report."""
    return [*_negatives(report), *searches(report), *_advice(report)]


def _negatives(report: Mapping[str, Any]) -> Iterator[str]:
    counts, false = report["counts"], report["false"]
    none = counts["examples without a negative"]
    short = counts["short examples"] + none
    lost = f", {none:,} without any" if none else ""
    line = f"{counts['chosen']:,} negatives for {counts['examples'] - none:,} queries ({short:,} short{lost})"
    after, before = false["sets"]["final"]["after"], false["hardest before filtering"]
    if after["estimated"] is None:
        yield f"{line}; how many are false is not estimated: add a scorer of kind `false_negative`"
    else:
        low, high = (100 * before["estimated"][bound] for bound in ("low", "high"))
        yield f"{line}, estimated false: {percent(after['estimated'])}, before filtering {low:.0f} to {high:.0f}%"
    if after["judged"] is not None:
        yield f"by the judgments {after['judged']:.1%} are false, before filtering {before['judged']:.1%}"


def searches(report: Mapping[str, Any]) -> Iterator[str]:
    """How much of what is near each approximate search finds."""
    for name, found in report.get("recall", {}).items():
        yield (
            f"{name}: {found['kind'].upper()} finds {percent(found)} of the exact {found['depth']} nearest, "
            f"{found['queries']:,} queries"
        )


def percent(share: Mapping[str, float]) -> str:
    """A share with its interval: ``4.8% (3.1 to 6.9)``."""
    return f"{share['value']:.1%} ({bounds(share)})"


def bounds(share: Mapping[str, float]) -> str:
    """The interval of a share, in percent: ``3.1 to 6.9``."""
    return f"{100 * share['low']:.1f} to {100 * share['high']:.1f}"


def _advice(report: Mapping[str, Any]) -> Iterator[str]:
    if decision := report.get("decision"):
        yield decision["line"]
        if decision["evidence"]:
            yield decision["evidence"]
