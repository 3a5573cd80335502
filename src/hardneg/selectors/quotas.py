"""How places are given out, whatever the order of preference: places kept for a generator, and a cap on reuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np

from hardneg.arrays import Int64, among_first, offsets_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Selection
from hardneg.errors import PartError


def check(per_query: int, quota: Mapping[str, int]) -> None:
    """Raises `PartError` for places that cannot be given out."""
    if sum(quota.values()) > per_query:
        raise PartError(
            f"`quota` keeps {sum(quota.values())} places of `per_query` {per_query}; it may keep that many at most"
        )


class Places(Protocol):
    """The fields by which a selector gives out places."""

    @property
    def per_query(self) -> int: ...
    @property
    def quota(self) -> Mapping[str, int]: ...
    @property
    def reuse(self) -> int | None: ...


def selections(places: Places, batches: Iterable[Batch], order: Callable[[Batch], Int64]) -> Iterator[Selection]:
    """One selection per batch, by the ``order`` of preference of its candidates. Reuse is counted over all of them."""
    uses: Counter[object] = Counter()
    for batch in batches:
        yield give(batch, order(batch), places.per_query, places.quota, places.reuse, uses)


def give(
    batch: Batch, order: Int64, per_query: int, quota: Mapping[str, int], reuse: int | None, uses: Counter[object]
) -> Selection:
    """The first ``per_query`` of each example's candidates in ``order`` (numbers, example after example).

    ``quota`` keeps so many places for a generator's candidates, given out first, in ``order`` too; generators are
    served in the order of their names, and places that one cannot fill are open to all. A passage that was chosen
    ``reuse`` times in the job (``uses`` counts) is passed over. An example with too few candidates keeps those that it
    has. The result is in ``order``.
    """
    if not quota and reuse is None:
        chosen = order[among_first(batch.owners[order], len(batch), per_query)]
        return Selection(offsets_of(np.bincount(batch.owners[chosen], minlength=len(batch))), chosen)
    bounds = offsets_of(np.bincount(batch.owners[order], minlength=len(batch)))
    hashes = batch.hashes()
    lists: list[list[int]] = []
    for i in range(len(batch)):
        own = [int(j) for j in order[bounds[i] : bounds[i + 1]]]
        if reuse is not None:
            own = [j for j in own if uses[hashes[j]] < reuse]
        taken: set[int] = set()
        for generator, places in sorted(quota.items()):
            proposed = batch.sources[generator].proposed
            taken.update([j for j in own if proposed[j] and j not in taken][:places])
        taken.update([j for j in own if j not in taken][: per_query - len(taken)])
        lists.append([j for j in own if j in taken])
        uses.update(hashes[j] for j in lists[-1])
    return Selection(offsets_of([len(chosen) for chosen in lists]), np.array([j for c in lists for j in c], np.int64))
