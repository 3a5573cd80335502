"""Which candidates become negatives: the window of ranks, the limits on scores, the draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hardneg import eci
from hardneg.arrays import Float32, Float64, Int64
from hardneg.compat.search import gpus

FAISS_ON_GPU = 2_048
"""Documents that faiss can retrieve for a query on a GPU."""


RULES: Mapping[str, eci.Rule] = {"absolute_margin": "margin", "relative_margin": "relative", "max_score": "ceiling"}


def window(
    count: int, low: int, high: int | None, most: int, say: Callable[..., None], *, wide: bool, use_faiss: bool
) -> int:
    """``range_max``: as given, or wide enough for what filters may remove."""
    if count < 1:
        raise ValueError(f"num_negatives must be at least 1, got num_negatives={count}.")
    note = ""
    if high is None:
        high = low + (count * 10 if wide else count) + most
        if use_faiss and high + most > FAISS_ON_GPU and gpus():
            high = FAISS_ON_GPU - most
            note = (
                f" Note that range_max was capped to {high} because FAISS on GPU retrieves {FAISS_ON_GPU} documents a "
                "query at most, positives included; use_faiss=False has no such limit and needs more memory."
            )
        say(f"Setting range_max to {high} based on the provided parameters.{note}")
    if low < 0:
        raise ValueError(f"range_min must be non-negative, got range_min={low}.")
    if low >= high:
        raise ValueError(f"range_min must be smaller than range_max, got range_min={low} and range_max={high}.{note}")
    if count > high - low:
        raise ValueError(
            f"Cannot mine {count} negatives per query: only {high - low} candidates remain after skipping the first "
            f"range_min={low} of range_max={high}. Decrease num_negatives or range_min, or increase range_max.{note}"
        )
    return high


def filtered(scores: Float32, reference: Float64, limits: Mapping[str, float | None]) -> dict[str, tuple[int, float]]:
    """Sets what a limit removes to -inf; how many each one removed that was still there, and their share."""
    left, counts = scores.size, {}
    for name, limit in limits.items():
        if limit is None:
            continue
        there = np.isfinite(scores)
        gone = there.copy()
        if name == "min_score":
            gone &= scores < limit
        else:
            owners = np.nonzero(there)[0]
            every = np.arange(len(reference))
            found = eci.judge(
                RULES[name], limit, reference, every, scores[there], owners, len(every), precision=np.float32
            )
            gone[there] = ~found.keep
        scores[gone] = -np.inf
        if gone.any():
            counts[name] = (int(gone.sum()), float(gone.sum() / left))
            left -= int(gone.sum())
    return counts


def picked(
    rows: Int64, scores: Float32, low: int, high: int, count: int, strategy: str, seed: int
) -> tuple[Int64, Float32]:
    """The chosen candidates [n, count], best first; a score of -inf means that there is none."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, low:high]
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    if strategy == "random":
        options = np.maximum(np.isfinite(scores).sum(axis=1), count)
        draws = [
            np.sort(np.random.default_rng([seed, i]).choice(n, count, replace=False)) for i, n in enumerate(options)
        ]
        chosen = np.stack(draws)
        return np.take_along_axis(rows, chosen, axis=1), np.take_along_axis(scores, chosen, axis=1)
    return rows[:, :count], scores[:, :count]
