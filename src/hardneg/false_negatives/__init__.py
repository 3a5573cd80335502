"""How likely an unlabelled candidate is to be relevant, and how many of a set are: from ranks, without labels.

Array functions over numpy. `docs/explanation/safety.md` says what the estimate assumes, how far it was from the truth
on judged collections, and where it fails.
"""

from hardneg.false_negatives.evidence import evidence, probability, smoothed
from hardneg.false_negatives.judging import bounds, chances, judged_level, strata
from hardneg.false_negatives.level import Agreement, Level, level
from hardneg.false_negatives.sampled import Sample, estimate, sample
from hardneg.false_negatives.share import Histogram, Share

__all__ = [
    "Agreement",
    "Histogram",
    "Level",
    "Sample",
    "Share",
    "bounds",
    "chances",
    "estimate",
    "evidence",
    "judged_level",
    "level",
    "probability",
    "sample",
    "smoothed",
    "strata",
]
