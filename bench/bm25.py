"""BM25 side by side with the peers: building an index and searching it, in one run on one machine.

    python bench/bm25.py [--sizes 10000 100000] [--queries 2000] [--depth 100] [--rounds 3] [--data BEIR…] [--json FILE]

Passages are drawn from 400,000 made-up words by Zipf's law, 30 to 90 each; so are those with all words kept, in which
the most frequent 100 of them are not left out. Queries are 3 to 8 words of a passage. `--data` adds real collections,
with and without stop words.

Each build runs in a process of its own, from texts in a memory-mapped file to an index on disk; memory is the highest
sum of anonymous pages (RssAnon) of it and its children. Searches are in turn in one process. That ours is what bm25s
builds and finds, to the last bit, is checked before anything is timed. rank_bm25 and tantivy, where they are installed,
have formulas of their own, so that for them only the time counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.cache.folders import Cache
from hardneg.data.corpus import Corpus, build
from hardneg.data.records import Passage, Read
from hardneg.data.scripts import spaced
from hardneg.models import bm25
from hardneg.readers.beir import BEIR

WORDS, FREQUENT = 400_000, 100
SLOW = {"bm25s, numpy": 10, "rank_bm25": 200}
"""These are given one query of so many, and their time is told for all."""


def made_up(size: int, skip: int, count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Passages and queries."""
    rng = np.random.default_rng(seed)
    shares = 1 / (np.arange(WORDS) + 3.7)
    shares[:skip] = 0
    cumulated = np.cumsum(shares / shares.sum())
    lengths = rng.integers(30, 91, size)
    drawn = np.minimum(np.searchsorted(cumulated, rng.random(lengths.sum())), WORDS - 1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    texts = [" ".join(f"w{n:x}" for n in drawn[a:b].tolist()) for a, b in itertools.pairwise(offsets)]
    asked = [rng.choice(texts[i].split(), rng.integers(3, 9)) for i in rng.integers(0, size, count)]
    return texts, [" ".join(words) for words in asked]


def corpus_of(folder: Path, texts: list[str]) -> Corpus:
    passages = (Read(Passage(str(i), text), "", i) for i, text in enumerate(texts))
    return build(Cache(folder), passages).corpus


def build_ours(corpus: Corpus, settings: bm25.Settings, _: Path) -> None:
    bm25.index(settings, corpus)


def bm25s_index(corpus: Corpus, settings: bm25.Settings) -> Any:
    import bm25s
    import Stemmer

    tokens = bm25s.tokenize(
        [spaced(text) for text in corpus.contents(np.arange(len(corpus)))],
        stopwords=[] if settings.stopwords == "none" else settings.stopwords,
        stemmer=None if settings.language == "none" else Stemmer.Stemmer(settings.language),
        show_progress=False,
    )
    index = bm25s.BM25(backend="numba")
    index.index(tokens, show_progress=False)
    return index


def build_bm25s(corpus: Corpus, settings: bm25.Settings, folder: Path) -> None:
    bm25s_index(corpus, settings).save(folder, show_progress=False)


def build_tantivy(corpus: Corpus, _: bm25.Settings, folder: Path) -> None:
    import tantivy

    schema = tantivy.SchemaBuilder().add_text_field("text", tokenizer_name="en_stem").build()
    writer = tantivy.Index(schema, path=str(folder)).writer(num_threads=1)
    for text in corpus.contents(np.arange(len(corpus))):
        writer.add_document(tantivy.Document(text=text))
    writer.commit()
    writer.wait_merging_threads()


def measured(queue: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import bm25s  # noqa: F401  importing is not what is measured
    import Stemmer  # noqa: F401

    peak, done = [0], threading.Event()

    def watch() -> None:
        own = Path("/proc/self/task")
        while not done.wait(0.02):
            pids = [os.getpid()]
            for pid in pids:  # grows
                for children in own.parent.parent.glob(f"{pid}/task/*/children"):
                    pids += map(int, children.read_text().split())
            told = [re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()) for pid in pids]
            peak[0] = max(peak[0], sum(int(found[1]) for found in told if found) // 1024)

    threading.Thread(target=watch, daemon=True).start()
    begin, used = time.perf_counter(), processor_seconds()
    function(*arguments)
    done.set()
    queue.put((time.perf_counter() - begin, processor_seconds() - used, peak[0]))


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def apart(function: Callable[..., Any], *arguments: Any) -> tuple[float, float, int]:
    """Seconds, processor seconds and peak memory (MiB) of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measured, args=(queue, function, arguments))
    process.start()
    found: tuple[float, float, int] = queue.get()
    process.join()
    return found


def refuse_other(ours: Any, theirs: Any) -> None:
    """Fails unless both indexes have the same words and scores."""
    assert ours.scores["num_docs"] == theirs.scores["num_docs"]
    assert set(ours.vocab_dict) - {""} == set(theirs.vocab_dict) - {""}
    for word in set(ours.vocab_dict) - {""}:
        spans = [slice(*i.scores["indptr"][i.vocab_dict[word] : i.vocab_dict[word] + 2]) for i in (ours, theirs)]
        for name in ("data", "indices"):
            assert np.array_equal(ours.scores[name][spans[0]], theirs.scores[name][spans[1]]), word


def builds(name: str, corpus: Corpus, settings: bm25.Settings, rounds: int, folder: Path) -> Iterator[dict[str, Any]]:
    makers = {"bm25s": build_bm25s, "hardneg": build_ours}
    if importlib.util.find_spec("tantivy"):
        makers["tantivy"] = build_tantivy
    found: dict[str, list[tuple[float, float, int]]] = {who: [] for who in makers}
    for _ in range(rounds):
        for who, make in makers.items():
            shutil.rmtree(corpus.cache.root / "bm25", ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            found[who].append(apart(make, corpus, settings, folder))
    for who, runs in found.items():
        seconds, used, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        yield row("build", name, who, seconds, used, "bm25s", memory)


def row(what: str, name: str, who: str, seconds: float, used: float, peer: str, memory: float = 0) -> dict[str, Any]:
    told = {
        "what": what,
        "passages": name,
        "who": who,
        "seconds": round(seconds, 4),
        "processor_seconds": round(used, 4),
    }
    return told | {"peer": peer, "peak_mib": round(memory)}


def searches(
    name: str, corpus: Corpus, settings: bm25.Settings, texts: list[str], depth: int, rounds: int
) -> Iterator[dict[str, Any]]:
    index = bm25.index(settings, corpus)
    theirs = bm25s_index(corpus, settings)
    refuse_other(index, theirs)
    depth, size = min(depth, len(corpus)), len(corpus)
    queries = [words for words in settings.tokens(texts) if any(word in theirs.vocab_dict for word in words)]
    offsets, none = np.zeros(len(queries) + 1, np.int64), np.zeros(0, np.int64)

    def ours(asked: list[list[str]], threads: int = 1) -> bm25.Found:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        return bm25.search(index, asked, depth, offsets[: len(asked) + 1], none, size)

    def by_bm25s(asked: list[list[str]], backend: str = "numba", threads: int = 0) -> Any:
        theirs.backend = backend
        return theirs.retrieve(asked, k=depth, n_threads=threads, show_progress=False)

    runs: dict[str, Callable[[list[list[str]]], Any]] = {
        "bm25s, numba": by_bm25s,
        "hardneg": ours,
        "bm25s, numba, 2 threads": lambda asked: by_bm25s(asked, threads=2),
        "hardneg, 2 threads": lambda asked: ours(asked, 2),
        "bm25s, numpy": lambda asked: by_bm25s(asked, "numpy"),
    }
    if importlib.util.find_spec("rank_bm25") and not name.endswith("all words"):
        from rank_bm25 import BM25Okapi

        other = BM25Okapi(settings.tokens(corpus.contents(np.arange(size))))
        runs["rank_bm25"] = lambda asked: [np.argpartition(other.get_scores(q), -depth)[-depth:] for q in asked]
    found, (_, scores) = ours(queries), by_bm25s(queries)
    assert np.array_equal(found.scores, scores[scores > 0])
    for one, two in zip(found, ours(queries, 2), strict=True):
        assert np.array_equal(one, two)
    times: dict[str, list[tuple[float, float]]] = {who: [] for who in runs}
    for number in range(rounds + 1):
        for who, run in runs.items():
            share = SLOW.get(who, 1)
            asked = queries[::share]
            begin, used = time.perf_counter(), time.process_time()
            run(asked)
            scale = len(queries) / len(asked)
            if number:
                spent = time.perf_counter() - begin, time.process_time() - used
                times[who].append((spent[0] * scale, spent[1] * scale))
    for who, own in times.items():
        seconds, used = (statistics.median(column) for column in zip(*own, strict=True))
        yield row(f"search {len(queries)}", name, who, seconds, used, "bm25s, numba" + ", 2 threads" * ("2 thr" in who))


def show(rows: list[dict[str, Any]]) -> None:
    print("| what | passages | who | seconds | processor seconds | times the peer's speed | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    known = {(r["what"], r["passages"], r["who"]): r for r in rows}
    for r in rows:
        peer = known[r["what"], r["passages"], r["peer"]]
        ratios = [peer[of] / max(r[of], 1e-9) for of in ("seconds", "processor_seconds")]
        r["speed"], r["speed_by_processor"] = (round(ratio, 4) for ratio in ratios)
        memory = f"{r['peak_mib']:,} ({r['peak_mib'] / peer['peak_mib']:.2f} x)" if r["peak_mib"] else ""
        told = f"{ratios[0]:.3g} ({ratios[1]:.3g} by processor)"
        spent = f"{r['seconds']:.3f} | {r['processor_seconds']:.3f}"
        print(f"| {r['what']} | {r['passages']} | {r['who']} | {spent} | {told} | {memory} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="hardneg-bench-") as where:
        folder = Path(where)
        jobs: list[tuple[str, bm25.Settings, Callable[[], tuple[list[str], list[str]]]]] = []
        for size in options.sizes:
            for skip, kept in ((FREQUENT, ""), (0, ", all words")):
                settings = bm25.Settings("none", "none") if kept else bm25.Settings()
                jobs.append((f"{size:,}{kept}", settings, lambda s=size, k=skip: made_up(s, k, options.queries)))
        for data in options.data:
            for settings, kept in ((bm25.Settings(), ""), (bm25.Settings(stopwords="none"), ", all words")):
                jobs.append((data.name + kept, settings, lambda d=data: real(d)))
        for name, settings, texts_of in jobs:
            texts, queries = texts_of()
            corpus = corpus_of(folder / "cache", texts)
            del texts
            if not name.endswith("all words"):
                rows += builds(name, corpus, settings, options.rounds, folder / "other")
            rows += searches(name, corpus, settings, queries, options.depth, options.rounds)
            shutil.rmtree(folder / "cache")
            print(f"{name} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    show(rows)
    if options.json:
        told = [json.dumps(r) for r in rows]
        options.json.write_text("[\n" + ",\n".join(told) + "\n]\n")


def real(data: Path) -> tuple[list[str], list[str]]:
    texts = [read.item.contents for read in BEIR(path=data).passages() if read.item]
    return texts, [json.loads(line)["text"] for line in (data / "queries.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
