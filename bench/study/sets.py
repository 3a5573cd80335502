"""The sets of negatives that are trained on: a source, a window of its ranks, a treatment, a size.

Names read ``source.window[.treatment][.k3]``: ``dense.top.calibrated_self``, ``bm25.mid``, ``random.top.k1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bench.study.orders import Rows, Start, orders
from numpy.typing import NDArray

SIZE = 7
POOL = 60
LEVEL, SLOPE = 2.5, 1.4  # docs/explanation/safety.md

Keep = Callable[[int, NDArray[np.int64]], NDArray[np.bool_]]


def probability(start: Start, *views: str) -> Callable[[int, NDArray[np.int64]], NDArray[np.float64]]:
    """The estimate of docs/explanation/safety.md, 1 / (1 + exp(slope u - level)), u the mean log rank for query and
    positive."""

    def of(row: int, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        some = [getattr(start, name) for name in views]
        u = np.mean(
            [m[row, candidates].astype(np.float64) for v in some for m in (v.for_query, v.for_positive)], axis=0
        )
        return 1 / (1 + np.exp(SLOPE * u - LEVEL))

    return of


def treatments(start: Start) -> dict[str, Keep]:
    """What each filter keeps of a query's candidates. ``self``: the target is its own referee, as a user's job has it;
    ``mini``: MiniLM, which knows more, is. A veto: what another model puts above the positive goes.
    """
    plus, near = start.plus, start.similarities
    grid = np.quantile(plus, np.linspace(0, 1, 1001))
    doubt, other = probability(start, "dense", "bm25"), probability(start, "mini", "bm25")

    def place(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.interp(values, grid, np.linspace(0, 1, 1001))

    relevant = [np.array(start.texts.relevant[i]) for i in start.texts.train]
    return {
        "margin": lambda i, c: near[i, c] <= plus[i] - 0.05,
        "relative": lambda i, c: near[i, c] <= plus[i] - 0.05 * abs(plus[i]),
        "percentile": lambda i, c: place(near[i, c]) <= 0.95 * place(plus[i : i + 1]),
        "calibrated_self": lambda i, c: doubt(i, c) <= 0.3,
        "calibrated_self_strict": lambda i, c: doubt(i, c) <= 0.1,
        "calibrated_mini": lambda i, c: other(i, c) <= 0.3,
        "veto_mini": lambda i, c: start.mini.for_query[i, c] > start.mini.for_query[i, start.own[i]],
        "veto_maxsim": lambda i, c: start.maxsim(i, c) < start.maxsim(i, start.own[i : i + 1]),
        "oracle": lambda i, c: ~np.isin(c, relevant[i]),
    }


def first(order: Rows, size: int = SIZE, keep: Keep | None = None) -> Rows:
    """The first ``size`` that are kept of each query's first 60: fewer where fewer are kept."""
    if keep is None:
        return [row[:size] for row in order]
    return [row[:POOL][keep(i, row[:POOL])][:size] for i, row in enumerate(order)]


def drawn(order: Rows, begin: int, end: int, size: int = SIZE) -> Rows:
    """``size`` of each query's candidates at ranks begin + 1 to end, drawn by a fixed seed."""
    rng = np.random.default_rng(begin)
    return [rng.permutation(row[begin:end])[:size] for row in order]


def turns(*sets: Rows, size: int = SIZE) -> Rows:
    """The first of each set, then the second of each, as long as they are new: a union of the same size."""
    out = []
    for rows in zip(*sets, strict=True):
        longest = max(map(len, rows))
        flat = [int(row[i]) for i in range(longest) for row in rows if i < len(row)]
        out.append(np.array(list(dict.fromkeys(flat))[:size], dtype=np.int64))
    return out


def kept(start: Start, encoder: str) -> dict[str, Rows]:
    """`all_sets`, from a file where they were made before."""
    path = start.cache / f"sets_{encoder}.npz"
    if not path.exists():
        made = dict(all_sets(start))
        parts = {
            name: np.array([*map(len, rows), *np.concatenate(rows)], dtype=np.int32) for name, rows in made.items()
        }
        np.savez_compressed(path, **parts)
    n = len(start.own)
    with np.load(path) as found:
        return {name: np.split(flat[n:], np.cumsum(flat[: n - 1])) for name, flat in found.items()}


