"""`mine_hard_negatives` of sentence-transformers 6.2, argument by argument, with what its users miss.

Same rows for the same arguments, up to the order of equal scores. Different on purpose: random sampling is seeded; the
embedding cache is keyed by the model's weights and never holds half a file; the statistics can be had as an object; a
query's own text and near-duplicates of its positives can be left out.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hardneg import eci
from hardneg.arrays import Bool, Float32, Float64, Int64, offsets_of, owners_of
from hardneg.files.durable import replacing
from hardneg.generators.dense import nearest
from hardneg.models.in_memory import numbers, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets import Dataset


FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")
FAISS_ON_GPU = 2_048
"""Documents that faiss can retrieve for a query on a GPU."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Statistics:
    """What is printed with ``verbose``. Scores are of every (query, positive), of every exported negative, and the
    differences of the two.
    """

    positives: Float32 = field(repr=False)
    negatives: Float32 = field(repr=False)
    differences: Float32 = field(repr=False)
    skipped: Mapping[str, tuple[int, float]]
    """By filter: how many candidates it removed, and their share of those that were left."""
    missing: int
    """Rows that could not be made, and what a full set would have."""
    possible: int
    range_max: int


@dataclass(frozen=True)
class _Pairs:
    """Queries and passages, each once; ``positives`` are rows of the corpus, those of query i between two offsets."""

    queries: list[str]
    corpus: list[str]
    positives: Int64
    offsets: Int64
    most: int
    """Rows of the query that has most, repeats included."""

    @property
    def owners(self) -> Int64:
        return owners_of(self.offsets)

    @classmethod
    def of(cls, anchors: Sequence[str], positives: Sequence[str], corpus: Sequence[str] | None) -> _Pairs:
        passages = list(dict.fromkeys([*(positives if corpus is None else corpus), *positives]))
        row = {text: number for number, text in enumerate(passages)}
        own: dict[str, dict[int, None]] = {}
        for anchor, positive in zip(anchors, positives, strict=True):
            own.setdefault(anchor, {})[row[positive]] = None
        return cls(
            list(own),
            passages,
            np.array([number for rows in own.values() for number in rows], dtype=np.int64),
            offsets_of([len(rows) for rows in own.values()]),
            max(Counter(anchors).values()),
        )


