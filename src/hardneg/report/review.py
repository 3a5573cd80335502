"""A review: which candidates of a finished run people are to judge, and the design by which they were drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.arrays import Bool, Float64, Int64
from hardneg.data.answers import Pair
from hardneg.data.batch import Batch
from hardneg.errors import DataError, JobError
from hardneg.false_negatives import Share, estimate, sample
from hardneg.files.durable import replacing
from hardneg.kinds import fingerprint
from hardneg.report.hardest import hardest

SETS: Mapping[str, str] = {
    "final": "the final set",
    "unfiltered": "the hardest candidates before filtering",
    "kept": "all candidates that the filters keep",
    "refused": "all candidates that the filters refuse",
}
"""The sets that can be reviewed, in words. Controls are in none of them."""
DESIGN = "design.json"


@dataclass(frozen=True, slots=True)
class Design:
    """What was drawn from which set. ``id`` names the set and a hash of all the rest."""

    id: str
    set: str
    seed: int
    sizes: list[int]
    """How many members each stratum has."""
    expected: list[float]
    """The mean estimated probability of each stratum; 0 where the job has no scorer of kind `false_negative`."""
    items: list[tuple[str, str, int]]
    """Query id, passage id and stratum of each drawn candidate, in the order of judging."""

    def share(self, answers: Mapping[Pair, float], unsure: float | None = None) -> Share:
        """The relevant share of the set, from the mean answers about some of the drawn candidates.

        Candidates of which people are unsure are left out, as if nobody had been asked; ``unsure`` counts them as
        relevant (1) or not (0) instead.
        """
        judged, relevant = np.zeros(len(self.sizes)), np.zeros(len(self.sizes))
        for query, passage, stratum in self.items:
            value = answers.get((query, passage))
            value = unsure if value == 0.5 else value
            if value is not None:
                judged[stratum] += 1
                relevant[stratum] += value > 0.5
        return estimate(self.sizes, self.expected, judged, relevant)

    def write(self, folder: Path) -> Path:
        """Writes it under ``folder``, into a folder of its own, which is returned."""
        own = folder / self.id
        with replacing(own / DESIGN) as file:
            file.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8")
        return own


def designs(folder: Path) -> list[Design]:
    """Every design under ``folder``. Raises `DataError` for a file that is none."""
    return [_design(file) for file in sorted(folder.glob(f"*/{DESIGN}"))]


def _design(file: Path) -> Design:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return Design(**record | {"items": [tuple(item) for item in record["items"]]})
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file}: is no design of a review ({error}); run `hardneg review` again") from error


def drawn(
    batches: Iterable[Batch], of: str, count: int, seed: int, *, target: str, per_query: int, estimator: str | None
) -> tuple[Design, list[dict[str, Any]]]:
    """The design, and what a page shows of each candidate, in the order of judging.

    ``of``: one of `SETS`; ``target``: the scorer by which candidates are hard; ``estimator``: the one that gives
    probabilities, or None. Reads the batches twice and holds 16 bytes a member of the set. Raises `JobError` for an
    empty set.
    """
    numbers: list[Int64] = []
    probabilities: list[Float64] = []
    for batch in batches:
        mask = _members(batch, of, target, per_query)
        numbers.append(np.flatnonzero(mask))
        probabilities.append(_probabilities(batch, estimator)[mask])
    begins = np.cumsum([0, *map(len, numbers)])
    if not begins[-1]:
        raise JobError(f"{SETS[of]}: there is nothing in it to review; choose another `--set`")
    found = sample(np.concatenate(probabilities), count, seed)
    shown: dict[int, dict[str, Any]] = {}
    for number, batch in enumerate(batches):
        places = np.flatnonzero((found.members >= begins[number]) & (found.members < begins[number + 1]))
        for place in places.tolist():
            j = int(numbers[number][found.members[place] - begins[number]])
            shown[place] = _shown(batch, j)
    cases = [shown[place] for place in range(len(shown))]
    items = [(case["query_id"], case["id"], h) for case, h in zip(cases, found.strata.tolist(), strict=True)]
    facts = {
        "set": of,
        "seed": seed,
        "sizes": found.sizes.tolist(),
        "expected": [round(value, 9) for value in found.expected.tolist()],
        "items": items,
    }
    return Design(id=f"{of}-{fingerprint(facts)[:10]}", **facts), cases


def _members(batch: Batch, of: str, target: str, per_query: int) -> Bool:
    if of == "final":
        return batch.chosen
    if of == "unfiltered":
        members = np.zeros(len(batch.rows), dtype=bool)
        members[hardest(batch, batch.trainable, target, per_query)] = True
        return members
    return batch.trainable & (batch.kept if of == "kept" else batch.refused)


def _probabilities(batch: Batch, estimator: str | None) -> Float64:
    return np.zeros(len(batch.rows)) if estimator is None else batch.scores[estimator].negatives.astype(np.float64)


def _shown(batch: Batch, j: int) -> dict[str, Any]:
    i, negative = int(batch.owners[j]), batch.negative(j)
    return {
        "query_id": batch.ids[i],
        "query": batch.queries[i],
        "id": negative.passage.id,
        "text": negative.passage.contents,
        "positives": batch.corpus.contents(batch.positive_rows[batch.positives_of(i)]),
        "details": {
            "found by": ", ".join(f"{origin.generator} {origin.rank}" for origin in negative.origins),
            **{f"score by {name}": f"{score:.3f}" for name, score in negative.scores.items()},
            **{f"refused by {name}": str(reason) for name, reason in batch.reasons(j).items()},
        },
    }
