"""The report as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hardneg.report.first_lines import first_lines, percent
from hardneg.report.views import MOMENTS


def summary(report: Mapping[str, Any]) -> RenderableType:
    """What a run found: the first lines, the sources, counts, warnings."""
    return Group(
        *(Text(line, style="bold") for line in first_lines(report)),
        Text(),
        sets(report),
        *map(Text, METRICS),
        Text(),
        counts(report),
        *map(Text, written(report)),
        *(Text(f"warning: {warning}", style="yellow") for warning in report["warnings"]),
        *(Text(f"note: {note}") for note in report["notes"]),
    )


METRICS = (
    "above s+: share of negatives that the target encoder holds for a better answer than the positive.",
    "eci_v1 falls once negatives are harder than half the positive's similarity, so it does not tell which set trains "
    "best; eci_sem has no term for size or for false negatives.",
)


def sets(report: Mapping[str, Any], *, title: str | None = None) -> Table:
    """A line per set and moment, unions left out."""
    sizes = sorted({int(k) for moments in report["sets"].values() for m in moments.values() for k in m.get("at", {})})
    shares = report["false"]["sets"]
    judged = any(share["judged"] is not None for moments in shares.values() for share in moments.values())
    table = Table(title=title or f"similarities of scorer `{report['scorer']}`", title_justify="left")
    table.add_column("set")
    probed = report.get("probe", {}).get("sets", {})
    headings = [
        "",
        *(["probe"] if probed else []),
        "size",
        "false, estimated",
        *(["false, judged"] if judged else []),
        "hardness",
        "above s+",
        "eci_v1",
    ]
    for heading in (*headings, *(f"@{k}" for k in sizes), "eci_sem"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, moments in report["sets"].items():
        if name in report["hybrids"]:
            continue
        control = " (control)" if name in report["controls"] else ""
        for moment in MOMENTS:
            terms, false = moments[moment], shares[name][moment]
            low, high = terms["intervals"]["eci_v1"]
            cells = [
                "all candidates" if (name, moment) == ("final", "before") else moment,
                *([f"{probed[name]['score']:.3f}" if moment == "after" else ""] if probed else []),
                f"{terms['size']:.1f}",
                percent(false["estimated"]) if false["estimated"] else "",
                *([f"{false['judged']:.1%}"] if judged else []),
                f"{terms['hardness']:.3f}",
                f"{terms['above_positive']:.1%}",
                f"{terms['eci_v1']:.3f} ±{(high - low) / 2:.3f}",
                *(f"{terms['at'][str(k)]['eci_v1']:.3f}" for k in sizes),
                f"{terms['sem']['eci_sem']:.3f}" if terms["sem"] else "",
            ]
            label = name + control if moment == "before" else ""
            style = "bold" if name == "final" and moment == "after" else None
            table.add_row(label, *cells, style=style, end_section=moment == "after")
    return table


def written(report: Mapping[str, Any]) -> Iterator[str]:
    """What language models cost, what survived of each round, how a judge and a safety filter agree; a line each."""
    for stage, spent in report["usage"].items():
        money = f", {spent['cost']:.2f} in money" if spent["cost"] else ""
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in spent["again"].items())
        again = f"; sent again: {reasons}" if reasons else ""
        yield (
            f"{stage}: {spent['requests']:,} requests, {spent['prompt_tokens']:,} tokens read, "
            f"{spent['completion_tokens']:,} written{money}{again}"
        )
    for name, rounds in report["rounds"].items():
        parts = [f"round {r['round']}: {r['kept']:,} of {r['written']:,} kept, {r['chosen']:,} chosen" for r in rounds]
        yield f"{name}: {'; '.join(parts)}"
    for pair in report["judges"]:
        yield (
            f"{pair['judge']} and {pair['safety']}: of {pair['graded']:,} graded both refuse {pair['both refuse']:,}, "
            f"only {pair['judge']} {pair['only the judge']:,}, only {pair['safety']} {pair['only the safety']:,}"
        )
    for judge, found in report["addressing"].items():
        if found["addressing"]:
            yield (
                f"{judge}: {found['addressing']:,} of {found['graded']:,} graded texts address the judge, who called "
                f"{found['called relevant']:,} of them relevant; none of them is made a positive"
            )


def counts(report: Mapping[str, Any]) -> Table:
    """How many there were, stage by stage."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(justify="right", style="bold")
    table.add_column()
    read, found = report["read"], report["counts"]
    table.add_row(f"{read['passages']:,}", "passages")
    table.add_row(f"{read['examples']:,}", f"examples with {found['positives']:,} positives")
    if read["equal_queries"]:
        table.add_row(f"{read['equal_queries']:,}", "of them with positives that their query has under another id only")
    for reason, count in read["skipped"].items():
        table.add_row(f"{count:,}", f"left out: {reason}")
    for name, count in report["generated"].items():
        table.add_row(f"{count:,}", f"candidates of `{name}`")
    table.add_row(f"{found['candidates']:,}", "candidates together, controls left out")
    for name, dropped in report["dropped"].items():
        rules = ", ".join(f"{rule} {count:,}" for rule, count in dropped["rules"].items())
        table.add_row(
            f"{dropped['all']:,}",
            f"dropped by `{name}`, {dropped['first']:,} of them first" + (f" ({rules})" if rules else ""),
        )
        if unjudged := dropped.get("unjudged", 0):
            table.add_row(f"{unjudged:,}", f"not scored for `{name}`, as they were not needed")
    table.add_row(f"{found['kept']:,}", "kept")
    short = found["short examples"] + found["examples without a negative"]
    table.add_row(
        f"{found['chosen']:,}",
        f"negatives chosen; {short:,} examples got fewer than wanted, {found['examples without a negative']:,} none",
    )
    return table
