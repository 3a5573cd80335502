"""Candidates that people judged."""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from pathlib import Path

import numpy as np

from hardneg.arrays import taken
from hardneg.data.answers import Pair, answers_of, by_pair
from hardneg.data.batch import Batch
from hardneg.data.candidates import Verdicts
from hardneg.errors import PartError
from hardneg.files.text_lines import existing, known_hash
from hardneg.kinds import NEUTRAL, part

UNSURE = 0.5


@part
class Judged:
    """Drops candidates that people call relevant, and those of which they are unsure, by ``files``.

    ``files`` are exports of `hardneg review` (JSONL, BEIR judgments, TREC qrels) or other judgments in these formats.
    What is called relevant becomes a positive where it is a passage of the corpus: a person needs no second signal.
    Every export then has it there. A text that a model wrote is only dropped, and so is another passage with the text
    of one that becomes a positive. Of several people the majority counts; where it is a tie, they are unsure. *Not
    relevant* takes back no other filter's refusal.
    """

    files: tuple[Path, ...] = field(metadata=NEUTRAL)

    def __post_init__(self) -> None:
        if not self.files:
            raise PartError("`files` must name at least one file of judgments, for example an export of the review")

    def identity(self) -> str:
        """Names and hashes of the files: a name says how a file is read and, where no line does, who judged."""
        found = map(existing, self.files)
        return ",".join(f"{file.name}:{known_hash(file)}" for file in found)

    def judge(self, batch: Batch) -> Verdicts:
        """The value is the mean answer (1 relevant, 0.5 unsure, 0 not relevant), the limit 0.5."""
        known = _known(self.files, self.identity())
        ids = batch.passage_ids(np.arange(len(batch.rows)))
        pairs = zip(taken(batch.ids, batch.owners), ids, strict=True)
        values = np.array([known.get(pair, np.nan) for pair in pairs], dtype=np.float32)
        relevant = values > UNSURE
        moved = relevant & (batch.rows >= 0)
        own_texts = batch.hashes() ^ (batch.owners.astype(np.uint64) << np.uint64(32))
        repeats = np.isin(own_texts, own_texts[moved]) & ~moved
        values[repeats] = 1.0
        broken = np.full(len(values), -1, dtype=np.int8)
        broken[values == UNSURE] = 2
        broken[relevant | repeats] = 0
        broken[moved] = 1
        limit = np.full(len(values), UNSURE, dtype=np.float32)
        return Verdicts(("relevant", "relabelled", "unsure"), broken, values, limit)


@lru_cache(maxsize=2)
def _known(files: tuple[Path, ...], _content: str) -> dict[Pair, float]:
    return by_pair(answers_of(files))
