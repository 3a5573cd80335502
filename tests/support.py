"""What several test modules need."""

import itertools
import json
from pathlib import Path

import numpy as np

from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.scorers.bi_encoder import BiEncoder

PASSAGES = {
    "cat": "the cat sat on the mat",
    "cats": "cats are small animals that purr",
    "dog": "a dog barked at the cat",
    "dogs": "dogs are loyal animals",
    "rain": "heavy rain fell on the town",
    "rome": "rome is the capital of italy",
    "paris": "paris is the capital of france",
    "copy": "The cat sat on the  MAT",
}
QUERIES = {"q1": "where did the cat sit", "q2": "what is the capital of france", "q3": "loyal animals"}
POSITIVES = {"q1": ["cat"], "q2": ["paris"], "q3": ["dogs", "cats"]}

JOB = """\
data: {{kind: beir, path: {data}}}
generators:
  lexical: {{kind: bm25, depth: 5}}
  semantic: {{kind: dense, depth: 5, encoder: &target {{kind: sentence_transformers, model: {encoder}}}}}
  reranked: {{kind: cross_encoder, depth: 3, candidates: {{kind: random, depth: 6}}, model: &referee {{kind: sentence_transformers_cross_encoder, model: {cross_encoder}}}}}
  easy: {{kind: random, depth: 5, control: true}}
scorers:
  target: {{kind: bi_encoder, encoder: *target}}
  referee: {{kind: cross_encoder, model: *referee}}
filters:
  repeats: {{kind: duplicate, near: 0.9}}
  copies: {{kind: copy}}
  safe: {{kind: eci_safety, scorer: target, margin: {margin}}}
  veto: {{kind: eci_safety, scorer: referee, margin: -1.0}}
select: {{kind: top, scorer: target, per_query: 2, reuse: 30}}
eci: {{scorer: target}}
exports:
  tuples: {{kind: sentence_transformers, scores: true}}
  flag: {{kind: flagembedding}}
  all: {{kind: jsonl, dropped: true}}
engine: {{kind: local, workers: {workers}}}
output: {output}
cache: {cache}
"""


def write_data(folder: Path, copies: int = 1) -> Path:
    """A BEIR folder of the small collection; ``copies`` repeats its queries with another word in each."""
    (folder / "qrels").mkdir(parents=True)
    lines = {
        "corpus.jsonl": [{"_id": name, "text": text} for name, text in PASSAGES.items()],
        "queries.jsonl": [
            {"_id": f"{q}-{n}", "text": text + f" {n}" * (n > 0)} for n in range(copies) for q, text in QUERIES.items()
        ],
    }
    for name, records in lines.items():
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    qrels = [f"{q}-{n}\t{p}\t1" for n in range(copies) for q, own in POSITIVES.items() for p in own]
    (folder / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n")
    return folder


def margin_that_leaves_a_short_set(batch: Batch, model: str) -> float:
    """A margin from the smallest positive score under which some example has fewer than two candidates
    left and some other has two, and which no score meets exactly."""
    encoder = Encoder(model=model)
    full = merge(batch, {"dense": Dense(encoder=encoder, depth=7).generate(batch)})
    scores = BiEncoder(encoder=encoder).score(full)
    lowest = np.full(len(batch), np.inf)
    np.minimum.at(lowest, batch.positive_owners, scores.positives.astype(np.float64))
    margins = np.sort(lowest[full.owners] - scores.negatives)
    for low, high in itertools.pairwise(margins):
        middle = (low + high) / 2
        left = np.bincount(full.owners[lowest[full.owners] - scores.negatives >= middle], minlength=len(batch))
        if left.min() < 2 <= left.max() and high - low > 1e-4:
            return float(middle)
    raise AssertionError("no margin leaves a short set")
