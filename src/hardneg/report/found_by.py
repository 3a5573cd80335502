"""Which generators found the same candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardneg.arrays import Int64
from hardneg.data.batch import Batch


@dataclass
class FoundBy:
    """Counts, filled batch by batch. ``generators``: all of the job, in its order."""

    generators: tuple[str, ...]
    pairs: dict[str, Int64] = field(default_factory=dict)
    alone: dict[str, Int64] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Counts one batch that has been through selection."""
        proposed = np.stack([batch.sources[name].proposed for name in self.generators], axis=1)
        only_one = proposed.sum(axis=1) == 1
        everything = np.ones(len(proposed), dtype=bool)
        for what, mask in (("candidates", everything), ("kept", batch.kept), ("chosen", batch.chosen)):
            own = proposed[mask].astype(np.float64)
            pairs = np.rint(own.T @ own).astype(np.int64)
            alone = proposed[mask & only_one].sum(axis=0)
            self.pairs[what] = self.pairs[what] + pairs if what in self.pairs else pairs
            self.alone[what] = self.alone[what] + alone if what in self.alone else alone

    def report(self) -> dict[str, Any]:
        """``found_by``: for candidates, kept and chosen ones the matrix of how many both generators found (a generator
        with itself: all that it found), and how many it alone found.
        """
        found = {what: {"both": p.tolist(), "alone": self.alone[what].tolist()} for what, p in self.pairs.items()}
        return {"found_by": {"generators": list(self.generators), **found}}