def mine_hard_negatives(
    dataset: Dataset,
    model: Any,
    anchor_column_name: str | None = None,
    positive_column_name: str | None = None,
    corpus: list[str] | None = None,
    cross_encoder: Any = None,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    num_negatives: int = 3,
    sampling_strategy: Literal["random", "top"] = "top",
    query_prompt_name: str | None = None,
    query_prompt: str | None = None,
    corpus_prompt_name: str | None = None,
    corpus_prompt: str | None = None,
    include_positives: bool = False,
    output_format: Literal["triplet", "n-tuple", "n-tuple-scores", "labeled-pair", "labeled-list"] = "triplet",
    output_scores: bool = False,
    batch_size: int = 32,
    faiss_batch_size: int = 16384,
    use_faiss: bool = False,
    use_multi_process: list[str] | bool = False,
    verbose: bool = True,
    cache_folder: str | None = None,
    as_triplets: bool | None = None,
    margin: float | None = None,
    *,
    seed: int = 0,
    exclude_query: bool = False,
    exclude_near: float | None = None,
    return_statistics: bool = False,
) -> Any:
    """Hard negatives for (anchor, positive) pairs, as `sentence_transformers.util.mine_hard_negatives` gives them.

    The documentation of that function holds for every argument before ``seed``. ``seed`` decides random sampling;
    ``exclude_query`` leaves out candidates whose text is the query; ``exclude_near`` those whose cosine to one of the
    positives is at least so high; ``return_statistics`` returns (data set, `Statistics`).

    Raises ValueError for arguments that make no sense and ImportError for a package that is missing.
    """
    if find_spec("datasets") is None:
        raise ImportError("mine_hard_negatives needs `datasets`: pip install datasets")
    if not len(dataset):
        raise ValueError("The dataset is empty. Please provide a non-empty dataset.")
    if faiss_batch_size <= 0:
        raise ValueError(f"faiss_batch_size must be a positive integer, got {faiss_batch_size}.")
    if use_faiss and find_spec("faiss") is None:
        raise ImportError("use_faiss=True needs `faiss`: pip install faiss-cpu (or faiss-gpu)")
    anchor, positive = _columns(dataset, anchor_column_name, positive_column_name)
    if as_triplets is not None:
        output_format = "triplet" if as_triplets else "n-tuple"
        logger.warning("`as_triplets` is deprecated; `output_format` is set to `%s`.", output_format)
    if include_positives:
        filters = (range_max, max_score, min_score, absolute_margin, relative_margin, margin)
        if range_min or sampling_strategy != "top" or any(value is not None for value in filters):
            logger.warning(
                "With `include_positives=True`, ranges, score limits, margins and sampling other than the defaults "
                "may still discard the positive values."
            )
        if output_format != "n-tuple":
            logger.warning("With `include_positives=True`, `output_format` is `n-tuple`, to keep the ranking.")
            output_format = "n-tuple"
    if output_format == "n-tuple-scores":
        logger.warning("`n-tuple-scores` is deprecated; use `n-tuple` with `output_scores=True`.")
        output_format, output_scores = "n-tuple", True
    if output_format not in FORMATS:
        raise ValueError(f"Invalid output_format: {output_format}. Must be one of {', '.join(FORMATS)}.")
    if sampling_strategy not in ("top", "random"):
        raise ValueError(f"Invalid sampling_strategy: {sampling_strategy}. Must be one of top, random.")
    if margin is not None:
        absolute_margin = margin
        logger.warning("`margin` is deprecated; `absolute_margin` is set to `%s`.", margin)

    pairs = _Pairs.of(list(dataset[anchor]), list(dataset[positive]), corpus)
    limits = {
        "absolute_margin": absolute_margin,
        "relative_margin": relative_margin,
        "max_score": max_score,
        "min_score": min_score,
    }
    wide = any(limits[name] is not None for name in ("absolute_margin", "relative_margin", "max_score"))
    wide |= cross_encoder is not None and min_score is not None
    say = print if verbose else _nothing
    range_max = _window(num_negatives, range_min, range_max, pairs.most, say, wide=wide, use_faiss=use_faiss)
    if len(pairs.queries) != len(dataset):
        say(f"Found {len(pairs.queries)} unique queries out of {len(dataset)} total queries.")
    if pairs.most > 1:
        say(f"Found an average of {len(dataset) / len(pairs.queries):.3f} positives per query.")

    with _pool(model, use_multi_process) as pool:
        embed = _Embedder(model, pool, batch_size, None if cache_folder is None else Path(cache_folder), say)
        documents = embed("document", pairs.corpus, corpus_prompt, corpus_prompt_name)
        queries = embed("query", pairs.queries, query_prompt, query_prompt_name)
    depth = range_max + pairs.most
    search = _by_faiss if use_faiss else _by_model
    rows, scores = search(model, queries, documents, depth, faiss_batch_size)
    own = numbers(model.similarity_pairwise(queries[pairs.owners], documents[pairs.positives]))
    if cross_encoder is not None and any(value is not None for value in limits.values()):
        with _pool(cross_encoder, use_multi_process) as pool:
            scores, own = _rescored(cross_encoder, pairs, rows, pool, batch_size)
    scores = np.where(rows >= 0, scores, -np.inf).astype(np.float32)
    barred = _barred(pairs, rows, documents, exclude_query=exclude_query, exclude_near=exclude_near)
    if not include_positives:
        barred |= _is_positive(pairs, rows)
    scores[barred] = -np.inf

    skipped = _filter(scores, eci.reference(own, pairs.owners, len(pairs.queries), "min"), limits)
    rows, scores = _picked(rows, scores, range_min, range_max, num_negatives, sampling_strategy, seed)
    say("Negative candidates mined, preparing dataset...")
    table, possible = _rows(pairs, rows, scores, own, output_format, (anchor, positive), scored=output_scores)
    from datasets import Dataset

    result = Dataset.from_dict(table)
    statistics = _statistics(pairs, scores, own, output_format, skipped, len(result), possible, range_max)
    if verbose:
        _print(statistics, limits, range_min)
    return (result, statistics) if return_statistics else result


def _nothing(*_: object) -> None:
    pass


def _columns(dataset: Any, anchor: str | None, positive: str | None) -> tuple[str, str]:
    """A name that is missing or not found is the first column, or the second."""
    names = dataset.column_names
    if positive not in names and len(names) < 2:
        raise ValueError("Dataset must contain at least two columns to select the positive column automatically.")
    return (
        anchor if anchor is not None and anchor in names else names[0],
        positive if positive is not None and positive in names else names[1],
    )


