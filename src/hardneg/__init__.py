"""hardneg makes hard negatives for dense retrievers and proves them safe before anyone trains.

The parts are in the modules of their kind (`hardneg.generators.bm25.BM25`, …); `hardneg kinds` lists them. This module
has the names that most programs need. Importing it loads neither torch nor any model library.
"""

from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Scores, Selection, Verdicts
from hardneg.data.records import Candidate, Example, Negative, NegativeSet, Origin, Passage, Reason
from hardneg.errors import DataError, HardnegError, JobError, MissingExtraError, ModelError, PartError, StoreError
from hardneg.kinds import NEUTRAL, part
from hardneg.library.eci_filter import ECIFilter, Filtered
from hardneg.library.mine import Mined, mine

__all__ = [
    "NEUTRAL",
    "Batch",
    "Candidate",
    "Candidates",
    "DataError",
    "ECIFilter",
    "Example",
    "Filtered",
    "HardnegError",
    "JobError",
    "Mined",
    "MissingExtraError",
    "ModelError",
    "Negative",
    "NegativeSet",
    "Origin",
    "PartError",
    "Passage",
    "Reason",
    "Scores",
    "Selection",
    "StoreError",
    "Verdicts",
    "mine",
    "part",
]
