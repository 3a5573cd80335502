"""Mining, side by side with the peers, in one run on one machine.

    python bench/mine.py DATA MODEL [--rounds 5] [--json FILE]

DATA is a BEIR folder, MODEL the folder of a sentence-transformers model.

Dense: `sentence_transformers.util.mine_hard_negatives` against the same job here (dense generator, margin from the
smallest positive, the n hardest, n-tuples as a table), with the same model, corpus and margin. Both are given
embeddings from one table, so that what is compared is everything but the encoder; then both are run once with the
real encoder and nothing cached. BM25: the generator against calling bm25s itself on the same index.

Rounds alternate (A, B, A, B, ...); medians and quartiles are printed; peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from in_turn import in_turn

from hardneg.cache.folders import Cache
from hardneg.engines.local import Local
from hardneg.exports.sentence_transformers import SentenceTransformers
from hardneg.files.text_lines import json_lines
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline, Result
from hardneg.pipeline.store import Folder, Memory
from hardneg.readers.beir import BEIR, judgments
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.selectors.top import Top

MARGIN = 0.05
SHAPES = ((5, 20), (50, 70))  # negatives a query, and the window that they are taken from


def plan(data: Path, model: str, negatives: int, depth: int) -> Plan:
    encoder = Encoder(model=model)
    return Plan(
        reader=BEIR(path=data),
        generators={"dense": Dense(encoder=encoder, depth=depth)},
        scorers={"target": BiEncoder(encoder=encoder)},
        filters={"safe": ECISafety(scorer="target", margin=MARGIN, reference="min")},
        selector=Top(scorer="target", per_query=negatives),
        target="target",
        sem=False,  # the peer computes nothing of the kind; bench/eci.py says what it costs
    )


def ours(data: Path, model: str, cache: Path, negatives: int, depth: int, store: Memory | Folder) -> Any:
    """Pairs in, n-tuples and their ECI out."""
    import pyarrow as pa

    result = Pipeline(plan(data, model, negatives, depth), store, Cache(cache), Local()).run()
    tables = [SentenceTransformers(negatives=negatives).table(batch, negatives).rows for batch in result.batches]
    return pa.concat_tables(tables)


class Known:
    """A real model whose `encode` looks texts up in a table and encodes those that it lacks."""

    def __init__(self, model: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model, self.table = SentenceTransformer(model, device="cpu"), {}
        self._encode = self.model.encode
        self.model.encode = self.encode

    def encode(self, inputs: Any, **options: Any) -> Any:
        missing = [text for text in dict.fromkeys(inputs) if text not in self.table]
        if missing:
            self.table |= dict(zip(missing, self._encode(missing, normalize_embeddings=True), strict=True))
        return np.stack([self.table[text] for text in inputs])


def theirs(model: Any, pairs: Any, corpus: list[str], negatives: int, depth: int, faiss: bool) -> Any:
    from sentence_transformers.util import mine_hard_negatives

    return mine_hard_negatives(
        pairs,
        model,
        corpus=corpus,
        num_negatives=negatives,
        absolute_margin=MARGIN,
        range_max=depth,
        output_format="n-tuple",
        use_faiss=faiss,
        verbose=False,
    )


def alternate(rounds: int, **runs: Callable[[], Any]) -> dict[str, dict[str, float]]:
    """Median and quartiles, in seconds, of each, run in turn; one round before is not counted."""
    quartiles = ("low", "median", "high")
    return {
        name: dict(zip(quartiles, statistics.quantiles([spent.wall for spent in own], n=4), strict=True))
        for name, own in in_turn(rounds, runs).items()
    }


def pairs_of(result: Result) -> tuple[Any, list[str]]:
    from datasets import Dataset

    rows = []
    for batch in result.batches:
        texts = batch.corpus.contents(batch.positive_rows)
        rows += [{"query": batch.queries[i], "positive": t} for i, t in zip(batch.positive_owners, texts, strict=True)]
    return Dataset.from_list(rows), result.corpus.contents(np.arange(len(result.corpus)))


def _measured(queue: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    begin = time.perf_counter()
    function(*arguments)
    # not ru_maxrss: a child process begins with its parent's
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    queue.put((time.perf_counter() - begin, int(peak) / 1024))


def apart(function: Callable[..., Any], *arguments: Any) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_measured, args=(queue, function, arguments))
    process.start()
    measured: tuple[float, float] = queue.get()
    process.join()
    return measured


def with_data_only(store: Memory) -> Memory:
    """A store in which the data is read and nothing else is done: the peer is given loaded data too."""
    return Memory(
        {key: table for key, table in store.tables.items() if key[0].startswith("read-")},
        {key: summary for key, summary in store.summaries.items() if key.startswith("read-")},
    )


def ours_from_nothing(data: Path, model: str, negatives: int, depth: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours(data, model, Path(folder) / "cache", negatives, depth, Folder(Path(folder) / "run"))


def theirs_from_nothing(data: Path, model: str, negatives: int, depth: int) -> None:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer

    reader = BEIR(path=data)
    passages = {read.item.id: read.item.contents for read in reader.passages() if read.item}
    queries = {record["_id"]: record["text"] for _, record in json_lines(data / "queries.jsonl")}
    judged = [(q, p) for _, q, p, grade in judgments(data / "qrels" / "train.tsv") if grade > 0]
    pairs = Dataset.from_list([{"query": queries[q], "positive": passages[p]} for q, p in judged])
    theirs(SentenceTransformer(model, device="cpu"), pairs, list(passages.values()), negatives, depth, faiss=False)


def bm25_directly(index: Any, queries: list[str], depth: int) -> Any:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    tokens = bm25s.tokenize(queries, stopwords="english", stemmer=stemmer, show_progress=False)
    return index.retrieve(tokens, k=depth, show_progress=False)


def same_rows(mine: Any, other: Any) -> float:
    """Share of the peer's rows whose negatives are ours, in order."""
    key = {(r["anchor"], r["positive"]): [r[c] for c in r if c.startswith("negative")] for r in mine.to_pylist()}
    equal = [key.get((r["query"], r["positive"])) == [r[c] for c in r if c.startswith("negative")] for r in other]
    return sum(equal) / len(equal)