def _window(
    count: int, low: int, high: int | None, most: int, say: Callable[..., None], *, wide: bool, use_faiss: bool
) -> int:
    """``range_max``: as given, or wide enough for what filters may remove."""
    if count < 1:
        raise ValueError(f"num_negatives must be at least 1, got num_negatives={count}.")
    note = ""
    if high is None:
        high = low + (count * 10 if wide else count) + most
        if use_faiss and high + most > FAISS_ON_GPU and _gpus():
            high = FAISS_ON_GPU - most
            note = (
                f" Note that range_max was capped to {high} because FAISS on GPU retrieves {FAISS_ON_GPU} documents a "
                "query at most, positives included; use_faiss=False has no such limit and needs more memory."
            )
        say(f"Setting range_max to {high} based on the provided parameters.{note}")
    if low < 0:
        raise ValueError(f"range_min must be non-negative, got range_min={low}.")
    if low >= high:
        raise ValueError(f"range_min must be smaller than range_max, got range_min={low} and range_max={high}.{note}")
    if count > high - low:
        raise ValueError(
            f"Cannot mine {count} negatives per query: only {high - low} candidates remain after skipping the first "
            f"range_min={low} of range_max={high}. Decrease num_negatives or range_min, or increase range_max.{note}"
        )
    return high


def _gpus() -> int:
    import faiss

    return int(getattr(faiss, "get_num_gpus", lambda: 0)())


@contextmanager
def _pool(model: Any, wanted: list[str] | bool) -> Iterator[Any]:
    """The model's processes, stopped whatever happens; None without."""
    if not wanted:
        yield None
        return
    pool = model.start_multi_process_pool(target_devices=None if isinstance(wanted, bool) else wanted)
    try:
        yield pool
    finally:
        model.stop_multi_process_pool(pool)


@dataclass(frozen=True)
class _Embedder:
    """Encodes texts, or finds them in the cache folder by the model's weights, the prompt and the texts."""

    model: Any
    pool: Any
    batch_size: int
    folder: Path | None
    say: Callable[..., None]

    def __call__(
        self, role: Literal["query", "document"], texts: list[str], prompt: str | None, prompt_name: str | None
    ) -> Float32:
        encode = self.model.encode_query if role == "query" else self.model.encode_document

        def encoded() -> Float32:
            vectors = encode(
                texts,
                pool=self.pool,
                batch_size=self.batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=True,
                prompt_name=prompt_name,
                prompt=prompt,
            )
            found = np.asarray(vectors, dtype=np.float32)
            bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
            if len(bad):
                raise ValueError(f"the model gave an embedding that is not finite, for {texts[int(bad[0])]!r:.80}")
            return found

        if self.folder is None:
            return encoded()
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(repr((role, prompt, prompt_name, texts)).encode())
        digest.update(weights_of(self.model))
        name = "query" if role == "query" else "corpus"
        path = self.folder / f"{name}_embeddings_{digest.hexdigest()}.npy"
        if path.exists():
            try:
                found: Float32 = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError):
                self.say(f"[Cache] {path} is damaged and is made again")
            else:
                self.say(f"[Cache] Loaded {name} embeddings from {path} (shape={found.shape})")
                return found
        made = encoded()
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, made)
        self.say(f"[Cache] Saved {name} embeddings to {path}")
        return made


def _by_model(model: Any, queries: Float32, documents: Float32, depth: int, block: int) -> tuple[Int64, Float32]:
    """The ``depth`` most similar rows of each query by the model's own similarity; -1 where the corpus is too small."""
    rows = np.full((len(queries), depth), -1, dtype=np.int64)
    scores = np.full((len(queries), depth), -np.inf, dtype=np.float32)
    for begin in range(0, len(queries), block):
        found = numbers(model.similarity(queries[begin : begin + block], documents))
        near, values = nearest(found, min(depth, len(documents)))
        rows[begin : begin + block, : near.shape[1]], scores[begin : begin + block, : near.shape[1]] = near, values
    return rows, scores


def _by_faiss(_model: Any, queries: Float32, documents: Float32, depth: int, block: int) -> tuple[Int64, Float32]:
    """The same by inner product, with faiss, on the GPUs that there are."""
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    if _gpus():
        options = faiss.GpuMultipleClonerOptions()
        options.shard = options.useFloat16 = True
        index = faiss.index_cpu_to_all_gpus(index, co=options)  # type: ignore[assignment]
    index.add(documents)
    parts = [index.search(queries[begin : begin + block], depth) for begin in range(0, len(queries), block)]
    return np.concatenate([rows for _, rows in parts]), np.concatenate([scores for scores, _ in parts])


