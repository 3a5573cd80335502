"""What every threshold would leave to train on: the hardest kept candidates of each query, counted and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Float64, Int64, offsets_of, owners_of, places_of
from hardneg.false_negatives.share import NORMAL_95

COLUMNS = ("queries", "short", "empty", "chosen", "hardness", "probability", "relevant", "known", "low", "high")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Sums [t, 10] of `COLUMNS` by threshold. Those of several shards add up."""

    sums: Float64

    def __add__(self, other: Chosen) -> Chosen:
        return Chosen(self.sums + other.sums)

    def rows(self, *, judged: bool) -> list[dict[str, Any]]:
        """One mapping per threshold: queries short and empty, the hardness of the chosen, and their false share.

        The share is of the judged ones where there are judgments, else the mean probability with its 95 % interval.
        """
        out = []
        for queries, short, empty, chosen, hardness, probability, relevant, known, low, high in self.sums.tolist():
            part, whole = (relevant, known) if judged else (probability, chosen)
            out.append(
                {
                    "queries": queries,
                    "short": short,
                    "empty": empty,
                    "chosen_hardness": hardness / max(chosen, 1),
                    "chosen_false": part / max(whole, 1),
                    "chosen_judged": known / max(chosen, 1) if judged else 0.0,
                    "chosen_false_interval": None if judged else [low / max(chosen, 1), high / max(chosen, 1)],
                }
            )
        return out


def chosen_of(
    bins: Int64,
    thresholds: int,
    score: Float64,
    offsets: Int64,
    probability: Float64,
    relevant: Bool,
    known: Bool,
    per_query: int,
    spread: float,
) -> Chosen:
    """One shard: ``bins`` [m]: how many thresholds, from the strictest on, do not keep each candidate yet. ``spread``:
    the standard deviation of the level of the probabilities, which all log odds have in common.
    """
    owners = owners_of(offsets)
    order = np.lexsort((-score, owners))
    n = len(offsets) - 1
    low, high = (_shifted(probability, sign * NORMAL_95 * spread) for sign in (-1, 1))
    sums = np.zeros((thresholds, len(COLUMNS)))
    for threshold in range(thresholds):
        kept = order[bins[order] <= threshold]
        counts = np.bincount(owners[kept], minlength=n)
        chosen = kept[places_of(offsets_of(counts)) < per_query]
        sums[threshold] = [
            n,
            (counts < per_query).sum(),
            (counts == 0).sum(),
            len(chosen),
            score[chosen].sum(),
            probability[chosen].sum(),
            relevant[chosen].sum(),
            known[chosen].sum(),
            low[chosen].sum(),
            high[chosen].sum(),
        ]
    return Chosen(sums)


def _shifted(probability: Float64, shift: float) -> Float64:
    """Probabilities with ``shift`` added to their log odds."""
    odds: Float64 = probability * np.exp(shift)
    return odds / (1 - probability + odds)