def search(data: Path, model: str, rounds: int) -> dict[str, Any]:
    """Everything but the encoder: embeddings are known on both sides, the data is loaded."""
    import bm25s
    import Stemmer

    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hardneg-bench-") as folder:
        cache, read = Path(folder) / "cache", Memory()
        result = Pipeline(plan(data, model, 5, 20), read, Cache(cache), Local()).run()
        pairs, corpus = pairs_of(result)
        known = Known(model)
        known.encode([*corpus, *pairs["query"], *pairs["positive"]])
        print(f"{len(pairs)} pairs, {len(corpus)} passages, margin {MARGIN}, medians of {rounds} rounds in turn")
        for negatives, depth in SHAPES:

            def mine(store: Memory | Folder, n: int = negatives, d: int = depth) -> Any:
                return ours(data, model, cache, n, d, store)

            def peer(n: int = negatives, d: int = depth, **faiss: bool) -> Any:
                return theirs(known.model, pairs, corpus, n, d, **faiss)

            serial = itertools.count()
            other = peer(faiss=False)
            agreement = same_rows(mine(with_data_only(read)), other)
            times = alternate(
                rounds,
                peer=lambda: peer(faiss=False),
                ours=lambda: mine(with_data_only(read)),
                peer_faiss=lambda: peer(faiss=True),
                ours_all_on_disk=lambda: mine(Folder(Path(folder) / f"run{negatives}-{next(serial)}")),
            )
            equal = f"{agreement:.1%} of {len(other)} rows are equal, in order"
            show(f"dense, {negatives} of {depth}, without encoding; {equal}", times, "peer")
            out[f"dense {negatives}"] = {"times": times, "same": agreement}

        batches = list(result.batches)
        queries = [query for batch in batches for query in batch.queries]
        tokens = bm25s.tokenize(corpus, stopwords="english", stemmer=Stemmer.Stemmer("english"), show_progress=False)
        index = bm25s.BM25(backend="numba")
        index.index(tokens, show_progress=False)
        out["bm25"] = alternate(
            rounds,
            bm25s=lambda: bm25_directly(index, queries, 50),
            ours=lambda: [BM25(depth=50).generate(batch) for batch in batches],
        )
        show("BM25, depth 50", out["bm25"], "bm25s")
    return out


def show(title: str, times: dict[str, dict[str, float]], peer: str) -> None:
    print(f"\n{title}")
    for name, own in times.items():
        ratio = own["median"] / times[peer]["median"]
        print(f"  {name:17} {own['median']:.3f} s  ({own['low']:.3f} to {own['high']:.3f})  {ratio:.2f} x {peer}")


def whole(data: Path, model: str) -> dict[str, Any]:
    """From nothing: model loaded, everything encoded; ours also writes every stage to disk. A process each, in turn."""
    runs: dict[str, list[tuple[float, float]]] = {"peer": [], "ours": []}
    for _ in range(2):
        runs["peer"].append(apart(theirs_from_nothing, data, model, 5, 20))
        runs["ours"].append(apart(ours_from_nothing, data, model, 5, 20))
    best = {name: (min(s for s, _ in own), max(m for _, m in own)) for name, own in runs.items()}
    print("\nfrom nothing, with encoding; the better of two, each in a process of its own")
    for name, (seconds, memory) in best.items():
        in_time, in_memory = seconds / best["peer"][0], memory / best["peer"][1]
        print(f"  {name:5} {seconds:.1f} s ({in_time:.2f} x peer), peak memory {memory:.0f} MiB ({in_memory:.2f} x)")
    return {"whole": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=("search", "whole"), help="without, or with the encoder; both unless said")
    options = parser.parse_args()
    out: dict[str, Any] = {}
    if options.only != "whole":
        out |= search(options.data, options.model, options.rounds)
    if options.only != "search":
        out |= whole(options.data, options.model)
    if options.json:
        options.json.write_text(json.dumps(out, indent=2))


if __name__ == "__main__":
    main()
