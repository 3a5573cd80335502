"""Commands about judging by hand: review, judged."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hardneg.cli.command import command, named
from hardneg.cli.output import console, print_json
from hardneg.errors import JobError
from hardneg.report.visible import one_line

REVIEWS = "reviews"
"""The folder of a run in which its reviews are."""
SETS = ("final", "unfiltered", "kept", "refused")


def add(commands: Any) -> None:
    """Adds these commands."""
    review = command(
        commands,
        "review",
        "Write a page for judging candidates by hand. They are drawn so that the answers say how many of a set are "
        "false negatives.",
        _review,
    )
    review.add_argument(
        "of", type=named, metavar="RUN", help="the output folder of a finished run, or its job, or a URL of these"
    )
    review.add_argument("--count", type=int, default=200, help="how many candidates (200)")
    review.add_argument(
        "--set",
        choices=SETS,
        default="final",
        help="the set that the rate is about: the chosen negatives (final), the hardest candidates before filtering "
        "(unfiltered), or what the filters keep or refuse",
    )
    review.add_argument("--seed", type=int, default=0, help="another seed draws another sample (0)")
    review.add_argument("--annotator", default="", metavar="NAME", help="the name that the page begins with")
    review.add_argument(
        "--blind",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="leave out who found a candidate, its scores, and who refused it (yes)",
    )
    review.add_argument("--output", type=Path, metavar="FILE", help="the page (reviews/ID/review.html of the run)")
    judged = command(
        commands,
        "judged",
        "What people's answers say of a run: the rate of false negatives, which filters agree, and who disagrees.",
        _judged,
    )
    judged.add_argument(
        "of", type=named, metavar="RUN", help="the output folder of a finished run, or its job, or a URL of these"
    )
    judged.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="exports of the page: JSONL, BEIR TSV or TREC qrels"
    )


def _review(options: argparse.Namespace) -> None:
    from hardneg.files.durable import replacing
    from hardneg.job.named import job_of
    from hardneg.pages.review import pages
    from hardneg.report.review import drawn

    if options.count < 1:
        raise JobError(f"--count must be at least 1, not {options.count}")
    if options.seed < 0:
        raise JobError(f"--seed must be at least 0, not {options.seed}")
    job = job_of(options.of)
    plan = job.plan
    design, cases = drawn(
        job.finished().batches,
        options.set,
        options.count,
        options.seed,
        target=plan.target,
        per_query=plan.selector.per_query,
        estimator=plan.estimator,
    )
    own = design.write(job.output / REVIEWS)
    page = options.output or own / "review.html"
    written = []
    for name, content in pages(design, cases, page.stem, annotator=options.annotator, blind=options.blind):
        with replacing(page.with_name(name)) as file:
            file.write_bytes(content)
        written.append(page.with_name(name))
    if options.json:
        print_json({"review": design.id, "set": design.set, "drawn": len(cases), "pages": [str(f) for f in written]})
        return
    out = console()
    out.print(f"{len(cases):,} of {sum(design.sizes):,} candidates, review {design.id}")
    for file in written:
        out.print(f"open {file}")
    out.print(f"then: hardneg judged {options.of} FILE", style="dim")


def _judged(options: argparse.Namespace) -> None:
    from hardneg.data.answers import answers_of, by_pair
    from hardneg.filters.judged import Judged
    from hardneg.job.named import job_of
    from hardneg.report import agreement
    from hardneg.report.review import designs

    job = job_of(options.of)
    answers = answers_of(options.files)
    if not answers:
        raise JobError(f"{', '.join(map(str, options.files))}: there is no answer in it")
    known = designs(job.output / REVIEWS)
    repeats = frozenset(name for name, part in job.plan.filters.items() if isinstance(part, Judged))
    held = agreement.Agreement(by_pair(answers), job.plan.estimator, repeats)
    for batch in job.finished().batches:
        held.add(batch)
    unknown = sorted({a.review for a in answers if a.review} - {design.id for design in known})
    found = {
        "candidates": len(held.answers),
        "rates": agreement.rates(answers, known),
        "unknown_reviews": unknown,
        "annotators": agreement.annotators(answers),
        "kappa": agreement.kappas(answers),
        "conflicts": agreement.conflicts(answers),
        **held.report(),
    }
    if options.json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    out = console()
    for rate in found["rates"]:
        value, low, high = (100 * rate["rate"][name] for name in ("value", "low", "high"))
        out.print(
            f"false-negative rate of {rate['set']}: {value:.1f} % (95 % interval {low:.1f} to {high:.1f}) after "
            f"{rate['judged']} judgments; review {rate['review']}",
            style="bold",
        )
        if rate["unsure"]:
            least, most = (100 * rate[f"if {which} relevant"] for which in ("no unsure one is", "every unsure one is"))
            out.print(f"{rate['unsure']} unsure are left out; with none or all of them {least:.1f} % or {most:.1f} %")
    if not found["rates"]:
        out.print("no rate: these answers are not of a sample that `hardneg review` drew from this run", style="yellow")
    for review in found["unknown_reviews"]:
        out.print(f"review {one_line(review)} is not of this run, so its answers give no rate here", style="yellow")
    if found["found"] < found["candidates"]:
        out.print(f"{found['found']:,} of {found['candidates']:,} judged candidates are in the run now")
    out.print("")
    for row in found["annotators"]:
        pace = "" if row["seconds"] is None else f", {row['seconds']:.0f} s each (median)"
        counts = ", ".join(f"{row[name]:,} {name}" for name in ("relevant", "not relevant", "unsure"))
        out.print(f"{one_line(row['annotator'])}: {counts}{pace}")
    for row in found["kappa"]:
        if row["both"]:
            kappa = "not defined" if row["kappa"] is None else f"{row['kappa']:.2f}"
            names = one_line(" and ".join(row["annotators"]))
            out.print(f"{names}: {row['both']:,} in common, {row['agree']:.0%} alike, Cohen's kappa {kappa}")
    if found["conflicts"]:
        out.print("they differ on:")
    for row in found["conflicts"][:10]:
        said = ", ".join(f"{name}: {answer}" for name, answer in row["answers"].items())
        out.print(f"   query {one_line(row['query_id'])}, passage {one_line(row['passage_id'])}: {one_line(said)}")
    if (more := len(found["conflicts"]) - 10) > 0:
        out.print(f"   and {more:,} more (--json has all)")
    out.print("")
    rows = found["filters"]
    if rows and not any(row["relevant_refused"] + row["not_relevant_refused"] for row in rows.values()):
        out.print("no filter refused any of these; `hardneg review --set unfiltered` tells more about filters")
        rows = {}
    for name, row in rows.items():
        out.print(
            f"filter {one_line(name)} refused {row['relevant_refused']:,} of {row['relevant']:,} judged relevant and "
            f"{row['not_relevant_refused']:,} of {row['not_relevant']:,} judged not relevant"
        )
    _print_cases("judged relevant, and no filter refused it", found["relevant_but_kept"])
    _print_cases("judged not relevant, and refused", found["refused_but_not_relevant"])


def _print_cases(heading: str, cases: list[dict[str, Any]]) -> None:
    out = console()
    line: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
    if cases:
        out.print(f"\n{heading}:")
    for case in cases:
        sure = "" if case["probability"] is None else f" ({case['probability']:.1%} likely by the estimate)"
        by = f", by {one_line(', '.join(case['refused_by']))}" if case["refused_by"] else ""
        out.print(f"   query {one_line(case['query_id'])}: {one_line(case['query'])}", style="bold", **line)
        out.print(f"   {one_line(case['passage_id'])}{sure}{by}: {one_line(case['passage'])}", **line)
