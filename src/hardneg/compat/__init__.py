"""`mine_hard_negatives` of sentence-transformers 6.2, argument by argument, with what its users miss.

The rows are the same for the same arguments, up to the order of equal scores. Different on purpose: random sampling is
seeded; the embedding cache is keyed by the model's weights and never holds half a file; the statistics can be had as an
object; a query's own text and near-duplicates of its positives can be left out.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hardneg import eci
from hardneg.compat.choice import filtered, picked, window
from hardneg.compat.pairs import Pairs, barred, columns, is_positive
from hardneg.compat.rows import FORMATS, Statistics, print_statistics, rows_of, statistics_of
from hardneg.compat.search import Embedder, by_faiss, by_model, pool_of, rescored
from hardneg.models.in_memory import numbers

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Statistics", "mine_hard_negatives"]

logger = logging.getLogger(__name__)


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
    anchor, positive = columns(dataset, anchor_column_name, positive_column_name)
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

    pairs = Pairs.of(list(dataset[anchor]), list(dataset[positive]), corpus)
    limits = {
        "absolute_margin": absolute_margin,
        "relative_margin": relative_margin,
        "max_score": max_score,
        "min_score": min_score,
    }
    wide = any(limits[name] is not None for name in ("absolute_margin", "relative_margin", "max_score"))
    wide |= cross_encoder is not None and min_score is not None
    say = print if verbose else _nothing
    range_max = window(num_negatives, range_min, range_max, pairs.most, say, wide=wide, use_faiss=use_faiss)
    if len(pairs.queries) != len(dataset):
        say(f"Found {len(pairs.queries)} unique queries out of {len(dataset)} total queries.")
    if pairs.most > 1:
        say(f"Found an average of {len(dataset) / len(pairs.queries):.3f} positives per query.")

    with pool_of(model, use_multi_process) as pool:
        embed = Embedder(model, pool, batch_size, None if cache_folder is None else Path(cache_folder), say)
        documents = embed("document", pairs.corpus, corpus_prompt, corpus_prompt_name)
        queries = embed("query", pairs.queries, query_prompt, query_prompt_name)
    depth = range_max + pairs.most
    search = by_faiss if use_faiss else by_model
    rows, scores = search(model, queries, documents, depth, faiss_batch_size)
    own = numbers(model.similarity_pairwise(queries[pairs.owners], documents[pairs.positives]))
    if cross_encoder is not None and any(value is not None for value in limits.values()):
        with pool_of(cross_encoder, use_multi_process) as pool:
            scores, own = rescored(cross_encoder, pairs, rows, pool, batch_size)
    scores = np.where(rows >= 0, scores, -np.inf).astype(np.float32)
    out = barred(pairs, rows, documents, exclude_query=exclude_query, exclude_near=exclude_near)
    if not include_positives:
        out |= is_positive(pairs, rows)
    scores[out] = -np.inf

    skipped = filtered(scores, eci.reference(own, pairs.owners, len(pairs.queries), "min"), limits)
    rows, scores = picked(rows, scores, range_min, range_max, num_negatives, sampling_strategy, seed)
    say("Negative candidates mined, preparing dataset...")
    table, possible = rows_of(pairs, rows, scores, own, output_format, (anchor, positive), scored=output_scores)
    from datasets import Dataset

    result = Dataset.from_dict(table)
    statistics = statistics_of(pairs, scores, own, output_format, skipped, len(result), possible, range_max)
    if verbose:
        print_statistics(statistics, limits, range_min)
    return (result, statistics) if return_statistics else result


def _nothing(*_: object) -> None:
    pass
