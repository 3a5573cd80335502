"""Everything, one example a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hardneg.data.batch import Batch
from hardneg.data.records import Negative, Passage
from hardneg.exports.rows import plain, selection, write_lines
from hardneg.kinds import part


@part
class JSONL:
    """``train.jsonl``: query, positives and chosen negatives with ids, texts, scores by scorer and every origin; with
    ``dropped`` also what the filters refused, with each reason. The reader ``jsonl`` reads it back.
    """

    dropped: bool = False

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes ``train.jsonl``; returns the number of lines."""
        return {"rows": write_lines(folder / "train.jsonl", (line for batch in batches for line in self.lines(batch)))}

    def lines(self, batch: Batch) -> Iterator[dict[str, Any]]:
        """One document an example."""
        return (self._line(batch, i) for i in range(len(batch)))

    def _line(self, batch: Batch, i: int) -> dict[str, Any]:
        chosen = selection(batch)
        own = batch.positives_of(i)
        candidates = batch.candidates_of(i)
        line: dict[str, Any] = {
            "query_id": batch.ids[i],
            "query": batch.queries[i],
            "positives": [
                _passage(batch.corpus.passage(int(batch.positive_rows[k])))
                | {"scores": {name: plain([s.positives[k]])[0] for name, s in batch.scores.items()}}
                for k in range(own.start, own.stop)
            ],
            "negatives": [_negative(batch.negative(int(j))) for j in chosen.of(i)],
        }
        if self.dropped:
            line["dropped"] = [
                _negative(batch.negative(j))
                | {
                    "reasons": {
                        name: {
                            "rule": r.rule,
                            "value": plain([r.value])[0],
                            "limit": plain([r.limit])[0],
                            "detail": r.detail,
                        }
                        for name, r in reasons.items()
                    }
                }
                for j in range(candidates.start, candidates.stop)
                if (reasons := batch.reasons(j))
            ]
        return line


def _passage(passage: Passage) -> dict[str, Any]:
    return {"id": passage.id, "title": passage.title, "text": passage.text}


def _negative(negative: Negative) -> dict[str, Any]:
    origins = [
        {"generator": o.generator, "rank": o.rank, "score": plain([o.score])[0], "model": o.model, "prompt": o.prompt}
        | ({"round": o.round, "tokens": plain([o.tokens or 0])[0], "note": o.note} if o.round is not None else {})
        for o in negative.origins
    ]
    scores = {name: plain([score])[0] for name, score in negative.scores.items()}
    return _passage(negative.passage) | {"scores": scores, "origins": origins}
