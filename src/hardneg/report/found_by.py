"""Which generators found the same candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardneg.arrays import Int64
from hardneg.data.batch import Batch


@dataclass
class FoundBy:
    """Counts, filled batch by batch. ``generators``: all of the job, in its order; ``controls``: never trained on."""

    generators: tuple[str, ...]
    controls: frozenset[str] = frozenset()
    pairs: dict[str, Int64] = field(default_factory=dict)
    alone: dict[str, Int64] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Counts one batch that has been through selection."""
        proposed = np.stack([batch.sources[name].proposed for name in self.generators], axis=1)
        control = np.array([name in self.controls for name in self.generators])
        others = proposed[:, ~control].sum(axis=1, keepdims=True) - np.where(control, 0, proposed)
        only_one = proposed & (others == 0)  # what a control drew too is no other source's
        everything = np.ones(len(proposed), dtype=bool)
        for what, mask in (("candidates", everything), ("kept", batch.kept), ("chosen", batch.chosen)):
            own = proposed[mask].astype(np.float64)
            pairs = np.rint(own.T @ own).astype(np.int64)
            alone = only_one[mask].sum(axis=0)
            self.pairs[what] = self.pairs[what] + pairs if what in self.pairs else pairs
            self.alone[what] = self.alone[what] + alone if what in self.alone else alone

    def report(self) -> dict[str, Any]:
        """``found_by``: for candidates, kept and chosen ones the matrix of how many both generators found (a generator
        with itself: all that it found), and how many no other found that is trained on.
        """
        found = {what: {"both": p.tolist(), "alone": self.alone[what].tolist()} for what, p in self.pairs.items()}
        return {"found_by": {"generators": list(self.generators), **found}}
