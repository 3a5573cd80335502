"""hardneg makes hard negatives for dense retrievers, finds the false ones, and says what a set is worth.

The parts are in the modules of their kind (`hardneg.generators.bm25.BM25`, …); `hardneg kinds` lists them. This module
has the names that most programs need, each loaded when it is first used: `import hardneg.eci` loads numpy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardneg.data.batch import Batch
    from hardneg.data.candidates import Candidates, Scores, Selection, Verdicts
    from hardneg.data.records import Candidate, Example, Negative, NegativeSet, Origin, Passage, Reason
    from hardneg.errors import (
        DataError,
        HardnegError,
        JobError,
        MissingExtraError,
        ModelError,
        PartError,
        StoreError,
    )
    from hardneg.kinds import NEUTRAL, part
    from hardneg.library.audit import audit
    from hardneg.library.eci_filter import ECIFilter
    from hardneg.library.filtered import Filtered
    from hardneg.library.mine import Mined, mine

_HOMES = {
    "hardneg.data.batch": ("Batch",),
    "hardneg.data.candidates": ("Candidates", "Scores", "Selection", "Verdicts"),
    "hardneg.data.records": ("Candidate", "Example", "Negative", "NegativeSet", "Origin", "Passage", "Reason"),
    "hardneg.errors": (
        "DataError",
        "HardnegError",
        "JobError",
        "MissingExtraError",
        "ModelError",
        "PartError",
        "StoreError",
    ),
    "hardneg.kinds": ("NEUTRAL", "part"),
    "hardneg.library.audit": ("audit",),
    "hardneg.library.eci_filter": ("ECIFilter",),
    "hardneg.library.filtered": ("Filtered",),
    "hardneg.library.mine": ("Mined", "mine"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

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
    "audit",
    "mine",
    "part",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
