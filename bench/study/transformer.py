"""Encoders with attention: the first layers of all-MiniLM-L6-v2, trained by sentence-transformers' own trainer.

MultipleNegativesRankingLoss, its AdamW, its sampler, batches of 64. A query with fewer than seven negatives repeats
them in turn, as `short: repeat` does in an export; one without any is left out.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from bench.study import texts
from bench.study.lines import Lines
from bench.study.orders import Rows, Start
from bench.study.sets import kept, product
from bench.study.static import Bags, minilm
from bench.study.train import evaluate
from bench.study.truth import KEYS, grouped
from numpy.typing import NDArray

LAYERS = {"minilm2": 2, "minilm": 6}
"""The encoders, and how many of MiniLM's six layers each has."""

LONGEST = 32
"""Word pieces of a text that are read: a definition of WordNet is seldom longer."""

RATES = (1e-4, 2e-4, 4e-4)
EPOCHS = 1

SETS = (
    *("none", "random.top", "bm25.top", "bm25.mid", "bm25.far", "dense.top", "dense.mid", "dense.far", "mini.top"),
    *("mini.mid", "positive.top", "simans.top", "maxsim.top", "dense-bm25.top", "dense.top.calibrated_self"),
    *("recipe.product", "recipe.hardneg", "recipe.sentence_transformers", "recipe.flagembedding"),
)
"""Those of the static study that cover the range at least cost, and every tool's default."""


def load(encoder: str):
    """The untrained encoder."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm()), device="cpu")
    inner = model[0].auto_model
    inner.encoder.layer = inner.encoder.layer[: LAYERS[encoder]]
    inner.config.num_hidden_layers = LAYERS[encoder]
    model.max_seq_length = LONGEST
    return model


def vectors(model, some: list[str]) -> NDArray[np.float32]:
    """Unit vectors [n, 384]."""
    return model.encode(some, normalize_embeddings=True, batch_size=128, show_progress_bar=False)


def begin(name: str, encoder: str, data: Path | None, cache: Path) -> Start:
    """A collection under the untrained encoder; its vectors are kept."""
    found, path = texts.load(name, data), cache / name / f"vectors_{encoder}.npz"
    if not path.exists():
        model = load(encoder)
        path.parent.mkdir(parents=True, exist_ok=True)
        queries = vectors(model, [found.queries[i] for i in found.train])
        np.savez(path, queries=queries, passages=vectors(model, found.passages))
    with np.load(path) as made:
        return Start(found, Bags.of(found.passages + found.queries), path.parent, made["queries"], made["passages"])


def rectangle(rows: Rows) -> Iterator[tuple[int, list[int]]]:
    """The queries that have negatives, with exactly as many each as the largest set has."""
    width = max(map(len, rows))
    for i, row in enumerate(rows):
        if len(row) or not width:
            yield i, list(islice(cycle(row.tolist()), width)) if width else []


def fit(start: Start, encoder: str, negatives: Rows, rate: float, seed: int):
    """The encoder after training on one set."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    found, rows, model = start.texts, dict(rectangle(negatives)), load(encoder)
    width = max(map(len, negatives))
    columns = {
        "anchor": [found.queries[found.train[i]] for i in rows],
        "positive": [found.passages[start.own[i]] for i in rows],
        **{f"negative_{k}": [found.passages[row[k]] for row in rows.values()] for k in range(width)},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        options = SentenceTransformerTrainingArguments(
            output_dir=folder, num_train_epochs=EPOCHS, per_device_train_batch_size=64, learning_rate=rate, seed=seed,
            dataloader_drop_last=True, save_strategy="no", report_to="none", warmup_steps=0.1,
            logging_strategy="no", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        data, loss = Dataset.from_dict(columns), MultipleNegativesRankingLoss(model)
        SentenceTransformerTrainer(model=model, args=options, train_dataset=data, loss=loss).train()
    return model


def measure(start: Start, model) -> dict[str, object]:
    """nDCG@10 and recall@100 of held-out queries over the whole corpus."""
    found = start.texts
    queries = vectors(model, [found.queries[i] for i in found.test])
    ndcg, recall = evaluate(queries, vectors(model, found.passages), [found.relevant[i] for i in found.test])
    return {
        "ndcg": round(float(ndcg.mean()), 5), "recall": round(float(recall.mean()), 5), "groups": grouped(ndcg)
    }  # fmt: skip


def rate_of(start: Start, encoder: str) -> float:
    """The rate at which training without hard negatives goes best: chosen once, the same for all sets."""
    none: Rows = [np.zeros(0, dtype=np.int64)] * len(start.own)
    return max(RATES, key=lambda rate: float(measure(start, fit(start, encoder, none, rate, seed=99))["ndcg"]))  # type: ignore[arg-type]


def run(name: str, encoder: str, data: Path | None, cache: Path, out: Path, rate: float | None, seeds: tuple[int, ...]):
    """All lines of one collection and encoder that are not there yet, in the form of `truth`."""
    lines = Lines(out, *KEYS)
    start = begin(name, encoder, data, cache)
    known = [key[3] for key in lines.done if key[:3] == (name, encoder, "all")]
    settings = {"collection": name, "encoder": encoder, "loss": "all"}
    settings["rate"] = rate or (known[0] if known else rate_of(start, encoder))
    if lines.lacks(**settings, set="before", seed=0):
        lines.add({**settings, "set": "before", "seed": 0, "size": 0, **measure(start, load(encoder))})
    sets = kept(start, encoder) | {"recipe.product": product(start, load(encoder), encoder)}
    judged = [set(start.texts.relevant[i]) for i in start.texts.train]
    for seed in seeds:
        for label in SETS:
            if lines.lacks(**settings, set=label, seed=seed):
                since = time.process_time()
                model = fit(start, encoder, sets[label], settings["rate"], seed)
                count = sum(map(len, sets[label]))
                false = sum(int(r) in own for own, row in zip(judged, sets[label], strict=True) for r in row)
                lines.add({
                    **settings, "set": label, "seed": seed, "size": round(count / len(judged), 2),
                    "false": round(false / max(count, 1), 4), **measure(start, model),
                    "seconds": round(time.process_time() - since, 1),
                })  # fmt: skip
