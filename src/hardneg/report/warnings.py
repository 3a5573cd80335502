"""What a reader of the numbers must know before believing them, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, islice, pairwise
from typing import Any

from hardneg.report.shortcut import ALARM

NAMED = 5
"""So many examples are named in a warning."""
ENOUGH = 0.95
"""An approximate search that finds less of what is near is warned of."""
SAME = 0.02
"""Values of eci_sem, or of ln det(I + M) and tr M, are taken for the same when they are this near, as a share."""
FEW = 1_000
"""Passages below which ranks among them say little."""


def warnings(report: Mapping[str, Any]) -> list[str]:
    """What is wrong with the sets or misleads in their scores."""
    return [*_warnings(report)]


def notes(report: Mapping[str, Any]) -> list[str]:
    """What the numbers do not decide: sources that cannot be told apart, and where the two metrics disagree."""
    if partly := [*_not_scored(report)]:  # sources after filtering are not to be compared then
        return [*_idle_determinant(report), *partly]
    return [*_ties(report), *_disagreements(report), *_idle_determinant(report)]


def _not_scored(report: Mapping[str, Any]) -> Iterator[str]:
    for name, dropped in report["dropped"].items():
        if unjudged := dropped.get("unjudged", 0):
            yield (
                f"filter `{name}` did not look at {unjudged:,} of {report['counts']['candidates']:,} candidates, since "
                "its scorer is `lazy`; the final set is the one of `lazy: false`, but what stands of sources after "
                "filtering is of the candidates alone that were looked at, and does not compare them"
            )


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    sets = report["sets"]
    for name, count in report["generated"].items():
        if not count:
            yield f"generator `{name}` proposed nothing; look at its file, depth or answers, or take it out"
    for file, count in report["read"]["bad_lines"].items():
        yield f"{count:,} lines of {file} cannot be used and are left out; bad_lines.jsonl has them with their reasons"
    if left_out := report["left_out"]:
        named = [f"`{name}` ({stage})" for name, stage in islice(left_out.items(), NAMED)]
        more = f" and {len(left_out) - NAMED:,} more" if len(left_out) > NAMED else ""
        yield (
            f"{len(left_out):,} examples are left out, since every process that worked on one was killed or ran out of "
            f"memory: {', '.join(named)}{more}; look at their texts"
        )
    if report["false"]["scorer"] is not None and report["read"]["passages"] < FEW:
        yield (
            f"the corpus has {report['read']['passages']:,} passages: ranks among so few say little about which "
            "negatives are false, and neither does the estimate; filter by a margin, or mine in a larger corpus"
        )
    for name, found in report["recall"].items():
        if found["value"] < ENOUGH:
            yield (
                f"the approximate search of `{name}` finds {found['value']:.1%} of the exact {found['depth']} nearest "
                f"passages; raise its `{found['key']}`, or search exactly"
            )
    yield from _easy_winners(report)
    for name in report.get("decision", {}).get("easier controls win", ()):
        yield (
            f"the probe finds the easy control `{name}` better than the set to train on: harder ones do not pay here; "
            "look at the false share and at the examples, and try a stricter filter"
        )
    for view, found in (report["shortcut"] or {}).items():
        if isinstance(found, dict) and found["auc"] > ALARM:
            yield (
                f"a simple classifier tells generated from mined negatives by their {view} "
                f"(AUC {found['auc']:.2f}, {_between(found['interval'])}): a retriever can learn that instead of "
                "relevance; rewrite mined passages, or mix the sources within every query"
            )
    if passed_over := report["counts"]["short with enough candidates"]:
        yield (
            f"{passed_over:,} examples are short although the filters left enough: `select` passed candidates over; "
            "raise or leave out its `reuse`, or widen its `window`"
        )
    empty = sets["final"]["after"]["without_negatives"]
    if empty:
        yield f"{empty} examples have no negative left; loosen a filter, raise `depth`, or add a generator"


def _easy_winners(report: Mapping[str, Any]) -> Iterator[str]:
    """Controls with a higher eci_v1 than a real source, at natural size or at equal size."""
    for control in report["controls"]:
        for moment in ("before", "after"):
            terms = {name: report["sets"][name][moment] for name in (control, *sources(report))}
            sizes = {"": {name: own["eci_v1"] for name, own in terms.items()}}
            for k in terms[control].get("at", {}):
                sizes[f" at {k} negatives"] = {name: own["at"][k]["eci_v1"] for name, own in terms.items()}
            for size, found in sizes.items():
                easy = found.pop(control)
                beaten = [f"`{n}` ({v:.2f})" for n, v in found.items() if easy > v and terms[n]["size"]]
                if beaten:
                    yield (
                        f"{moment} filtering{size}, the easy control `{control}` has a higher eci_v1 ({easy:.2f}) than "
                        f"{', '.join(beaten)}: eci_v1 falls once hardness passes half the positive's similarity, so it "
                        "does not rank these; compare the false share and hardness instead"
                    )
                    return


def sources(report: Mapping[str, Any]) -> list[str]:
    """The generators that are trained on."""
    skipped = {"final", *report["controls"], *report["hybrids"]}
    return [name for name in report["sets"] if name not in skipped]


def _ties(report: Mapping[str, Any]) -> Iterator[str]:
    """Neighbours in the ranking of the sources whose paired difference may be 0."""
    after = {name: report["sets"][name]["after"]["eci_v1"] for name in sources(report)}
    ranked = sorted(after, key=lambda name: -after[name])
    for one, other in pairwise(ranked):
        low, high = _difference(report, one, other)
        if low <= 0 <= high:
            yield (
                f"after filtering, `{one}` and `{other}` cannot be told apart by eci_v1: "
                f"the difference is {after[one] - after[other]:.3f}, {_between((low, high))}"
            )


def _difference(report: Mapping[str, Any], one: str, other: str) -> tuple[float, float]:
    """The interval of the first's eci_v1 less the second's."""
    for pair in report["differences"]:
        low, high = pair["interval"]
        if pair["sets"] == [one, other]:
            return low, high
        if pair["sets"] == [other, one]:
            return -high, -low
    raise KeyError((one, other))


def _disagreements(report: Mapping[str, Any]) -> Iterator[str]:
    """Pairs of sources that eci_v1 tells apart and eci_sem ranks the other way round."""
    after = {name: moments["after"] for name, moments in report["sets"].items()}
    scored = [name for name in sources(report) if after[name]["sem"]]
    for one, other in combinations(scored, 2):
        low, high = _difference(report, one, other)
        first, second = (one, other) if low > 0 else (other, one)
        sem = {name: after[name]["sem"] for name in (first, second)}
        if (low > 0 or high < 0) and sem[second]["eci_sem"] > sem[first]["eci_sem"] * (1 + SAME):
            yield (
                f"eci_v1 prefers `{first}` ({after[first]['eci_v1']:.2f} against {after[second]['eci_v1']:.2f}, "
                f"safety {after[first]['safety']:.2f} against {after[second]['safety']:.2f}), eci_sem prefers "
                f"`{second}` ({sem[second]['eci_sem']:.3f} against {sem[first]['eci_sem']:.3f}, "
                f"locality {sem[second]['locality']:.2f} against {sem[first]['locality']:.2f})"
            )


def _idle_determinant(report: Mapping[str, Any]) -> Iterator[str]:
    """Where the log-determinant of eci_sem adds nothing to the mean weight of the triples, in every set."""
    found = [moments["before"]["sem"] for moments in report["sets"].values() if moments["before"]["sem"]]
    if found and all(abs(sem["trace"] - sem["eci_sem"]) <= SAME * sem["trace"] for sem in found):
        yield (
            "eci_sem is within 2 % of its trace in every set: it is the mean weight of the triples here, and says "
            "nothing about the diversity of the negatives"
        )


def _between(interval: Any) -> str:
    return f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