def _rescored(cross_encoder: Any, pairs: _Pairs, rows: Int64, pool: Any, batch_size: int) -> tuple[Float32, Float32]:
    """New scores of all candidates and positives, all pairs in one call, so that the model may sort them by length."""
    owners, places = np.nonzero(rows >= 0)
    asked = [
        (pairs.queries[i], pairs.corpus[rows[i, k]]) for i, k in zip(owners.tolist(), places.tolist(), strict=True)
    ]
    asked += [(pairs.queries[i], pairs.corpus[p]) for i, p in zip(pairs.owners.tolist(), pairs.positives, strict=True)]
    found = numbers(
        cross_encoder.predict(asked, batch_size=batch_size, convert_to_tensor=True, pool=pool, show_progress_bar=True)
    ).reshape(-1)
    if len(found) != len(asked):
        raise ValueError("the cross-encoder must give one score a pair")
    if not np.isfinite(found).all():
        raise ValueError("the cross-encoder gave a score that is not finite")
    scores = np.full(rows.shape, -np.inf, dtype=np.float32)
    scores[owners, places] = found[: len(owners)]
    return scores, found[len(owners) :]


def _is_positive(pairs: _Pairs, rows: Int64) -> Bool:
    """Bool [n, depth]: candidates that are a positive of their query."""
    size = len(pairs.corpus)
    found: Bool = np.isin(np.arange(len(rows))[:, None] * size + rows, pairs.owners * size + pairs.positives) & (
        rows >= 0
    )
    return found


def _barred(pairs: _Pairs, rows: Int64, documents: Float32, *, exclude_query: bool, exclude_near: float | None) -> Bool:
    """Bool [n, depth]: candidates with the query's own text, or too near to one of its positives."""
    out = np.zeros(rows.shape, dtype=bool)
    if exclude_query:
        row = {text: number for number, text in enumerate(pairs.corpus)}
        own = np.array([row.get(query, -2) for query in pairs.queries], dtype=np.int64)
        out |= rows == own[:, None]
    if exclude_near is not None:
        for i in range(len(rows)):
            positives = documents[pairs.positives[pairs.offsets[i] : pairs.offsets[i + 1]]]
            out[i] |= (documents[np.maximum(rows[i], 0)] @ positives.T).max(axis=1) >= exclude_near
    return out


def _filter(scores: Float32, reference: Float64, limits: Mapping[str, float | None]) -> dict[str, tuple[int, float]]:
    """Sets what a limit removes to -inf; how many each one removed that was still there, and their share."""
    left, counts = scores.size, {}
    for name, limit in limits.items():
        if limit is None:
            continue
        there = np.isfinite(scores)
        if name == "min_score":
            gone = there & (scores < limit)
        else:
            rule: eci.Rule = (
                "margin" if name == "absolute_margin" else "relative" if name == "relative_margin" else "ceiling"
            )
            bounds = eci.limits(reference, rule, limit).astype(np.float32)  # as precise as the scores are
            highest = np.broadcast_to(bounds[:, None], scores.shape)
            gone = there.copy()
            gone[there] = ~eci.keep(scores[there], highest[there])
        scores[gone] = -np.inf
        if gone.any():
            counts[name] = (int(gone.sum()), float(gone.sum() / left))
            left -= int(gone.sum())
    return counts


