"""Orders of preference that selectors share: by score, and by draws that do not depend on the batch."""

from __future__ import annotations

import hashlib

import numpy as np

from hardneg.arrays import Float64, Int64
from hardneg.data.batch import Batch


def uniform(batch: Batch, numbers: Int64, seed: int) -> Float64:
    """Float64 [len(numbers)] in [0, 1): a draw for each of these candidates, example after example.

    It depends on ``seed`` and the example's id alone.
    """
    out = np.empty(len(numbers))
    owners = batch.owners[numbers]
    for i in np.unique(owners):
        digest = hashlib.blake2b(f"{seed}\0{batch.ids[i]}".encode(), digest_size=8).digest()
        own = owners == i
        out[own] = np.random.default_rng(int.from_bytes(digest, "little")).random(int(own.sum()))
    return out


def by_score(batch: Batch, scorer: str) -> Int64:
    """The numbers of the candidates that may be chosen, example after example, highest score first."""
    numbers = np.flatnonzero(batch.kept & batch.trainable)
    ordered: Int64 = numbers[np.lexsort((numbers, -batch.scores[scorer].negatives[numbers], batch.owners[numbers]))]
    return ordered
