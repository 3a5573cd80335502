"""What every threshold of a filter would leave, from stored scores: no model runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from hardneg import eci
from hardneg.arrays import Bool, Float32, Float64, Int64, offsets_of, owners_of
from hardneg.data.batch import Batch
from hardneg.errors import JobError
from hardneg.false_negatives import Level, judged_level
from hardneg.filters.eci_safety import ECISafety
from hardneg.protocols import Encoder
from hardneg.report.judgments import Grades, is_sample, judged
from hardneg.report.semantics import moments
from hardneg.report.tuning_chosen import COLUMNS, Chosen, chosen_of

POINTS = 41
USUAL = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5]
"""Probabilities that are always among the thresholds of `calibrated`."""
TRIPLES = 100_000
"""Triples that eci_sem is computed from at most, drawn by seed."""
RELEVANT = 2
"""The grade from which a language model's judgment counts as relevant, as in the filter `relevance`."""
LOOSER_IS_HIGHER = ("ceiling", "percentile", "calibrated")


@dataclass(frozen=True, slots=True)
class Shard:
    """What is kept of a batch: ``value`` [m]: the threshold that each candidate meets; ``score`` [m]: s(q, n) under the
    target; ``plus`` [n]; ``offsets`` [n + 1]; ``relevant`` and ``known`` [m]: judged relevant, and judged;
    ``probability`` [m]: of being relevant, 0 where the job has no such scorer.
    """

    value: Float32
    score: Float32
    plus: Float64
    offsets: Int64
    relevant: Bool
    known: Bool
    probability: Float32


