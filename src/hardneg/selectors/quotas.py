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


class Uses:
    """How often each text was chosen: 4 bytes a passage of the corpus, and an entry for each new text that was."""

    def __init__(self) -> None:
        self._passages = np.zeros(0, np.int32)
        self._new: Counter[int] = Counter()

    def keys(self, batch: Batch) -> list[int]:
        """A number for each candidate, the same for those whose texts count as the same; negative for a new text."""
        hashes, count = batch.hashes(), len(batch.corpus)
        if len(self._passages) != count:
            self._passages = np.zeros(count, np.int32)
        places = batch.corpus.places(hashes)
        known = batch.rows >= 0
        if not known.all():
            known = batch.corpus.with_hashes(hashes) >= 0
        return [p if k else ~int(h) for p, k, h in zip(places.tolist(), known.tolist(), hashes, strict=True)]

    def of(self, key: int) -> int:
        """How often it was chosen so far."""
        return int(self._passages[key]) if key >= 0 else self._new[key]

    def add(self, key: int) -> None:
        """One more."""
        if key >= 0:
            self._passages[key] += 1
        else:
            self._new[key] += 1


def selections(places: Places, batches: Iterable[Batch], order: Callable[[Batch], Int64]) -> Iterator[Selection]:
    """One selection per batch, by the ``order`` of preference of its candidates. Reuse is counted over all of them."""
    uses = Uses()
    for batch in batches:
        yield give(batch, order(batch), places.per_query, places.quota, places.reuse, uses)


def give(
    batch: Batch, order: Int64, per_query: int, quota: Mapping[str, int], reuse: int | None, uses: Uses
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
    keys = uses.keys(batch) if reuse is not None else []
    lists: list[list[int]] = []
    for i in range(len(batch)):
        own = [int(j) for j in order[bounds[i] : bounds[i + 1]]]
        if reuse is not None:
            own = [j for j in own if uses.of(keys[j]) < reuse]
        taken: set[int] = set()
        for generator, places in sorted(quota.items()):
            proposed = batch.sources[generator].proposed
            taken.update([j for j in own if proposed[j] and j not in taken][:places])
        taken.update([j for j in own if j not in taken][: per_query - len(taken)])
        lists.append([j for j in own if j in taken])
        for j in lists[-1] if reuse is not None else ():
            uses.add(keys[j])
    return Selection(offsets_of([len(chosen) for chosen in lists]), np.array([j for c in lists for j in c], np.int64))