def all_sets(start: Start) -> Iterator[tuple[str, Rows]]:
    """Every set of the study for one collection and one untrained encoder."""
    source = orders(start)
    filters = treatments(start)
    yield "none", [np.zeros(0, dtype=np.int64)] * len(start.own)
    for name, order in source.items():
        yield f"{name}.top", first(order)
    for name in ("bm25", "dense", "mini", "reranked", "maxsim", "positive"):
        yield f"{name}.mid", drawn(source[name], 10, 50)
    for name in ("bm25", "dense", "mini"):
        yield f"{name}.wide", drawn(source[name], 0, 50)
        for treatment, keep in filters.items():
            if treatment != "oracle" or max(map(len, start.texts.relevant)) > 1:
                yield f"{name}.top.{treatment}", first(source[name], keep=keep)
    for name in ("bm25", "dense"):
        yield f"{name}.far", drawn(source[name], 100, 300)
    for name in ("bm25", "dense", "random"):
        for size in (1, 3, 15):
            yield f"{name}.top.k{size}", first(source[name], size)
    for size in (1, 3, 15):
        yield f"dense.mid.k{size}", drawn(source["dense"], 10, 50, size)
        yield f"dense.top.calibrated_self.k{size}", first(source["dense"], size, filters["calibrated_self"])
    yield "bm25+dense", turns(source["bm25"], source["dense"])
    yield "bm25+random", turns(source["bm25"], source["random"])
    yield "dense+mini", turns(source["dense"], source["mini"])
    yield "dense+random", turns(source["dense"], source["random"])
    yield from recipes(start, source, filters)


def recipes(start: Start, source: dict[str, Rows], filters: dict[str, Keep]) -> Iterator[tuple[str, Rows]]:
    """What three tools make by default, at seven negatives.

    ``recipe.hardneg``: 50 of BM25 and 50 of the target, refused above 30 % by the calibrated rule, the hardest seven.
    ``recipe.sentence_transformers``: `mine_hard_negatives(relative_margin=0.05)`, the first seven that it keeps of 70.
    ``recipe.flagembedding``: `hn_mine` draws from ranks 10 to 210.
    """
    pool = turns(first(source["bm25"], 50), first(source["dense"], 50), size=100)
    keep = filters["calibrated_self"]
    kept = [row[keep(i, row)] for i, row in enumerate(pool)]
    yield (
        "recipe.hardneg",
        [row[np.argsort(-start.similarities[i, row], kind="stable")][:SIZE] for i, row in enumerate(kept)],
    )
    near, plus = start.similarities, start.plus
    wide = [row[:70][near[i, row[:70]] <= plus[i] * 0.95] for i, row in enumerate(source["dense"])]
    yield "recipe.sentence_transformers", first(wide)
    yield "recipe.flagembedding", drawn(source["dense"], 10, 210)


def product(start: Start, model: Any, encoder: str) -> Rows:
    """What `hardneg.mine` gives with all defaults. ``model`` is the untrained target; candidates are the corpus."""
    path = start.cache / f"product_{encoder}.npz"
    if not path.exists():
        from hardneg import mine

        texts = start.texts
        rows = {text: row for row, text in reversed(list(enumerate(texts.passages)))}
        queries = [texts.queries[i] for i in texts.train]
        pairs = {"query": queries, "positive": [texts.passages[row] for row in start.own]}
        made = mine(pairs, model, corpus=texts.passages, per_query=SIZE).dataset
        found = {
            row["anchor"]: list(dict.fromkeys(rows[row[name]] for name in row if name.startswith("negative")))
            for row in made
        }
        lists = [found.get(query, []) for query in queries]
        np.savez(path, lengths=[*map(len, lists)], rows=np.concatenate(lists))
    with np.load(path) as found:
        return np.split(found["rows"].astype(np.int64), np.cumsum(found["lengths"])[:-1])
