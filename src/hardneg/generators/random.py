"""Random passages: the easy control beside which every other source is to be read."""

from __future__ import annotations

import hashlib

import numpy as np

from hardneg.arrays import offsets_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.kinds import part


@part
class Random:
    """Passages drawn without replacement from the whole corpus, each example by a generator of its own.

    The draw depends on ``seed`` and the example's id alone: not on the other examples, nor on how a job is split.
    """

    depth: Count = 50
    seed: int = 0

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, in random order; the score is 0."""
        offsets, barred = batch.barred()
        rows = []
        for i, identifier in enumerate(batch.ids):
            digest = hashlib.blake2b(f"{self.seed}\0{identifier}".encode(), digest_size=8).digest()
            out = barred[offsets[i] : offsets[i + 1]]
            wanted = min(self.depth + len(out), len(batch.corpus))
            draw = np.random.default_rng(int.from_bytes(digest, "little")).choice(
                len(batch.corpus), wanted, replace=False
            )
            rows.append(draw[~np.isin(draw, out)][: self.depth])
        flat = np.concatenate([np.zeros(0, np.int64), *rows])
        return Candidates(offsets_of([len(row) for row in rows]), flat, np.zeros(len(flat), np.float32))