@dataclass(frozen=True)
class Curves:
    """Threshold curves of one filter: everything by rising threshold, ``thresholds`` [t].

    ``means`` [t + 1, 7 + 3] are means over queries of what is kept, the last row without the filter: `eci.COLUMNS`, how
    many are judged relevant, how many are judged, and the sum of their values; ``resampled`` [resamples, t + 1, 10].
    """

    rule: eci.Rule
    current: float
    thresholds: Float64
    means: Float64
    resampled: Float64
    judged: bool
    sem: Float64 | None
    chosen: list[dict[str, Any]]
    """By threshold: `tuning_chosen.Chosen.rows`, what would be chosen by hardness alone and without going deeper."""
    estimated: bool
    """Whether false shares are known: from judgments, or from a scorer that gives probabilities."""
    level: Level | None = None
    """For `calibrated` with judgments: the level that they ask for."""

    def quantity(self, name: str, means: Float64 | None = None) -> Float64:
        """One of ``survival``, ``false_negatives``, ``found`` or a term of eci_v1, by threshold.

        ``survival``: the share of candidates kept; ``false_negatives``: the share of the kept that are judged relevant
        or, without judgments and for probabilities, their mean probability; ``found``: the share of the relevant ones
        that is refused.
        """
        everything = self.means if means is None else means
        of, whole = everything[..., :-1, :], everything[..., -1:, :]
        if name == "survival":
            return _ratio(of[..., 1], whole[..., 1])
        if name == "false_negatives":
            return _ratio(of[..., 7], of[..., 8]) if self.judged else _ratio(of[..., 9], of[..., 1])
        if name == "found":
            return 1 - _ratio(of[..., 7], whole[..., 7])
        return eci.terms_of(of[..., :7], undefined=np.nan if means is not None else 0.0)[name]

    @property
    def names(self) -> list[str]:
        """The quantities that there are."""
        known = ["survival", "above_positive", "hardness", "safety", "eci_v1"]
        if self.judged:
            known += ["false_negatives", "found"]
        elif self.rule == "calibrated":
            known += ["false_negatives"]
        return known

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per threshold: every quantity, its 95 % interval, and eci_sem."""
        found = {name: self.quantity(name) for name in self.names}
        edges = {name: eci.interval(self.quantity(name, self.resampled)) for name in self.names}
        out = []
        for place, threshold in enumerate(self.thresholds.tolist()):
            row: dict[str, Any] = {"threshold": threshold}
            for name in self.names:
                low, high = edges[name]
                row[name] = float(found[name][place])
                row[f"{name}_interval"] = [float(low[place]), float(high[place])]
            row["eci_sem"] = None if self.sem is None else float(self.sem[place])
            out.append(row | self.chosen[place])
        return out

    def decide(self, wanted: float) -> dict[str, Any]:
        """The loosest threshold whose chosen negatives are false at most to the share ``wanted``, with its row.

        Where none is, the threshold with the lowest share, and ``met`` is false. Raises `JobError` without estimates.
        """
        if not self.estimated:
            raise JobError("the job has neither judgments nor a scorer of kind `false_negative`; add one to be advised")
        rows = [row for row in self.rows() if row["empty"] < row["queries"]]
        met = [row for row in rows if row["chosen_false"] <= wanted]
        if not met:
            return min(rows, key=lambda row: row["chosen_false"]) | {"met": False}
        return (met[-1] if self.rule in LOOSER_IS_HIGHER else met[0]) | {"met": True}

    def suggest(self, name: str, wanted: float) -> dict[str, Any]:
        """The loosest threshold with at most ``wanted`` ``false_negatives``, or the strictest with at least ``wanted``
        ``survival``; with the quantity there, its interval, and the share of resamples in which it holds.

        Raises `JobError` when no threshold will do.
        """
        found, resampled = self.quantity(name), self.quantity(name, self.resampled)
        holds = found >= wanted if name == "survival" else found <= wanted
        nonempty = self.means[:-1, 1] > 0
        usable = np.flatnonzero(holds & nonempty)
        if not len(usable):
            if not nonempty.any():
                raise JobError(f"no threshold of `{self.rule}` keeps any candidate")
            best = found[nonempty].max() if name == "survival" else found[nonempty].min()
            raise JobError(f"no threshold of `{self.rule}` gives {name} of {wanted:g}; the nearest is {best:.4f}")
        loose_last = self.rule in LOOSER_IS_HIGHER
        want_loose = name != "survival"
        place = usable[-1] if loose_last == want_loose else usable[0]
        drawn = resampled[:, place][~np.isnan(resampled[:, place])]
        sure = drawn >= wanted if name == "survival" else drawn <= wanted
        low, high = eci.interval(resampled[:, place])
        return {
            "rule": self.rule,
            "threshold": float(self.thresholds[place]),
            name: float(found[place]),
            "interval": [float(low), float(high)],
            "sure": float(sure.mean()) if len(sure) else 0.0,
        }


def curves(
    batches: Iterable[Batch],
    judge: ECISafety,
    name: str,
    target: str,
    *,
    count: int,
    per_query: int,
    encoder: Encoder | None = None,
    estimator: str | None = None,
    relevant: Grades | None = None,
    opinion: str | None = None,
    told: Level | None = None,
    spread: float = 0.0,
    wanted_survival: float | None = None,
) -> Curves:
    """The curves of the filter ``judge``, called ``name``, over candidates that the other filters keep.

    ``count`` is the number of batches; ``per_query`` how many negatives are chosen; ``encoder`` the target's, for
    eci_sem; ``estimator`` the scorer that gives probabilities; ``relevant`` judgments; ``opinion`` a scorer of kind
    ``llm_judge``, whose grades take the place of judgments for the level alone; ``told`` the level that is in use;
    ``spread`` that of the ``estimator``; ``wanted_survival`` adds the threshold that leaves just that share. Controls
    are left out.
    """
    shards: list[Shard] = []
    sampled: list[tuple[Batch, Int64]] = []
    graded: list[Float64] = []
    for number, batch in enumerate(batches):
        shard, numbers = _shard(batch, judge, name, target, relevant, estimator)
        shards.append(shard)
        if told is not None and opinion is not None:
            graded.append(_graded_by(batch, judge, opinion))
        elif told is not None and relevant is not None:
            graded.append(_graded(batch, judge, relevant))
        if encoder is not None:
            drawn = np.random.default_rng([0, number]).permutation(len(numbers))[: max(TRIPLES // max(count, 1), 1)]
            sampled.append((batch, numbers[np.sort(drawn)]))
    if relevant is not None and not any(shard.relevant.any() for shard in shards):
        raise JobError("the judgments call none of these candidates relevant; are they of this collection?")
    values = np.concatenate([shard.value for shard in shards]) if shards else np.zeros(0, np.float32)
    if not len(values):
        raise JobError(f"filter `{name}` has no candidate to look at: the other filters drop all of them")
    grid = _grid(values, judge, wanted_survival)
    means, resampled = _accumulate(shards, grid, judge.rule)
    sem = None if encoder is None else _sem(sampled, judge, encoder, target, grid)
    return Curves(
        judge.rule,
        judge.threshold,
        grid,
        means,
        resampled,
        relevant is not None,
        sem,
        _chosen(shards, grid, judge.rule, per_query, spread).rows(judged=relevant is not None),
        relevant is not None or estimator is not None,
        _level(graded, told),
    )


def _shard(
    batch: Batch, judge: ECISafety, name: str, target: str, relevant: Grades | None, estimator: str | None
) -> tuple[Shard, Int64]:
    usable = batch.trainable
    for other, verdicts in batch.verdicts.items():
        if other != name:
            usable &= ~verdicts.dropped
    numbers = np.flatnonzero(usable)
    owners = batch.owners[numbers]
    value = _values(batch, judge)[numbers]
    plus = eci.reference(batch.scores[target].positives, batch.positive_owners, len(batch))
    labels = judged(batch, numbers, relevant or {})
    known = judged(batch, numbers, relevant or {}, -1) if is_sample(relevant) else np.ones(len(numbers), dtype=bool)
    offsets = offsets_of(np.bincount(owners, minlength=len(batch)))
    p = np.zeros(len(numbers), np.float32) if estimator is None else batch.scores[estimator].negatives[numbers]
    shard = Shard(value.astype(np.float32), batch.scores[target].negatives[numbers], plus, offsets, labels, known, p)
    return shard, numbers


def _values(batch: Batch, judge: ECISafety) -> Float64:
    scores = batch.scores[judge.scorer]
    plus = eci.reference(scores.positives, batch.positive_owners, len(batch), judge.reference)
    return eci.thresholds(scores.negatives, plus[batch.owners], judge.rule, judge.quantiles)


def _graded(batch: Batch, judge: ECISafety, relevant: Grades) -> Float64:
    """Float64 [2, k]: the probability and the label of all judged candidates, whatever other filters say of them.

    Judgments that are no sample speak of all candidates.
    """
    numbers = np.flatnonzero(batch.trainable)
    if is_sample(relevant):
        numbers = numbers[judged(batch, numbers, relevant, -1)]
    return np.stack([_values(batch, judge)[numbers], judged(batch, numbers, relevant).astype(np.float64)])


def _graded_by(batch: Batch, judge: ECISafety, opinion: str) -> Float64:
    """The same by the grades of a language model, as the filter `relevance` reads them."""
    grades = batch.scores[opinion].negatives
    numbers = np.flatnonzero(batch.trainable & (grades >= 0))
    return np.stack([_values(batch, judge)[numbers], (grades[numbers] >= RELEVANT).astype(np.float64)])


def _level(graded: list[Float64], told: Level | None) -> Level | None:
    if told is None or not graded:
        return None
    probability, labels = np.concatenate(graded, axis=1)
    return judged_level(told, probability, labels > 0) if len(labels) else None


def _grid(values: Float32, judge: ECISafety, survival: float | None) -> Float64:
    """`POINTS` thresholds that leave shares evenly apart, the current one, and the one of a wanted survival."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise JobError(f"no candidate has a finite `{judge.rule}`: the positives' scores are 0")
    spread = np.quantile(finite, np.linspace(0.005, 0.995, POINTS))
    extra = [judge.threshold]
    if survival is not None:
        kept_first = np.sort(values) if judge.rule in LOOSER_IS_HIGHER else -np.sort(-values)
        extra.append(float(kept_first[math.ceil(survival * len(values)) - 1]))
    if judge.rule == "percentile":  # above 1 it would keep what is above the positive
        spread = np.linspace(0, 1, POINTS)
    elif judge.rule == "relative":
        spread = np.clip(spread, 0, 0.999)
    elif judge.rule == "calibrated":
        extra += USUAL
    if judge.rule in ("percentile", "calibrated", "relative"):
        extra = np.clip(extra, 0, 0.999 if judge.rule == "relative" else 1).tolist()
    return np.unique(np.concatenate([spread, extra]))


