"""What the probe's map sees of a text beside its vector: how near it is to each of a few landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NEIGHBOUR = 10
"""The kernel has fallen to one half at the distance of a landmark's tenth neighbour among the landmarks."""

RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Nyström features of the kernel k(x, y) = exp(-width ||x - y||^2) (Williams and Seeger 2001).

    ``points`` float32 [m, d]: unit vectors; ``root`` float32 [m, m]: the inverse square root of their kernel matrix, so
    that features of two texts have nearly the product k.
    """

    points: Floats
    root: Floats
    width: float

    @classmethod
    def of(cls, points: Floats) -> Landmarks:
        """From ``points`` [m, d]; copies of one text are no harm."""
        apart = np.maximum(2 - 2 * (points @ points.T), 0.0)
        near = np.partition(apart, min(NEIGHBOUR, len(points) - 1), axis=1)[:, min(NEIGHBOUR, len(points) - 1)]
        width = float(np.log(2) / max(float(np.median(near)), 1e-6))
        values, vectors = np.linalg.eigh(np.exp(-width * apart).astype(np.float64) + RIDGE * np.eye(len(points)))
        root = (vectors * np.maximum(values, RIDGE) ** -0.5) @ vectors.T
        return cls(points, root.astype(np.float32), width)

    def features(self, vectors: Floats) -> Floats:
        """Float32 [n, m] of unit ``vectors`` [n, d]."""
        apart = np.maximum(2 - 2 * (vectors @ self.points.T), 0.0)
        out: Floats = np.exp(-self.width * apart) @ self.root
        return out

    def extend(self, vectors: Floats) -> Floats:
        """Float32 [n, d + m]: the vectors with their features beside them."""
        return np.concatenate([vectors, self.features(vectors)], axis=1)
