"""Rescoring with a cross-encoder, against the peer's loop over queries, in one run on one machine.

    python bench/rerank.py DATA [--model MODEL | --layers 6] [--queries 20] [--depth 50] [--rounds 5] [--json FILE]

DATA is a BEIR folder; the candidates are BM25's. Left out, MODEL is made of all-MiniLM-L6-v2 from its package and a
head with random weights: as fast as a trained one. The peer is `sentence_transformers.util.mine_hard_negatives`, which
asks ``CrossEncoder.predict`` once a query, in batches of 32. Ours is what the scorer `cross_encoder` does: pairs pooled
over queries, by length, and written to the cache. Scores are compared before times. Rounds alternate; medians and
quartiles of time by the clock and by processors are printed: on a machine that does other work, take the latter.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from in_turn import Spent, in_turn
from judged_data import packaged_model

from hardneg.cache.folders import Cache
from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.data.subset import subset
from hardneg.engines.local import Local
from hardneg.generators.bm25 import BM25
from hardneg.models.embeddings import score_pairs
from hardneg.models.sentence_transformers import CrossEncoder
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Memory
from hardneg.readers.beir import BEIR
from hardneg.scorers.cross_encoder import CrossEncoder as Referee
from hardneg.selectors.everything import Everything

LARGEST_DIFFERENCE = 1e-4


def made_cross_encoder(folder: Path, layers: int) -> str:
    """The packaged encoder's first layers with a head of random weights, so large that scores spread."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(packaged_model(), num_labels=1, num_hidden_layers=layers)
    for weights in (model.bert.pooler.dense.weight, model.classifier.weight):
        torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(packaged_model()).save_pretrained(folder)
    return str(folder)


def candidates(data: Path, model: CrossEncoder, queries: int, depth: int, cache: Cache) -> Batch:
    """So many queries with the best ``depth`` passages of BM25."""
    generators = {"lexical": BM25(depth=depth)}
    plan = Plan(
        reader=BEIR(path=data),
        generators=generators,
        scorers={"referee": Referee(model=model)},
        filters={},
        selector=Everything(),
        target="referee",
    )
    loader, _ = Pipeline(plan, Memory(), cache, Local()).ready()
    some = subset(loader.examples(0), np.arange(queries))
    return merge(some, {name: part.generate(some) for name, part in generators.items()})


def measured(rounds: int, runs: dict[str, Callable[[], Any]]) -> dict[str, dict[str, list[float]]]:
    """Quartiles of seconds, by the clock and of processors, of each run; they take turns."""
    return {
        name: {what: statistics.quantiles([getattr(spent, what) for spent in own], n=4) for what in Spent._fields}
        for name, own in in_turn(rounds, runs, warm=0).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", help="a cross-encoder's folder")
    parser.add_argument("--layers", type=int, default=6, help="of the model that is made")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers there")
    options = parser.parse_args()
    import sentence_transformers as st
    import torch

    with tempfile.TemporaryDirectory(prefix="hardneg-bench-") as workspace:
        folder = Path(workspace)
        model = options.model or made_cross_encoder(folder / "model", options.layers)
        part, peer = CrossEncoder(model=model, device="cpu"), st.CrossEncoder(model, device="cpu")
        batch = candidates(options.data, part, options.queries, options.depth, Cache(folder / "data"))
        passages = batch.contents(np.arange(len(batch.rows)))
        queries = [batch.queries[i] for i in batch.owners.tolist()]
        pairs = list(zip(queries, passages, strict=True))
        own = [pairs[batch.candidates_of(i)] for i in range(len(batch))]

        def theirs() -> Any:
            return np.concatenate([peer.predict(some, batch_size=32, show_progress_bar=False) for some in own])

        def ours() -> Any:
            with tempfile.TemporaryDirectory(dir=folder) as cache:
                return score_pairs(part, queries, passages, Cache(Path(cache)))

        scores = theirs()
        difference = float(np.abs(ours() - scores).max())
        if difference > LARGEST_DIFFERENCE:
            raise SystemExit(f"scores differ by {difference:.1e}")
        found = measured(options.rounds, {"peer": theirs, "ours": ours})
    ratios = {what: found["peer"][what][1] / found["ours"][what][1] for what in ("wall", "cpu")}
    print(
        f"{len(pairs):,} pairs, {torch.get_num_threads()} threads; scores, spread by {scores.std():.2g}, differ by "
        f"{difference:.1e} at most"
    )
    for name, times in found.items():
        wall, cpu = times["wall"], times["cpu"]
        print(
            f"  {name:5} {len(pairs) / wall[1]:6.1f} pairs a second; {wall[1]:.2f} s ({wall[0]:.2f} to {wall[2]:.2f}), "
            f"processors {cpu[1]:.2f} s ({cpu[0]:.2f} to {cpu[2]:.2f})"
        )
    print(f"  {ratios['wall']:.2f} times as fast by the clock, {ratios['cpu']:.2f} by processor time")
    if options.json:
        record = {"pairs": len(pairs), "difference": difference, "seconds": found, "ratio": ratios}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