def _accumulate(shards: list[Shard], grid: Float64, rule: eci.Rule) -> tuple[Float64, Float64]:
    """Means over queries by threshold, the last without the filter, and the same resampled."""
    total, queries = np.zeros((len(grid) + 1, 10)), 0
    resamples = eci.Resamples.of(np.zeros((0, *total.shape)))
    for number, shard in enumerate(shards):
        columns = _columns(shard, grid, rule)
        resamples += eci.Resamples.of(columns, batch=number)
        total += columns.sum(axis=0)
        queries += len(columns)
    return total / queries, resamples.means


def _chosen(shards: list[Shard], grid: Float64, rule: eci.Rule, per_query: int, spread: float) -> Chosen:
    """What would be chosen, by rising threshold."""
    total = Chosen(np.zeros((len(grid), len(COLUMNS))))
    for shard in shards:
        bins = _bins(shard.value, grid, rule)
        parts = (shard.score.astype(np.float64), shard.offsets, shard.probability.astype(np.float64))
        total += chosen_of(bins, len(grid), *parts, shard.relevant, shard.known, per_query, spread)
    return total if rule in LOOSER_IS_HIGHER else Chosen(total.sums[::-1])


def _columns(shard: Shard, grid: Float64, rule: eci.Rule) -> Float64:
    """Columns [n, t + 1, 10] of what each threshold keeps, the last without one: each candidate is counted once, in the
    bin of thresholds where it begins to be kept, and bins are summed up.
    """
    n, t = len(shard.plus), len(grid)
    owners = owners_of(shard.offsets)
    own = shard.plus[owners]
    near = eci.limits(shard.plus, "relative", eci.NEAR)[owners]
    score = shard.score.astype(np.float64)
    value = np.where(np.isfinite(shard.value), shard.value, 0.0)
    parts = [None, score, score >= own, score >= near, shard.relevant, shard.known, value]
    place = owners * (t + 1) + _bins(shard.value, grid, rule)
    sums = np.stack(
        [np.bincount(place, weights=part, minlength=n * (t + 1)).reshape(n, t + 1) for part in parts], axis=-1
    ).cumsum(axis=1)
    if rule not in LOOSER_IS_HIGHER:
        sums[:, :-1] = sums[:, -2::-1]
    count, score, above, near_above, relevant, known, value = np.moveaxis(sums, -1, 0)
    seven = eci.columns_of(shard.plus[:, None], count, score, above, near_above)
    return np.concatenate([seven, relevant[..., None], known[..., None], value[..., None]], axis=-1)