def _picked(
    rows: Int64, scores: Float32, low: int, high: int, count: int, strategy: str, seed: int
) -> tuple[Int64, Float32]:
    """The chosen candidates [n, count], best first; a score of -inf means that there is none."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, low:high]
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    if strategy == "random":
        options = np.maximum(np.isfinite(scores).sum(axis=1), count)
        draws = [
            np.sort(np.random.default_rng([seed, i]).choice(n, count, replace=False)) for i, n in enumerate(options)
        ]
        chosen = np.stack(draws)
        return np.take_along_axis(rows, chosen, axis=1), np.take_along_axis(scores, chosen, axis=1)
    return rows[:, :count], scores[:, :count]


def _rows(
    pairs: _Pairs, rows: Int64, scores: Float32, own: Float32, layout: str, names: tuple[str, str], *, scored: bool
) -> tuple[dict[str, list[Any]], int]:
    """The columns of the data set, and how many rows a full one would have."""
    anchor, positive = names
    there = np.isfinite(scores)
    texts = pairs.corpus
    n, count = rows.shape
    everyone = list(zip(pairs.owners.tolist(), pairs.positives.tolist(), own.tolist(), strict=True))

    def negatives(i: int) -> list[tuple[str, float]]:
        return [(texts[rows[i, k]], float(scores[i, k])) for k in range(count) if there[i, k]]

    if layout == "triplet":
        triples = [(i, p, s, text, score) for i, p, s in everyone for text, score in negatives(i)]
        table: dict[str, list[Any]] = {
            anchor: [pairs.queries[i] for i, *_ in triples],
            positive: [texts[p] for _, p, *_ in triples],
            "negative": [text for *_, text, _ in triples],
        }
        if scored:
            table["scores"] = [[s, score] for _, _, s, _, score in triples]
        return table, len(everyone) * count
    if layout == "labeled-pair":
        labelled = []
        for i in range(n):
            begin, end = int(pairs.offsets[i]), int(pairs.offsets[i + 1])
            labelled += [(i, texts[p], s, 1) for _, p, s in everyone[begin:end]]
            labelled += [(i, text, score, 0) for text, score in negatives(i)]
        table = {
            anchor: [pairs.queries[i] for i, *_ in labelled],
            positive: [text for _, text, *_ in labelled],
            "score" if scored else "label": [entry[2 if scored else 3] for entry in labelled],
        }
        return table, len(everyone) + n * count
    wanted = count if layout == "n-tuple" else 1
    full = [(i, p, s, found) for i, p, s in everyone if len(found := negatives(i)) >= wanted]
    table = {anchor: [pairs.queries[i] for i, *_ in full]}
    if layout == "n-tuple":
        table[positive] = [texts[p] for _, p, *_ in full]
        for k in range(count):
            table[f"negative_{k + 1}"] = [found[k][0] for *_, found in full]
    else:
        table[positive] = [[texts[p], *(text for text, _ in found)] for _, p, _, found in full]
    if scored:
        table["scores"] = [[s, *(score for _, score in found)] for _, _, s, found in full]
    elif layout == "labeled-list":
        table["labels"] = [[1] + [0] * len(found) for *_, found in full]
    return table, len(everyone)


def _statistics(
    pairs: _Pairs,
    scores: Float32,
    own: Float32,
    layout: str,
    skipped: Mapping[str, tuple[int, float]],
    made: int,
    possible: int,
    range_max: int,
) -> Statistics:
    per_positive = scores[pairs.owners]
    keep = np.isfinite(per_positive)
    if layout == "n-tuple":
        keep &= keep.all(axis=1, keepdims=True)
    negatives = per_positive[keep]
    differences = np.repeat(own[:, None], scores.shape[1], axis=1)[keep] - negatives
    return Statistics(own, negatives, differences, skipped, max(possible - made, 0), possible, range_max)


def _print(found: Statistics, limits: Mapping[str, float | None], range_min: int) -> None:
    columns = (found.positives, found.negatives, found.differences)
    line = "{:<6} {:>14} {:>14} {:>14}"
    print(line.format("Metric", "Positive", "Negative", "Difference"))
    print(line.format("Count", f"{len(found.positives):,}", f"{len(found.negatives):,}", ""))
    measures: dict[str, Callable[[Float32], Any]] = {
        "Mean": np.mean,
        "Median": np.median,
        "Std": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
        "Min": np.min,
        "25%": lambda values: np.quantile(values, 0.25),
        "50%": np.median,
        "75%": lambda values: np.quantile(values, 0.75),
        "Max": np.max,
    }
    for name, measure in measures.items():
        print(line.format(name, *(f"{measure(values):.4f}" if len(values) else "nan" for values in columns)))
    for name, (count, share) in found.skipped.items():
        print(f"Skipped {count:,} potential negatives ({share:.2%}) due to the {name} of {limits[name]}.")
    if found.missing:
        given = [n for n in ("absolute_margin", "relative_margin", "max_score") if limits[n] is not None]
        names = ["range_max", *(["range_min"] if range_min else []), *given]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        print(
            f"Could not find enough negatives for {found.missing} samples ({found.missing / found.possible:.2%})."
            f" Consider adjusting the {listed} parameter{'s' * (len(names) > 1)} if you'd like to find more."
        )
