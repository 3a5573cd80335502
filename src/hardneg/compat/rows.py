"""The rows of the result in each layout, and the statistics over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardneg.arrays import Float32, Int64, span
from hardneg.compat.pairs import Pairs

FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


@dataclass(frozen=True)
class Statistics:
    """What is printed with ``verbose``. Scores are of every (query, positive), of every exported negative, and the
    differences of the two.
    """

    positives: Float32 = field(repr=False)
    negatives: Float32 = field(repr=False)
    differences: Float32 = field(repr=False)
    skipped: Mapping[str, tuple[int, float]]
    """By filter: how many candidates it removed, and their share of those that were left."""
    missing: int
    """Rows that could not be made, and what a full set would have."""
    possible: int
    range_max: int


def rows_of(
    pairs: Pairs, rows: Int64, scores: Float32, own: Float32, layout: str, names: tuple[str, str], *, scored: bool
) -> tuple[dict[str, list[Any]], int]:
    """The columns of the data set, and how many rows a full one would have."""
    anchor, positive = names
    there = np.isfinite(scores)
    texts = pairs.corpus
    n, count = rows.shape
    everyone = list(zip(pairs.owners.tolist(), pairs.positives.tolist(), own.tolist(), strict=True))

    def negatives(i: int) -> list[tuple[str, float]]:
        return [(texts[rows[i, k]], float(scores[i, k])) for k in range(count) if there[i, k]]

    if layout == "triplet":
        triples = [(i, p, s, text, score) for i, p, s in everyone for text, score in negatives(i)]
        table: dict[str, list[Any]] = {
            anchor: [pairs.queries[i] for i, *_ in triples],
            positive: [texts[p] for _, p, *_ in triples],
            "negative": [text for *_, text, _ in triples],
        }
        if scored:
            table["scores"] = [[s, score] for _, _, s, _, score in triples]
        return table, len(everyone) * count
    if layout == "labeled-pair":
        labelled = []
        for i in range(n):
            labelled += [(i, texts[p], s, 1) for _, p, s in everyone[span(pairs.offsets, i)]]
            labelled += [(i, text, score, 0) for text, score in negatives(i)]
        table = {
            anchor: [pairs.queries[i] for i, *_ in labelled],
            positive: [text for _, text, *_ in labelled],
            "score" if scored else "label": [entry[2 if scored else 3] for entry in labelled],
        }
        return table, len(everyone) + n * count
    wanted = count if layout == "n-tuple" else 1
    full = [(i, p, s, found) for i, p, s in everyone if len(found := negatives(i)) >= wanted]
    table = {anchor: [pairs.queries[i] for i, *_ in full]}
    if layout == "n-tuple":
        table[positive] = [texts[p] for _, p, *_ in full]
        for k in range(count):
            table[f"negative_{k + 1}"] = [found[k][0] for *_, found in full]
    else:
        table[positive] = [[texts[p], *(text for text, _ in found)] for _, p, _, found in full]
    if scored:
        table["scores"] = [[s, *(score for _, score in found)] for _, _, s, found in full]
    elif layout == "labeled-list":
        table["labels"] = [[1] + [0] * len(found) for *_, found in full]
    return table, len(everyone)


def statistics_of(
    pairs: Pairs,
    scores: Float32,
    own: Float32,
    layout: str,
    skipped: Mapping[str, tuple[int, float]],
    made: int,
    possible: int,
    range_max: int,
) -> Statistics:
    per_positive = scores[pairs.owners]
    keep = np.isfinite(per_positive)
    if layout == "n-tuple":
        keep &= keep.all(axis=1, keepdims=True)
    negatives = per_positive[keep]
    differences = np.repeat(own[:, None], scores.shape[1], axis=1)[keep] - negatives
    return Statistics(own, negatives, differences, skipped, max(possible - made, 0), possible, range_max)


def print_statistics(found: Statistics, limits: Mapping[str, float | None], range_min: int) -> None:
    columns = (found.positives, found.negatives, found.differences)
    line = "{:<6} {:>14} {:>14} {:>14}"
    print(line.format("Metric", "Positive", "Negative", "Difference"))
    print(line.format("Count", f"{len(found.positives):,}", f"{len(found.negatives):,}", ""))
    measures: dict[str, Callable[[Float32], Any]] = {
        "Mean": np.mean,
        "Median": np.median,
        "Std": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
        "Min": np.min,
        "25%": lambda values: np.quantile(values, 0.25),
        "50%": np.median,
        "75%": lambda values: np.quantile(values, 0.75),
        "Max": np.max,
    }
    for name, measure in measures.items():
        print(line.format(name, *(f"{measure(values):.4f}" if len(values) else "nan" for values in columns)))
    for name, (count, share) in found.skipped.items():
        print(f"Skipped {count:,} potential negatives ({share:.2%}) due to the {name} of {limits[name]}.")
    if found.missing:
        given = [n for n in ("absolute_margin", "relative_margin", "max_score") if limits[n] is not None]
        names = ["range_max", *(["range_min"] if range_min else []), *given]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        print(
            f"Could not find enough negatives for {found.missing} samples ({found.missing / found.possible:.2%})."
            f" Consider adjusting the {listed} parameter{'s' * (len(names) > 1)} if you'd like to find more."
        )
