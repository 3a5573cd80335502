"""Does the interval of `hardneg review` cover, and how many judgments does it take: where the answers are known.

    python bench/review.py DATA [--draws 1000] [--model MODEL] [--cache FOLDER] [--json FILE]

DATA is a BEIR folder with judgments. Of every query's relevant passages one is known (`judged_data`); candidates come
from BM25 and the model; the judgments answer for the person who judges. Each draw is a review of 300 candidates that
is stopped after 15, 30, 60, 120, 200 and 300 answers. Its interval covers where the share of the whole set is inside.
Opponents on the same sets: a simple random sample with Wilson's interval (what one would do without probabilities),
and our sample with the usual normal interval of a stratified mean.

Three sets make it hard. `reversed`: the probabilities have the wrong order. `rare`: of the relevant ones in `kept` only
one in six is left. `sure of itself`: the probabilities below the likeliest 3 % are a thousandth of what they were.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from judged_data import grades_of, packaged_model, with_one_positive

from hardneg.arrays import Bool, Float64, Int64
from hardneg.cache.folders import Cache
from hardneg.data.batch import Batch
from hardneg.engines.local import Local
from hardneg.false_negatives import Share, estimate, sample
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Memory
from hardneg.readers.beir import BEIR
from hardneg.report.judgments import judged
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.selectors.top import Top

STOPS = (15, 30, 60, 120, 200, 300)
WANTED = 0.02
GOALS = {"BM25, 50 best": 0.04, "dense, 7 best": 0.06, "kept": 0.02, "final": 0.02}
"""Of sets: the half width at which somebody stops who looks at the interval while judging."""
SETS: Mapping[str, Callable[[Batch], Bool]] = {
    "BM25, 7 best": lambda b: (b.sources["bm25"].rank > 0) & (b.sources["bm25"].rank <= 7),
    "BM25, 50 best": lambda b: b.sources["bm25"].proposed,
    "dense, 7 best": lambda b: (b.sources["dense"].rank > 0) & (b.sources["dense"].rank <= 7),
    "dense, 50 best": lambda b: b.sources["dense"].proposed,
    "refused": lambda b: ~b.kept,
    "kept": lambda b: b.kept,
    "final": lambda b: b.chosen,
}
Known = tuple[Float64, Bool]
"""Of the members of a set: the estimated probability, and whether the judgments say relevant."""


def mined(data: Path, model: str, workspace: Path, cache: Path) -> Iterator[tuple[str, Known]]:
    """Every set."""
    grades, encoder = grades_of(data), Encoder(model=model)
    plan = Plan(
        reader=BEIR(path=with_one_positive(data, grades, workspace / "data")),
        generators={"bm25": BM25(depth=50), "dense": Dense(encoder=encoder, depth=50)},
        scorers={"target": BiEncoder(encoder=encoder), "doubt": FalseNegative(encoder=encoder)},
        filters={"safe": ECISafety(scorer="doubt", calibrated=0.03)},
        selector=Top(scorer="target", per_query=7),
        target="target",
        sem=False,
    )
    batches = list(Pipeline(plan, Memory(), Cache(cache), Local()).run().batches)
    for name, members in SETS.items():
        numbers = [np.flatnonzero(members(batch)) for batch in batches]
        p = [b.scores["doubt"].negatives[n].astype(np.float64) for b, n in zip(batches, numbers, strict=True)]
        labels = [judged(b, n, grades) for b, n in zip(batches, numbers, strict=True)]
        yield name, (np.concatenate(p), np.concatenate(labels))


def harder(sets: Mapping[str, Known]) -> Iterator[tuple[str, Known]]:
    """Sets with probabilities that mislead, and one with hardly any false negative."""
    p, labels = sets["BM25, 50 best"]
    order = np.argsort(p, kind="stable")
    wrong = np.empty(len(p))
    wrong[order] = p[order[::-1]]
    yield "BM25, 50 best, reversed", (wrong, labels)
    yield "BM25, 50 best, sure of itself", (np.where(p < np.quantile(p, 0.97), p / 1000, p), labels)
    p, labels = sets["kept"]
    yield "kept, rare", (p, labels & (np.cumsum(labels) % 6 == 0))


def normal(sizes: Int64, n: Float64, x: Float64) -> Share:
    """The usual interval of a stratified mean."""
    there = n > 0
    weight = sizes / sizes.sum()
    rate = np.divide(x, n, out=np.zeros(len(n)), where=there)
    left = (sizes - n) / np.maximum(sizes - 1, 1)
    value = float((weight * rate).sum())
    half = 1.96 * float(np.sqrt((weight**2 * rate * (1 - rate) / np.maximum(n - 1, 1) * left).sum()))
    return Share(value, value - half, value + half)


def intervals(known: Known, seed: int, stops: tuple[int, ...]) -> Iterator[tuple[str, int, Share]]:
    """One review, and one simple random sample, each stopped at every stop."""
    p, labels = known
    for name, of in (("ours", p), ("simple", np.zeros(len(p)))):
        drawn = sample(of, max(stops), seed)
        for stop in stops:
            strata, answers = drawn.strata[:stop], labels[drawn.members[:stop]]
            n = np.bincount(strata, minlength=len(drawn.sizes)).astype(np.float64)
            x = np.bincount(strata, weights=answers, minlength=len(drawn.sizes))
            yield name, stop, estimate(drawn.sizes, drawn.expected, n, x)
            if name == "ours":
                yield "normal", stop, normal(drawn.sizes, n, x)


def measured(name: str, known: Known, draws: int) -> Iterator[dict[str, Any]]:
    """A record a method and stop."""
    true = float(known[1].mean())
    found: dict[tuple[str, int], list[Share]] = {}
    for seed in range(draws):
        for method, stop, share in intervals(known, seed, STOPS):
            found.setdefault((method, stop), []).append(share)
    for (method, stop), shares in found.items():
        covered = sum(share.low <= true <= share.high for share in shares)
        sure = estimate([10**9], [0.0], [draws], [covered])
        yield {
            "set": name,
            "members": len(known[0]),
            "true": true,
            "method": method,
            "judgments": stop,
            "coverage": covered / draws,
            "coverage_low": sure.low,
            "coverage_high": sure.high,
            "half": float(np.mean([min(share.high, 1) - max(share.low, 0) for share in shares]) / 2),
            "bias": float(np.mean([share.value for share in shares]) - true),
        }


def stopped(known: Known, goal: float, draws: int = 300) -> tuple[float, float]:
    """Who looks every five answers, from the twentieth on, and stops once the interval is within +- ``goal``: how often
    that interval covers, and how many answers it takes on average.
    """
    p, labels = known
    covered, answers = [], []
    for seed in range(draws):
        drawn = sample(p, 500, seed)
        n, x = np.zeros((2, len(drawn.sizes)))
        for number, (stratum, member) in enumerate(zip(drawn.strata, drawn.members, strict=True), 1):
            n[stratum] += 1
            x[stratum] += labels[member]
            if number >= 20 and number % 5 == 0:
                share = estimate(drawn.sizes, drawn.expected, n, x)
                if share.high - share.low <= 2 * goal:
                    break
        share = estimate(drawn.sizes, drawn.expected, n, x)
        covered.append(share.low <= labels.mean() <= share.high)
        answers.append(n.sum())
    return float(np.mean(covered)), float(np.mean(answers))


def needed(known: Known, method: str) -> int | None:
    """How many judgments make the interval +- 2 points wide on average over 40 draws; None: more than there are."""
    low, high = 10, len(known[0])
    while low < high:
        middle = (low + high) // 2
        halves = [
            (share.high - share.low) / 2
            for seed in range(40)
            for name, _, share in intervals(known, seed, (middle,))
            if name == method
        ]
        low, high = (low, middle) if np.mean(halves) <= WANTED else (middle + 1, high)
    return low if low < len(known[0]) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--model", help="a sentence-transformers model; left out: all-MiniLM-L6-v2 from its package")
    parser.add_argument("--cache", type=Path, help="keep embeddings there")
    parser.add_argument("--json", type=Path, help="write the records there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hardneg-") as folder:
        workspace = Path(folder)
        model, cache = options.model or packaged_model(), options.cache or workspace / "cache"
        sets = dict(mined(options.data, model, workspace, cache))
    sets |= dict(harder(sets))
    records = [record for name, known in sets.items() for record in measured(name, known, options.draws)]
    wanted = {name: {method: needed(known, method) for method in ("ours", "simple")} for name, known in sets.items()}
    looked = {name: (goal, *stopped(sets[name], goal)) for name, goal in GOALS.items()}
    if options.json:
        options.json.write_text(json.dumps({"records": records, "needed": wanted, "stopped": looked}, indent=1) + "\n")
    print("| set | members | false, % | judgments | covers, % (95 %) | ± | simple covers | ± | normal covers |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    by = {(r["set"], r["judgments"], r["method"]): r for r in records}
    for name in sets:
        for stop in STOPS:
            ours, simple, usual = (by[name, stop, method] for method in ("ours", "simple", "normal"))
            covers = f"{ours['coverage']:.1%} ({ours['coverage_low']:.1%} to {ours['coverage_high']:.1%})"
            print(
                f"| {name} | {ours['members']:,} | {ours['true']:.1%} | {stop} | {covers} | {100 * ours['half']:.1f} | "
                f"{simple['coverage']:.1%} | {100 * simple['half']:.1f} | {usual['coverage']:.1%} |"
            )
    print("\n| set | judgments for ± 2 points | by a simple random sample |\n| --- | --- | --- |")
    for name, row in wanted.items():
        print(f"| {name} | {row['ours'] or 'more than there are'} | {row['simple'] or 'more than there are'} |")
    for name, (goal, cover, answers) in looked.items():
        print(f"{name}, stopped when within ± {100 * goal:.0f} points: covers {cover:.1%}, {answers:.0f} answers")
    for method in ("ours", "simple", "normal"):
        own = [r for r in records if r["method"] == method]
        cover = [r["coverage"] for r in own]
        print(
            f"{method}: mean coverage {np.mean(cover):.1%}, lowest {min(cover):.1%}, below 93 % in "
            f"{sum(c < 0.93 for c in cover)} of {len(cover)}, largest bias {max(abs(r['bias']) for r in own):.4f}"
        )


if __name__ == "__main__":
    main()
