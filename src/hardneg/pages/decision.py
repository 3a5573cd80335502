"""What to train on, how sure that is, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hardneg.pages.charts import interval
from hardneg.report.first_lines import percent, searches
from hardneg.report.probing import FEWEST


def decision(report: Mapping[str, Any]) -> dict[str, Any]:
    """The answer, the figures behind it, and the sets by the probe, for the template."""
    return {
        **_answer(report),
        "figures": _figures(report),
        "false": _false(report),
        "probe": _probe(report),
        "searches": list(searches(report)),
        "warnings": report["warnings"],
        "exports": [{"folder": one["folder"], "counts": _counted(one["counts"])} for one in report["exports"].values()],
    }


def _answer(report: Mapping[str, Any]) -> dict[str, Any]:
    found, examples = report.get("decision"), report["read"]["examples"]
    if found is None or found["set"] is None:
        if examples < FEWEST:
            why = f"Nothing measured says whether another set trains better: the probe needs {FEWEST:,} queries, and "
            why += f"these are {examples:,}."
        else:
            why = "Nobody asked whether another set trains better. To ask: `eci: {probe: true}` in the job."
        return {"answer": "Train on the final set", "sure": "by default", "why": why, "evidence": None}
    chosen = found["set"]
    _, _, more = found["line"].partition(". ")
    why = more and more + "."
    if chosen != "final":
        why += " The exports hold the final set: make a job that ends with this one to train on it."
    name = "the final set" if chosen == "final" else f"`{chosen}`"
    sure = "decided" if ": decided" in found["line"] else "not decided" if more else "nothing to compare with"
    return {"answer": f"Train on {name}", "sure": sure, "why": why, "evidence": found["evidence"]}


def _figures(report: Mapping[str, Any]) -> list[dict[str, str]]:
    counts, shares = report["counts"], report["false"]
    after, before = shares["sets"]["final"]["after"], shares["hardest before filtering"]
    none = counts["examples without a negative"]
    short = counts["short examples"] + none
    found = [
        {
            "value": f"{counts['chosen']:,}",
            "name": f"negatives for {counts['examples'] - none:,} queries",
            "note": f"{short:,} short of {report['per_query']}" + (f", {none:,} of them without any" if none else ""),
        }
    ]
    if (share := after["estimated"]) is None:
        note = "add a scorer of kind `false_negative`"
        found.append({"value": "unknown", "name": "how many are false", "note": note})
    else:
        found.append(
            {
                "value": f"{share['value']:.1%}",
                "name": "estimated false",
                "note": f"95 % interval {100 * share['low']:.1f} to {100 * share['high']:.1f} %",
            }
        )
        low, high = (100 * before["estimated"][bound] for bound in ("low", "high"))
        found.append(
            {"value": f"{low:.0f} to {high:.0f} %", "name": "before filtering", "note": "estimated, the hardest ones"}
        )
    if after["judged"] is not None:
        note = f"before filtering {before['judged']:.1%}"
        found.append({"value": f"{after['judged']:.1%}", "name": "false by the judgments", "note": note})
    terms = report["sets"]["final"]["after"]
    note = f"positives: {terms['positive']:.2f}"
    found.append({"value": f"{terms['hardness']:.2f}", "name": "hardness: similarity to the query", "note": note})
    return found


def _false(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Estimated and judged false shares, hardest before filtering and final, as pictures on one scale."""
    rows = {
        "the hardest before filtering": report["false"]["hardest before filtering"],
        "final set": report["false"]["sets"]["final"]["after"],
    }
    known = {name: own for name, own in rows.items() if own["estimated"]}
    end = max((max(own["estimated"]["high"], own["judged"] or 0) for own in known.values()), default=1) or 1
    return [
        {
            "name": name,
            "estimated": percent(own["estimated"]),
            "judged": None if own["judged"] is None else f"{own['judged']:.1%}",
            "picture": interval(
                *(own["estimated"][key] for key in ("low", "value", "high")), begin=0, end=end, reference=own["judged"]
            ),
        }
        for name, own in known.items()
    ]


def _probe(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    sets: Mapping[str, Any] = report.get("probe", {}).get("sets", {})
    if not sets:
        return []
    begin = min(own["interval"][0] for own in sets.values())
    end = max(own["interval"][1] for own in sets.values())
    order = sorted(sets, key=lambda name: -sets[name]["score"])
    return [
        {
            "name": name,
            "control": name in report["controls"],
            "score": f"{sets[name]['score']:.3f}",
            "interval": _between(sets[name]["interval"]),
            "below": "best" if not place else f"{sets[name]['below_best']:.3f}",
            "decided": "" if not place else "decided" if sets[name]["decided"] else "not decided",
            "picture": interval(
                sets[name]["interval"][0], sets[name]["score"], sets[name]["interval"][1], begin=begin, end=end
            ),
        }
        for place, name in enumerate(order)
    ]


def side_by_side(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """A row a run: what tells the final sets apart."""
    rows = []
    for name, report in reports.items():
        terms, false = report["sets"]["final"]["after"], report["false"]["sets"]["final"]["after"]
        counts = report["counts"]
        probe = report.get("probe", {}).get("sets", {}).get("final")
        rows.append(
            {
                "run": name,
                "decision": (report.get("decision") or {}).get("set") or "final, by default",
                "chosen": f"{counts['chosen']:,}",
                "short": f"{counts['short examples'] + counts['examples without a negative']:,}",
                "estimated": percent(false["estimated"]) if false["estimated"] else "",
                "judged": "" if false["judged"] is None else f"{false['judged']:.1%}",
                "probe": f"{probe['score']:.3f}" if probe else "",
                "hardness": f"{terms['hardness']:.3f}",
                "above": f"{terms['above_positive']:.1%}",
                "eci": f"{terms['eci_v1']:.3f} ({_between(terms['intervals']['eci_v1'])})",
                "sem": f"{terms['sem']['eci_sem']:.3f}" if terms["sem"] else "",
            }
        )
    return rows


def _between(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _counted(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {what}" if isinstance(count, int) else what for what, count in counts.items())
