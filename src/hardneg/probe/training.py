"""The probe's training: one map of queries and passages alike, fitted to a set of negatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How the probe is trained. The defaults are validated by docs/explanation/study.md: other ones are unproven."""

    rate: float = 1e-2
    """Adam's step at the start; it falls linearly to 0."""
    epochs: int = 3
    batch: int = 64
    """Queries in a step; the positives of the others are negatives too."""
    scale: float = 20.0
    """Cosines are multiplied by it: the inverse of the temperature."""
    shared: bool = True
    """Whether a query also sees the negatives of the batch's other queries, as in sentence-transformers'
    MultipleNegativesRankingLoss. Say False where the trainer shows a query its own only: the order changes."""
    repeats: int = 2
    """How often the queries are split anew and everything is trained again; scores are means."""

    def __post_init__(self) -> None:
        for name in ("rate", "epochs", "batch", "scale", "repeats"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be above 0, not {getattr(self, name)!r}")


@dataclass(frozen=True, eq=False)
class Negatives:
    """One set, ready to be trained on: ``vectors`` [u, d] of its distinct rows, which ``places`` [m] names, query by
    query; those of query i are places[offsets[i] : offsets[i + 1]]. ``rows`` [u]: their rows.
    """

    vectors: torch.Tensor
    rows: Ints
    places: Ints
    offsets: Ints

    def of(self, queries: Ints) -> tuple[Ints, Ints]:
        """The places of some queries' negatives, and whose each is: numbers within ``queries``."""
        begin, length = self.offsets[queries], self.offsets[queries + 1] - self.offsets[queries]
        owners = np.repeat(np.arange(len(queries)), length)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(length) - length, length)
        return self.places[np.repeat(begin, length) + within], owners


def apply(weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Unit vectors [n, d]: ``vectors`` [n, d] through ``weights`` [d, d]."""
    import torch

    return torch.nn.functional.normalize(vectors @ weights, dim=1)


def fit(
    queries: torch.Tensor,
    positives: torch.Tensor,
    rows: Ints,
    negatives: Negatives,
    train: Ints,
    recipe: Recipe,
    seed: list[int],
) -> Iterator[torch.Tensor]:
    """Trains, and gives the map [d, d] after each epoch; it starts as the identity.

    ``queries``, ``positives`` [n, d]: vectors of all queries and of their positives; ``rows`` [n]: the positives' rows;
    ``train``: which queries are trained on. Steps, and the queries of each, depend on ``train``, ``recipe`` and
    ``seed`` alone and not on the negatives, so that two sets are trained alike.
    """
    import torch

    weights = torch.nn.Parameter(torch.eye(queries.shape[1]))
    optimizer = torch.optim.Adam([weights], lr=recipe.rate)
    steps = batches(train, recipe, seed)
    for number, some in enumerate(steps):
        optimizer.param_groups[0]["lr"] = recipe.rate * (1 - number / len(steps))
        places, owners = negatives.of(some)
        distinct, inverse = np.unique(places, return_inverse=True)
        hidden = _hidden(rows[some], negatives.rows[places], owners, recipe)
        mapped = apply(weights, torch.cat([queries[some], positives[some], negatives.vectors[distinct]]))
        documents = torch.cat([mapped[len(some) : 2 * len(some)], mapped[2 * len(some) :][torch.from_numpy(inverse)]])
        logits = (recipe.scale * mapped[: len(some)] @ documents.T).masked_fill(torch.from_numpy(hidden), -torch.inf)
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(some)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (number + 1) % (len(steps) // recipe.epochs) == 0:
            yield weights.detach().clone()


def batches(train: Ints, recipe: Recipe, seed: list[int]) -> list[Ints]:
    """The queries of every step: each epoch goes through all in a new order; few queries make one smaller batch."""
    draws = np.random.default_rng(seed)
    size = min(recipe.batch, len(train))
    steps = len(train) // size
    epochs = (np.split(draws.permutation(train)[: steps * size], steps) for _ in range(recipe.epochs))
    return [some for epoch in epochs for some in epoch]


def _hidden(own: Ints, rows: Ints, owners: Ints, recipe: Recipe) -> NDArray[np.bool_]:
    """Bool [b, b + m]: what a query must not see as a negative: its own positive once more, and, where negatives are
    not shared, those of others.
    """
    count = len(own)
    hidden: NDArray[np.bool_] = own[:, None] == np.concatenate([own, rows])[None, :]
    hidden[np.arange(count), np.arange(count)] = False
    if not recipe.shared:
        hidden[:, count:] |= owners[None, :] != np.arange(count)[:, None]
    return hidden
