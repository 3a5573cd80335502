"""Exports, against sentence-transformers' own miner and by hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardneg.data import training_rows as formats
from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.errors import HardnegError, PartError
from hardneg.exports.flagembedding import FlagEmbedding
from hardneg.exports.jsonl import JSONL
from hardneg.exports.sentence_transformers import SentenceTransformers
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.selectors.top import Top

BatchOf = Callable[..., Batch]
FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


def mined(batch: Batch, model: str, margin: float, per_query: int = 2) -> Batch:
    encoder = Encoder(model=model)
    batch = merge(batch, {"dense": Dense(encoder=encoder, depth=7).generate(batch)})
    batch = replace(batch, scores={"target": BiEncoder(encoder=encoder).score(batch)})
    batch = replace(batch, verdicts={"safe": ECISafety(scorer="target", margin=margin, reference="min").judge(batch)})
    [selection] = Top(scorer="target", per_query=per_query).select([batch])
    return replace(batch, selection=selection)


@pytest.fixture
def batch(batch_of: BatchOf, tiny_encoder: str) -> Batch:
    """Three queries, the last with two positives; the margin leaves 2, fewer than 2, and 2 negatives."""
    from support import margin_that_leaves_a_short_set

    bare = batch_of()
    return mined(bare, tiny_encoder, margin_that_leaves_a_short_set(bare, tiny_encoder))


def written(part: object, batch: Batch, folder: Path) -> tuple[list[dict], dict]:
    import datasets

    folder.mkdir(exist_ok=True)
    counts = part.write([batch], folder)
    file = next(file for file in folder.iterdir() if file.is_file())
    if file.suffix == ".parquet":
        return list(datasets.load_dataset(str(folder), split="train", cache_dir=str(folder.parent / "hf"))), counts
    return [json.loads(line) for line in file.read_text().splitlines()], counts


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("layout", FORMATS)
def test_rows_are_those_of_sentence_transformers_own_miner(
    batch_of: BatchOf, tiny_encoder: str, tmp_path: Path, layout: str, scores: bool
) -> None:
    # the peer knows positives by exact text only, so without the passage that equals one after normalisation
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives
    from support import PASSAGES, margin_that_leaves_a_short_set

    bare = batch_of({name: text for name, text in PASSAGES.items() if name != "copy"})
    margin = margin_that_leaves_a_short_set(bare, tiny_encoder)
    rows, _ = written(
        SentenceTransformers(format=layout, scores=scores, short="drop"),
        mined(bare, tiny_encoder, margin),
        tmp_path / "out",
    )
    pairs = [
        {"anchor": bare.queries[i], "positive": bare.corpus.passage(int(row)).contents}
        for i, row in zip(bare.positive_owners, bare.positive_rows, strict=True)
    ]
    theirs = mine_hard_negatives(
        Dataset.from_list(pairs),
        SentenceTransformer(tiny_encoder, device="cpu"),
        corpus=bare.corpus.contents(np.arange(len(bare.corpus))),
        absolute_margin=margin,
        num_negatives=2,
        range_max=7,
        output_format=layout,
        output_scores=scores,
        verbose=False,
    )
    assert len(rows) == len(theirs) > 0
    assert list(rows[0]) == list(theirs[0])
    key = "scores" if "scores" in theirs.column_names else "score"
    for mine, other in (
        zip(sorted(rows, key=str), sorted(theirs, key=str), strict=True)
        if not scores
        else zip(rows, theirs, strict=True)
    ):
        assert {k: v for k, v in mine.items() if k != key} == {k: v for k, v in other.items() if k != key}
        if scores:
            assert mine[key] == pytest.approx(other[key], abs=1e-5)


def test_short_examples_are_left_out_of_n_tuples_and_counted(batch: Batch, tmp_path: Path) -> None:
    sizes = np.diff(batch.selection.offsets).tolist()
    assert min(sizes) < 2 == max(sizes)
    rows, counts = written(SentenceTransformers(format="n-tuple", short="drop"), batch, tmp_path / "out")
    full = [i for i, size in enumerate(sizes) if size == 2]
    assert len(rows) == counts["rows"] == sum(int((batch.positive_owners == i).sum()) for i in full)
    assert counts["examples left out as too short"] == len(sizes) - len(full)


def test_short_examples_repeat_their_negatives(batch: Batch, tmp_path: Path) -> None:
    sizes = np.diff(batch.selection.offsets)
    rows, counts = written(SentenceTransformers(format="n-tuple"), batch, tmp_path / "out")
    some = np.flatnonzero(sizes > 0)
    assert len(rows) == int(np.isin(batch.positive_owners, some).sum())
    assert counts["examples with repeated negatives"] == int(((sizes > 0) & (sizes < 2)).sum())
    repeated = [row for row in rows if row["negative_1"] == row["negative_2"]]
    assert len(repeated) == sum(int((batch.positive_owners == i).sum()) for i in np.flatnonzero(sizes == 1))
    with pytest.raises(HardnegError, match=r"has . of 2 negatives"):
        written(SentenceTransformers(format="n-tuple", short="error"), batch, tmp_path / "error")


@pytest.mark.parametrize("layout", FORMATS)
def test_the_sidecar_names_the_passages_of_every_row(batch: Batch, tmp_path: Path, layout: str) -> None:
    rows, _ = written(SentenceTransformers(format=layout), batch, tmp_path / "out")
    sidecar = (tmp_path / "out" / "__provenance__" / "rows.jsonl").read_text()
    lines = [json.loads(line) for line in sidecar.splitlines()]
    assert [line["row"] for line in lines] == list(range(len(rows)))
    query = dict(zip(batch.ids, batch.queries, strict=True))
    for row, line in zip(rows, lines, strict=True):
        texts = [text for name in row if name.startswith(("positive", "negative")) for text in [row[name]]]
        texts = texts[0] if isinstance(texts[0], list) else texts
        assert row["anchor"] == query[line["query_id"]]
        assert texts == [batch.corpus.passage(batch.corpus.row(name)).contents for name in line["passage_ids"]]


def test_negatives_cuts_and_width_counts(batch: Batch, tmp_path: Path) -> None:
    rows, counts = written(SentenceTransformers(format="n-tuple", negatives=1), batch, tmp_path / "out")
    assert set(rows[0]) == {"anchor", "positive", "negative_1"}
    assert counts["examples left out as too short"] == int((np.diff(batch.selection.offsets) == 0).sum())


def test_flagembedding_lines(batch: Batch, tmp_path: Path) -> None:
    rows, counts = written(FlagEmbedding(scores=True, prompt="Represent: "), batch, tmp_path / "out")
    assert counts["rows"] == len(rows)
    for row in rows:
        assert list(row) == ["query", "pos", "neg", "pos_scores", "neg_scores", "prompt"]
        assert len(row["pos"]) == len(row["pos_scores"])
        assert len(row["neg"]) == len(row["neg_scores"]) > 0
        assert all(isinstance(text, str) for text in row["pos"] + row["neg"])
    assert "prompt" not in written(FlagEmbedding(), batch, tmp_path / "plain")[0][0]


def test_flagembedding_leaves_out_examples_without_a_negative(batch: Batch, tmp_path: Path) -> None:
    empty = replace(
        batch, selection=replace(batch.selection, offsets=np.array([0, 0, 0, 2]), chosen=batch.selection.chosen[-2:])
    )
    rows, counts = written(FlagEmbedding(), empty, tmp_path / "out")
    assert len(rows) == 1
    assert counts["examples left out as too short"] == 2


def test_jsonl_holds_everything_and_is_read_back(batch: Batch, tmp_path: Path) -> None:
    rows, _ = written(JSONL(dropped=True), batch, tmp_path / "out")
    assert [row["query_id"] for row in rows] == list(batch.ids)
    negative = next(n for row in rows for n in row["negatives"])
    assert set(negative) == {"id", "title", "text", "scores", "origins"}
    assert negative["origins"][0]["generator"] == "dense"
    dropped = [d for row in rows for d in row["dropped"]]
    assert len(dropped) == int((~batch.kept).sum()) > 0
    assert all(d["reasons"]["safe"]["rule"] == "margin" for d in dropped)
    assert all(d["reasons"]["safe"]["value"] > d["reasons"]["safe"]["limit"] for d in dropped)
    read = list(formats.rows(tmp_path / "out" / "train.jsonl"))
    assert [len(row.negatives) for row in read] == np.diff(batch.selection.offsets).tolist()


def test_a_score_that_is_not_finite_is_never_written(batch: Batch, tmp_path: Path) -> None:
    scores = batch.scores["target"]
    first = batch.selection.chosen[0]
    broken = replace(scores, negatives=np.where(np.arange(len(batch.rows)) == first, np.nan, scores.negatives))
    for part in (SentenceTransformers(scores=True), FlagEmbedding(scores=True)):
        with pytest.raises(HardnegError, match="not finite"):
            part.write([replace(batch, scores={"target": broken})], tmp_path)


def test_an_unknown_scorer_is_named(batch: Batch, tmp_path: Path) -> None:
    with pytest.raises(PartError, match="`scorer: other` is none of the job's scorers: target"):
        FlagEmbedding(scores=True, scorer="other").write([batch], tmp_path)
