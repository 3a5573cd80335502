"""The sets that a report is about, and which candidates of a batch are in each: before filtering and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardneg import eci
from hardneg.arrays import Bool
from hardneg.data.batch import Batch

MOMENTS = ("before", "after")
COMBINED = 6
"""Unions are scored of so many sources at most: of more there would be hundreds."""


@dataclass(frozen=True, slots=True)
class Views:
    """``generators``: all of the job, in its order; ``controls``: those that are never trained on."""

    generators: tuple[str, ...]
    controls: frozenset[str] = frozenset()

    @property
    def trained(self) -> tuple[str, ...]:
        """The generators that are no control."""
        return tuple(name for name in self.generators if name not in self.controls)

    @property
    def unions(self) -> list[tuple[str, ...]]:
        """Every union of two or more generators that are trained on. None when there are too many."""
        if len(self.trained) > COMBINED:
            return []
        return [tuple(self.trained[i] for i in u) for u in eci.unions(len(self.trained)) if len(u) > 1]

    @property
    def hybrids(self) -> list[str]:
        """The names of the unions."""
        return [" + ".join(union) for union in self.unions]

    @property
    def names(self) -> list[str]:
        """The sets: ``final``, every generator, every union."""
        return ["final", *self.generators, *self.hybrids]

    @property
    def views(self) -> list[tuple[str, str]]:
        """Set and moment of every column of `members`."""
        return [(name, moment) for name in self.names for moment in MOMENTS]

    def members(self, batch: Batch) -> Bool:
        """Bool [m, views]: which candidates are in which set at which moment. The final set before: all trainable."""
        kept, chosen = batch.kept, batch.chosen
        proposed = {name: batch.sources[name].proposed for name in self.generators}
        masks = [*proposed.values(), *(np.any([proposed[name] for name in union], axis=0) for union in self.unions)]
        columns = [batch.trainable, chosen, *(view for mask in masks for view in (mask, mask & kept))]
        return np.stack(columns, axis=1)
