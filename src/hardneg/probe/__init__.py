"""The probe: which set of negatives trains the better retriever, answered in seconds from frozen embeddings.

It knows arrays only. `docs/explanation/study.md` says how well its order agrees with that of encoders that were
really trained on the sets, and where it does not.
"""

from hardneg.probe.crossfit import NATS, probe
from hardneg.probe.score import Difference, ProbeScore, difference
from hardneg.probe.training import Recipe

__all__ = ["NATS", "Difference", "ProbeScore", "Recipe", "difference", "probe"]