def _bins(values: Float32, grid: Float64, rule: eci.Rule) -> Int64:
    """Int64 [m]: how many of the thresholds, taken from the strictest on, do not keep each value yet."""
    thresholds = grid.astype(np.float32)
    if rule in LOOSER_IS_HIGHER:  # kept where threshold >= value, else where threshold <= value
        return np.searchsorted(thresholds, values, "left")
    return len(grid) - np.searchsorted(thresholds, values, "right")


def _sem(sampled: list[tuple[Batch, Int64]], judge: ECISafety, encoder: Encoder, target: str, grid: Float64) -> Float64:
    """Float64 [t]: eci_sem of what each threshold keeps, of the drawn triples."""
    by_bin = [eci.Moments() for _ in range(len(grid) + 1)]
    for batch, numbers in sampled:
        value = _values(batch, judge)[numbers].astype(np.float32)
        members = np.zeros((len(batch.rows), len(by_bin)), dtype=bool)
        members[numbers, _bins(value, grid, judge.rule)] = True
        for key, found in moments(batch, encoder, target, members).items():
            by_bin[key.index(1)] += found
    running = accumulate(by_bin[:-1])  # from the strictest threshold on
    out = np.array([kept.report().eci_sem for kept in running])
    return out if judge.rule in LOOSER_IS_HIGHER else out[::-1]


def _ratio(part: Float64, whole: Any) -> Float64:
    empty = np.full_like(part, np.nan) if part.ndim > 1 else np.zeros_like(part)  # resamples; the one value
    out: Float64 = np.divide(part, whole, out=empty, where=np.broadcast_to(whole, part.shape) > 0)
    return out
