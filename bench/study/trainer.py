"""Whether the plain loop of `train` puts sets into the order that sentence-transformers' own trainer does.

The same table as a StaticEmbedding, MultipleNegativesRankingLoss, the same rate, epochs and batch size; the trainer's
own AdamW, gradient clipping and sampler. It does not mask a query's own positive among the negatives of others, which
in squad's 1,216 passages is there in every third query (its sampler without duplicates makes no batch there).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from bench.study import static
from bench.study.lines import Lines
from bench.study.orders import Rows, Start
from bench.study.sets import kept
from bench.study.train import evaluate
from bench.study.truth import grouped, prepare

SETS = (
    "bm25.top",
    "bm25.mid",
    "dense.top",
    "dense.mid",
    "mini.mid",
    "positive.top",
    "random.top",
    "dense.top.calibrated_self",
)

KEYS = ("collection", "encoder", "loss", "rate", "set", "seed")


def run(name: str, encoder: str, data: Path | None, cache: Path, out: Path, rate: float, seed: int = 0) -> None:
    """Lines of the same form as those of `truth`, whose loss is called ``trainer``."""
    lines = Lines(out, *KEYS)
    start, weights = prepare(name, encoder, data, cache)
    sets = kept(start, encoder)
    for label in SETS:
        settings = {"collection": name, "encoder": encoder, "loss": "trainer", "rate": rate, "set": label, "seed": seed}
        if lines.lacks(**settings):
            ndcg, recall = trained(start, weights, sets[label], rate, seed)
            lines.add({
                **settings, "size": round(float(np.mean([*map(len, sets[label])])), 2),
                "ndcg": round(float(ndcg.mean()), 5), "recall": round(float(recall.mean()), 5), "groups": grouped(ndcg),
            })  # fmt: skip


def trained(start: Start, weights, negatives: Rows, rate: float, seed: int):
    """nDCG@10 and recall@100 of held-out queries after the trainer's run."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = static.model(weights)
    texts, size = start.texts, min(map(len, negatives))
    columns = {
        "anchor": [texts.queries[i] for i in texts.train],
        "positive": [texts.passages[row] for row in start.own],
        **{f"negative_{k}": [texts.passages[row[k]] for row in negatives] for k in range(size)},
    }
    with tempfile.TemporaryDirectory() as folder:
        options = SentenceTransformerTrainingArguments(
            output_dir=folder, num_train_epochs=3, per_device_train_batch_size=64, learning_rate=rate, seed=seed,
            dataloader_drop_last=True, save_strategy="no", report_to="none",
            logging_strategy="no", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        SentenceTransformerTrainer(
            model=model,
            args=options,
            train_dataset=Dataset.from_dict(columns),
            loss=MultipleNegativesRankingLoss(model),
        ).train()
    table = next(iter(model.parameters())).detach()[torch.from_numpy(start.bags.vocabulary)]
    embedded = start.bags.embed_all(table)
    count = len(texts.passages)
    return evaluate(embedded[count + texts.test], embedded[:count], [texts.relevant[i] for i in texts.test])
