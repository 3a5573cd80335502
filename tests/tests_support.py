"""What several test modules need."""

import itertools

import numpy as np

from hardneg.batch import Batch, merge
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.scorers.bi_encoder import BiEncoder


def margin_that_leaves_a_short_set(batch: Batch, model: str) -> float:
    """A margin from the smallest positive score under which some example has fewer than two candidates
    left and some other has two, and which no score meets exactly."""
    encoder = Encoder(model=model)
    full = merge(batch, {"dense": Dense(encoder=encoder, depth=7).generate(batch)})
    scores = BiEncoder(encoder=encoder).score(full)
    lowest = np.full(len(batch), np.inf)
    np.minimum.at(lowest, batch.positive_owners, scores.positives.astype(np.float64))
    margins = np.sort(lowest[full.owners] - scores.negatives)
    for low, high in itertools.pairwise(margins):
        middle = (low + high) / 2
        left = np.bincount(full.owners[lowest[full.owners] - scores.negatives >= middle], minlength=len(batch))
        if left.min() < 2 <= left.max() and high - low > 1e-4:
            return float(middle)
    raise AssertionError("no margin leaves a short set")
