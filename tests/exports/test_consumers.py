"""What is written, read by those it is written for: the trainers' own loaders and a few real training steps."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.errors import DataError, HardnegError
from hardneg.exports import provenance
from hardneg.exports.automodel import Automodel
from hardneg.exports.beir import BEIR
from hardneg.exports.cross_encoder import CrossEncoder
from hardneg.exports.flagembedding import FlagEmbedding
from hardneg.exports.gpl import GPL
from hardneg.exports.ms_swift import MSSwift
from hardneg.exports.msmarco import MSMARCO
from hardneg.exports.parquet import Parquet
from hardneg.exports.sentence_transformers import SentenceTransformers
from hardneg.exports.tables import Tables
from hardneg.exports.tevatron import Tevatron
from hardneg.filters.eci_safety import ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.selectors.top import Top


@pytest.fixture
def batch(batch_of: Callable[..., Batch], tiny_encoder: str) -> Batch:
    """Three queries, the last with two positives; the first has one negative only."""
    encoder = Encoder(model=tiny_encoder)
    bare = batch_of()
    full = merge(bare, {"dense": Dense(encoder=encoder, depth=6).generate(bare), "bm25": BM25(depth=3).generate(bare)})
    full = replace(full, scores={"target": BiEncoder(encoder=encoder).score(full)})
    verdicts = ECISafety(scorer="target", ceiling=2.0).judge(full)
    first = np.flatnonzero(full.owners == 0)
    broken = verdicts.broken.copy()
    broken[first[1:]] = 0
    full = replace(full, verdicts={"safe": replace(verdicts, broken=broken)})
    [selection] = Top(scorer="target", per_query=3).select([full])
    assert np.diff(selection.offsets).tolist() == [1, 3, 3]
    return replace(full, selection=selection)


def write(part: Any, batch: Batch, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Any] = part.write([batch], folder)
    return counts


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def opened(folder: Path, name: str) -> Any:
    """A Parquet file as a trainer opens it."""
    from datasets import load_dataset

    file = folder / "out" / f"{name}.parquet"
    return load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(folder / "hf"))


def chosen(batch: Batch, i: int) -> list[str]:
    own = batch.selection.chosen[batch.selection.offsets[i] : batch.selection.offsets[i + 1]]
    return batch.contents(own)


@pytest.fixture
def tokenizer(tiny_encoder: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.mark.parametrize("distilled", [False, True])
def test_flagembeddings_data_set(batch: Batch, tmp_path: Path, tokenizer: Any, distilled: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from FlagEmbedding.abc.finetune.embedder import AbsEmbedderDataArguments, AbsEmbedderTrainDataset

        write(FlagEmbedding(scores=distilled), batch, tmp_path / "out")
        arguments = AbsEmbedderDataArguments(
            train_data=[str(tmp_path / "out" / "train.jsonl")],
            train_group_size=4,
            knowledge_distillation=distilled,
            cache_path=str(tmp_path / "hf"),
        )
        data = AbsEmbedderTrainDataset(arguments, tokenizer)
        assert len(data) == 3
        for i in range(3):
            query, passages, scores = data[i]
            assert query == batch.queries[i]
            assert len(passages) == 4
            assert set(passages[1:]) <= set(chosen(batch, i))
            assert (scores is None) != distilled
            if distilled:
                assert len(scores) == 4


def test_tevatrons_loader_and_data_set(batch: Batch, tmp_path: Path, tokenizer: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datasets import load_dataset
        from tevatron.datasets.preprocessor import TrainPreProcessor

        assert write(Tevatron(), batch, tmp_path / "out")["rows"] == 3
        loaded = load_dataset("json", data_files=str(tmp_path / "out" / "train.jsonl"), cache_dir=str(tmp_path / "hf"))
        for i, example in enumerate(loaded["train"]):
            found = TrainPreProcessor(tokenizer)(example)
            wanted = [tokenizer.encode(text, add_special_tokens=False) for text in chosen(batch, i)]
            assert found["negatives"] == wanted
            assert found["query"] == tokenizer.encode(batch.queries[i], add_special_tokens=False)


def test_tevatrons_other_forms(batch: Batch, tmp_path: Path) -> None:
    write(Tevatron(form="ids"), batch, tmp_path / "ids")
    corpus = {line["docid"]: line["text"] for line in lines(tmp_path / "ids" / "corpus.jsonl")}
    for i, line in enumerate(lines(tmp_path / "ids" / "train.jsonl")):
        assert [corpus[name] for name in line["negative_document_ids"]] == chosen(batch, i)
        assert set(line["positive_document_ids"]) <= set(corpus)
    write(Tevatron(form="teacher", negatives=3), batch, tmp_path / "teacher")
    teacher = lines(tmp_path / "teacher" / "train.jsonl")
    assert len(teacher) == 4  # a line a positive
    assert all(len(line["passages"]) == len(line["scores"]) == 4 for line in teacher)
    write(Tevatron(scores=True), batch, tmp_path / "scored")
    [first, *_] = lines(tmp_path / "scored" / "train.jsonl")
    assert first["negative_passages"][0].keys() == {"docid", "text", "score"}


def test_beirs_loader(batch: Batch, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from beir.datasets.data_loader import GenericDataLoader

        write(BEIR(split="mined"), batch, tmp_path / "out")
        corpus, queries, qrels = GenericDataLoader(str(tmp_path / "out")).load(split="mined")
    assert qrels == {"q1": {"cat": 1}, "q2": {"paris": 1}, "q3": {"dogs": 1, "cats": 1}}
    assert queries == dict(zip(batch.ids, batch.queries, strict=True))
    assert {passage["text"] for passage in corpus.values()} >= set(chosen(batch, 2))


def test_our_reader_reads_it_back(batch: Batch, tmp_path: Path) -> None:
    from hardneg.readers import beir

    write(BEIR(), batch, tmp_path / "out")
    reader = beir.BEIR(path=tmp_path / "out")
    assert {read.item.id for read in reader.passages()} >= {"cat", "paris", "dogs", "cats"}


def test_gpl(batch: Batch, tmp_path: Path) -> None:
    counts = write(GPL(scorer="target"), batch, tmp_path / "out")
    found = lines(tmp_path / "out" / "hard-negatives.jsonl")
    assert [line["qid"] for line in found] == list(batch.ids)
    assert set().union(*(line["neg"] for line in found)) == {"dense", "bm25"}
    corpus = {line["_id"] for line in lines(tmp_path / "out" / "corpus.jsonl")}
    assert all(set(ids) <= corpus for line in found for ids in line["neg"].values())
    labels = (tmp_path / "out" / "gpl-training-data.tsv").read_text().splitlines()
    assert len(labels) == counts["pseudo labels"] == 1 + 3 + 2 * 3
    query, positive, negative, margin = labels[0].split("\t")
    scores = batch.scores["target"]
    assert (query, positive) == ("q1", "cat")
    assert float(margin) == pytest.approx(
        float(scores.positives[0] - scores.negatives[batch.selection.chosen[0]]), abs=1e-6
    )
    assert negative in corpus


def test_pylates_processing(batch: Batch, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pylate.utils import KDProcessing

        assert write(Tables(negatives=3), batch, tmp_path / "out")["rows"] == 4
        train, queries, documents = (opened(tmp_path, name) for name in ("train", "queries", "documents"))
        train.set_transform(KDProcessing(queries=queries, documents=documents, n_ways=4).transform)
        for row, i in zip(train, (0, 1, 2, 2), strict=True):
            assert row["query"] == batch.queries[i]
            assert len(row["documents"]) == len(row["scores"]) == 4
            assert set(row["documents"][1:]) == set(chosen(batch, i))


def test_sentence_transformers_resolves_the_ids(batch: Batch, tmp_path: Path) -> None:
    from sentence_transformers.util import resolve_ids

    write(Tables(names="sentence_transformers", negatives=3), batch, tmp_path / "out")
    train, queries, documents = (opened(tmp_path, name) for name in ("train", "queries", "documents"))
    train.set_transform(resolve_ids({"query_id": queries, "document_ids": documents}))
    row = train[1]
    assert row["query"] == batch.queries[1]
    assert [row[f"document_{k}"] for k in (2, 3, 4)] == chosen(batch, 1)
    assert "sources" not in row


def trained(model: str, data: Any, loss: Callable[[Any], Any], folder: Path) -> None:
    """Two real steps of a bi-encoder; fails where a column is not what the loss wants."""
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )

    encoder = SentenceTransformer(model, device="cpu")
    before = encoder.encode(["the cat sat"])
    arguments = SentenceTransformerTrainingArguments(
        str(folder),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.01,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    SentenceTransformerTrainer(encoder, arguments, train_dataset=data, loss=loss(encoder)).train()
    assert np.abs(encoder.encode(["the cat sat"]) - before).max() > 1e-6


def loaded(part: Any, batch: Batch, folder: Path) -> Any:
    write(part, batch, folder / "out")
    return opened(folder, "train")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["triplet", "n-tuple"])
def test_two_steps_of_multiple_negatives_ranking(batch: Batch, tiny_encoder: str, tmp_path: Path, layout: str) -> None:
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    data = loaded(SentenceTransformers(format=layout, negatives=1 if layout == "n-tuple" else None), batch, tmp_path)
    trained(tiny_encoder, data, MultipleNegativesRankingLoss, tmp_path / "run")


@pytest.mark.filterwarnings("ignore")
def test_two_steps_of_margin_mse(batch: Batch, tiny_encoder: str, tmp_path: Path) -> None:
    from sentence_transformers.losses import MarginMSELoss

    data = loaded(SentenceTransformers(format="n-tuple", negatives=3, scores=True), batch, tmp_path)
    trained(tiny_encoder, data, MarginMSELoss, tmp_path / "run")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["BinaryCrossEntropyLoss", "LambdaLoss"])
def test_two_steps_of_a_reranker(batch: Batch, tiny_cross_encoder: str, tmp_path: Path, name: str) -> None:
    from sentence_transformers import CrossEncoder as Model
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments, losses

    part = CrossEncoder() if name == "BinaryCrossEntropyLoss" else SentenceTransformers(format="labeled-list")
    data = loaded(part, batch, tmp_path)
    model = Model(tiny_cross_encoder, device="cpu")
    before = model.predict([("the cat", "the dog")])
    arguments = CrossEncoderTrainingArguments(
        str(tmp_path / "run"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.01,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    CrossEncoderTrainer(model, arguments, train_dataset=data, loss=getattr(losses, name)(model)).train()
    assert abs(float(model.predict([("the cat", "the dog")])[0]) - float(before[0])) > 1e-7


@pytest.mark.filterwarnings("ignore")
def test_the_reranking_evaluator_takes_the_samples(batch: Batch, tiny_cross_encoder: str, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder as Model
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
    from sklearn.metrics import average_precision_score

    assert write(CrossEncoder(), batch, tmp_path / "out")["samples"] == 3
    samples, model = lines(tmp_path / "out" / "evaluator.jsonl"), Model(tiny_cross_encoder, device="cpu")
    found = CrossEncoderRerankingEvaluator(samples=samples, at_k=2, write_csv=False)(model)
    precisions = []
    for i, sample in enumerate(samples):
        assert sample["negative"] == chosen(batch, i)
        relevant = [1] * len(sample["positive"]) + [0] * len(sample["negative"])
        scores = model.predict([(sample["query"], text) for text in sample["positive"] + sample["negative"]])
        precisions.append(average_precision_score(relevant, scores))
    assert found["map"] == pytest.approx(np.mean(precisions))


def test_lines_of_automodel_and_ms_swift(batch: Batch, tmp_path: Path) -> None:
    write(Automodel(), batch, tmp_path / "a")
    assert lines(tmp_path / "a" / "train.jsonl")[1] == {
        "query": batch.queries[1],
        "pos_doc": ["paris is the capital of france"],
        "neg_doc": chosen(batch, 1),
    }
    assert write(MSSwift(negatives=3), batch, tmp_path / "s")["examples with repeated negatives"] == 1
    found = lines(tmp_path / "s" / "train.jsonl")
    assert {len(line["negative_messages"]) for line in found} == {3}
    assert found[0]["negative_messages"] == [[{"role": "user", "content": chosen(batch, 0)[0]}]] * 3
    assert found[0]["messages"] == [{"role": "user", "content": batch.queries[0]}]
    counts = write(MSSwift(negatives=3, short="drop"), batch, tmp_path / "d")
    assert (counts["rows"], counts["examples left out as too short"]) == (2, 1)
    with pytest.raises(HardnegError, match="query `q1` has 1 of 3 negatives"):
        write(MSSwift(negatives=3, short="error"), batch, tmp_path / "e")


def test_automodels_corpus_form(batch: Batch, tmp_path: Path) -> None:
    from datasets import load_dataset

    counts = write(Automodel(form="corpus"), batch, tmp_path / "a")
    document = json.loads((tmp_path / "a" / "train.json").read_text())
    [corpus] = document["corpus"]
    metadata = json.loads((tmp_path / "a" / corpus["path"] / "merlin_metadata.json").read_text())
    assert {row["corpus_id"] for row in document["data"]} == {metadata["corpus_id"]}
    rows = load_dataset(str(tmp_path / "a" / corpus["path"]), cache_dir=str(tmp_path / "cache"))["train"]
    texts = dict(zip(rows["id"], rows["text"], strict=True))
    assert len(texts) == counts["passages"]
    assert [texts[entry["id"]] for entry in document["data"][1]["neg_doc"]] == chosen(batch, 1)
    assert document["data"][1]["pos_doc"] == [{"id": "paris"}]


def test_the_sidecar_holds_origins_and_no_loader_sees_it(batch: Batch, tmp_path: Path) -> None:
    from datasets import load_dataset

    write(SentenceTransformers(format="triplet"), batch, tmp_path / "t")
    assert (tmp_path / "t" / "__provenance__" / "rows.jsonl").is_file()
    provenance.write([batch], tmp_path / provenance.FILE)
    rows = load_dataset(str(tmp_path / "t"), cache_dir=str(tmp_path / "cache"))["train"]
    assert rows.column_names == ["anchor", "positive", "negative"]
    found = lines(tmp_path / provenance.FILE)
    assert [line["query_id"] for line in found] == batch.ids
    [chosen_one] = found[0]["negatives"]
    assert chosen_one["id"] == batch.passage(int(batch.selection.chosen[0])).id
    assert set(chosen_one) == {"id", "scores", "origins"}
    assert {origin["generator"] for origin in chosen_one["origins"]} <= {"dense", "bm25"}
    assert set(found[2]["positives"][1]["scores"]) == {"target"}


def test_triples_as_texts_and_ids(batch: Batch, tmp_path: Path) -> None:
    assert write(MSMARCO(), batch, tmp_path / "t")["rows"] == 1 + 3 + 2 * 3
    rows = [line.split("\t") for line in (tmp_path / "t" / "triples.tsv").read_text().splitlines()]
    assert {len(row) for row in rows} == {3}
    assert rows[0][:2] == [batch.queries[0], "the cat sat on the mat"]
    write(MSMARCO(ids=True), batch, tmp_path / "i")
    assert (tmp_path / "i" / "triples.tsv").read_text().startswith("q1\tcat\t")
    with pytest.raises(DataError, match="has a tab"):
        write(MSMARCO(ids=True), replace(batch, ids=["a\tb", "q2", "q3"]), tmp_path / "x")
    with pytest.raises(DataError, match="cannot be written into a BEIR judgment file"):
        write(BEIR(), replace(batch, ids=['"a', "q2", "q3"]), tmp_path / "y")


def test_parquet_holds_everything(batch: Batch, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write(Parquet(dropped=True), batch, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    assert [row["query_id"] for row in rows] == list(batch.ids)
    assert [len(row["negatives"]) for row in rows] == [1, 3, 3]
    assert rows[0]["dropped"][0]["reasons"]["safe"]["rule"] == "ceiling"
    assert {origin["generator"] for origin in rows[2]["negatives"][0]["origins"]} <= {"dense", "bm25"}
    assert rows[1]["negatives"][0]["scores"]["target"] == pytest.approx(
        float(batch.scores["target"].negatives[batch.selection.chosen[1]]), abs=1e-6
    )
