"""The way through: how many candidates there were at each step, so that the counts add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardneg.pages.charts import bar


def flow(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups of rows from the data to the exports. A row says how many there are and, in ``change``, how many more or
    fewer than in the row before.
    """
    return [
        {"name": "Read", "rows": _read(report)},
        {"name": "Found", "rows": _found(report)},
        {"name": "Left by the filters, in their order", "rows": _filtered(report)},
        {"name": "Chosen", "rows": _chosen(report)},
        {"name": "Written", "rows": _written(report)},
    ]


def _row(name: str, count: int, note: str = "", picture: Any = "", change: int = 0) -> dict[str, Any]:
    return {"name": name, "count": count, "note": note, "picture": picture, "change": change}


def _read(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    read, counts = report["read"], report["counts"]
    rows = [_row("passages", read["passages"]), _row("queries", read["examples"], f"{counts['positives']:,} positives")]
    rows += [_row(f"left out: {reason}", count) for reason, count in read["skipped"].items()]
    if report["left_out"]:
        rows.append(_row("left out: every process died of it", len(report["left_out"])))
    return rows


def _found(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    generated, whole = report["generated"], report["counts"]["candidates"]
    trained = {name: count for name, count in generated.items() if name not in report["controls"]}
    most = max(whole, *generated.values(), 1)
    alone = dict(zip(report["found_by"]["generators"], report["found_by"]["candidates"]["alone"], strict=True))
    rows = [
        _row(
            name,
            count,
            f"{alone[name]:,} found by no other"
            + (", a control: compared and never trained on" if name in report["controls"] else ""),
            bar(count, most, colour=6 if name in report["controls"] else place),
        )
        for place, (name, count) in enumerate(generated.items())
    ]
    twice = sum(trained.values()) - whole
    if twice:
        rows.append(_row("found more than once", twice, "counted once from here on", change=-twice))
    return [*rows, _row("candidates together", whole, "controls left out", bar(whole, most))]


def _filtered(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    whole = left = report["counts"]["candidates"]
    rows = []
    for name, dropped in report["dropped"].items():
        first = dropped["first"]
        left -= first
        rules = ", ".join(f"{rule} {count:,}" for rule, count in dropped["rules"].items())
        others = dropped["all"] - first
        told = [f"{others:,} more that an earlier filter refused too"] if others else []
        told += [f"by rule: {rules}"] if len(dropped["rules"]) > 1 else []
        rows.append(_row(f"after {name}", left, "; ".join(told), bar(left, whole, refused=first), change=-first))
    if (unjudged := left - report["counts"]["kept"]) and any("unjudged" in one for one in report["dropped"].values()):
        left -= unjudged
        note = "not needed, so their scorer, which is lazy, was not asked"
        rows.append(_row("without what was not scored", left, note, bar(left, whole), change=-unjudged))
    return rows or [_row("no filter", left, "every candidate is kept", bar(left, whole))]


def _chosen(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    counts, most = report["counts"], report["counts"]["candidates"]
    passed = counts["kept"] - counts["chosen"]
    note = f"the best {report['per_query']} of each query, as `select` says; {passed:,} are kept and not needed"
    picture = bar(counts["chosen"], most, refused=passed)
    return [_row("negatives", counts["chosen"], note, picture, change=-passed)]


def _written(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    most = max((_rows(one["counts"]) for one in report["exports"].values()), default=0)
    return [
        _row(
            one["folder"],
            _rows(one["counts"]),
            ", ".join(f"{count:,} {what}" for what, count in one["counts"].items() if isinstance(count, int)),
            bar(_rows(one["counts"]), most),
        )
        for one in report["exports"].values()
    ]


def _rows(counts: Mapping[str, Any]) -> int:
    """Rows, or what an export counts in their place."""
    found = counts.get("rows", next((count for count in counts.values() if isinstance(count, int)), 0))
    return int(found)
