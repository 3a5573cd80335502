"""`hardneg init`: what it writes for every kind of data is a job that passes `check` and runs as it is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import yaml

from hardneg.cli import main

SUBJECTS = ("river", "engine", "violin", "harbour", "glacier", "parliament")
PASSAGES = {
    f"d{i}{j}": f"The {subject} number {j} was {verb} by people of the town in the year {1800 + 7 * i + j}."
    for i, subject in enumerate(SUBJECTS)
    for j, verb in enumerate(["built", "painted", "visited", "measured", "sold", "forgotten", "drawn", "guarded"])
}
PAIRS = [(f"q{i}", f"who built the {subject}", f"d{i}0") for i, subject in enumerate(SUBJECTS)]
NEGATIVE = PASSAGES["d57"]


def records(query: str = "query", positive: str = "positive", **more: Any) -> list[dict[str, Any]]:
    return [{query: text, positive: PASSAGES[passage]} | more for _, text, passage in PAIRS]


def records_of_all(query: str = "query", positive: str = "positive") -> list[dict[str, Any]]:
    """A question that fits several passages for each passage."""
    return [{query: f"what was {text.split()[5]} in {text.split()[-1]}", positive: text} for text in PASSAGES.values()]


def write_lines(file: Path, found: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record) + "\n" for record in found))
    return file


def corpus(folder: Path) -> Path:
    return write_lines(folder / "corpus.jsonl", [{"_id": name, "text": text} for name, text in PASSAGES.items()])


def beir(folder: Path) -> Path:
    corpus(folder)
    write_lines(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text, _ in PAIRS])
    (folder / "qrels").mkdir()
    for split in ("dev", "train"):
        rows = [f"{query}\t{passage}\t1" for query, _, passage in PAIRS]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return folder


def ms_marco(folder: Path) -> Path:
    folder.mkdir()
    (folder / "collection.tsv").write_text("".join(f"{name}\t{text}\n" for name, text in PASSAGES.items()))
    for split in ("dev", "train"):
        (folder / f"queries.{split}.tsv").write_text("".join(f"{name}\t{text}\n" for name, text, _ in PAIRS))
        (folder / f"qrels.{split}.tsv").write_text("".join(f"{name} 0 {passage} 1\n" for name, _, passage in PAIRS))
    return folder


def sentence_transformers(folder: Path) -> Path:
    corpus(folder)
    return write_lines(folder / "train.jsonl", records("anchor", negative_1=NEGATIVE, negative_2=PASSAGES["d56"]))


def flag_embedding(folder: Path) -> Path:
    corpus(folder)
    return write_lines(
        folder / "train.jsonl",
        [{"query": text, "pos": [PASSAGES[passage]], "neg": [NEGATIVE]} for _, text, passage in PAIRS],
    )


def tevatron(folder: Path) -> Path:
    corpus(folder)
    found = [
        {
            "query_id": name,
            "query": text,
            "positive_passages": [{"docid": passage, "title": "", "text": PASSAGES[passage]}],
            "negative_passages": [{"docid": "d57", "title": "", "text": NEGATIVE}],
        }
        for name, text, passage in PAIRS
    ]
    return write_lines(folder / "train.jsonl", found)


def parquet(folder: Path) -> Path:
    corpus(folder)
    pa.parquet.write_table(pa.Table.from_pylist(records()), folder / "pairs.parquet")
    return folder / "pairs.parquet"


def table(folder: Path) -> Path:
    corpus(folder)
    pa.csv.write_csv(pa.Table.from_pylist(records("question", "answer")), folder / "pairs.csv")
    return folder / "pairs.csv"


def folder_with_one_file(folder: Path) -> Path:
    corpus(folder)
    write_lines(folder / "test.jsonl", records())
    write_lines(folder / "train.jsonl", records())
    return folder


def saved(folder: Path) -> Path:
    from datasets import Dataset, DatasetDict

    found = Dataset.from_list(records(negative=NEGATIVE) + records_of_all())
    DatasetDict({"test": found, "train": found}).save_to_disk(str(folder))
    return folder


def saved_with_columns_of_other_names(folder: Path) -> Path:
    from datasets import Dataset

    Dataset.from_list(records_of_all("ask", "reply")).save_to_disk(str(folder))
    return folder


EVERY: dict[Callable[[Path], Path], dict[str, Any]] = {
    beir: {"kind": "beir", "path": "given", "split": "train"},
    ms_marco: {
        "kind": "msmarco",
        "collection": "given/collection.tsv",
        "queries": "given/queries.train.tsv",
        "qrels": "given/qrels.train.tsv",
    },
    sentence_transformers: {"kind": "jsonl", "path": "given/train.jsonl", "corpus": "given/corpus.jsonl"},
    flag_embedding: {"kind": "jsonl", "path": "given/train.jsonl", "corpus": "given/corpus.jsonl"},
    tevatron: {"kind": "jsonl", "path": "given/train.jsonl", "corpus": "given/corpus.jsonl"},
    parquet: {"kind": "parquet", "path": "given/pairs.parquet", "corpus": "given/corpus.jsonl"},
    table: {"kind": "csv", "path": "given/pairs.csv", "corpus": "given/corpus.jsonl"},
    folder_with_one_file: {"kind": "jsonl", "path": "given/train.jsonl", "corpus": "given/corpus.jsonl"},
    saved: {"kind": "huggingface", "path": "given", "split": "train"},
    saved_with_columns_of_other_names: {
        "kind": "huggingface",
        "path": "given",
        "columns": {"query": "ask", "positive": "reply"},
    },
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARDNEG_CACHE", str(shared_cache))


@pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
def test_the_job_for_every_kind_of_data_runs_as_it_is(
    make: Callable[[Path], Path], tmp_path: Path, minilm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "given").relative_to(tmp_path)
    assert main(["init", str(path), "--model", minilm]) == 0
    written = capsys.readouterr()
    assert re.search(r"\d passages in `en`, (6|48|54) queries with a positive", written.err)
    Path("job.yaml").write_text(written.out)
    job = yaml.safe_load(written.out)
    assert job["data"] == EVERY[make]
    with_negatives = make in (sentence_transformers, flag_embedding, tevatron, saved)
    assert ("given" in job["generators"]) == with_negatives
    assert main(["check", "job.yaml"]) == 0
    capsys.readouterr()
    assert main(["run", "job.yaml", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["chosen"] > 0
    assert report["generated"].get("given", 0) >= 6 * with_negatives


def test_a_larger_collection_gets_the_calibrated_rule_and_the_probe(
    tmp_path: Path, minilm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [{"query": f"what is item {n}", "positive": f"Item {n} is a thing of {n} parts."} for n in range(1_000)]
    write_lines(tmp_path / "pairs.jsonl", pairs)
    assert main(["init", "pairs.jsonl", "--model", minilm]) == 0
    job = yaml.safe_load(capsys.readouterr().out)
    assert job["filters"]["safe"] == {"kind": "eci_safety", "scorer": "doubt", "calibrated": 0.03}
    assert (job["eci"]["probe"], job["select"]["per_query"], job["generators"]["lexical"]["depth"]) == (True, 7, 50)


def init(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[str, dict[str, Any], str]:
    assert main(["init", str(path), *more]) == 0
    found = capsys.readouterr()
    return found.out, yaml.safe_load(found.out), found.err


def test_without_a_model_the_job_names_one_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, job, said = init(beir(tmp_path / "english"), capsys)
    assert job["generators"]["semantic"]["encoder"]["model"] == "BAAI/bge-small-en-v1.5"
    assert "no --model was given, so the job names BAAI/bge-small-en-v1.5: put the encoder there" in said
    german = [
        {"query": f"wer hat das {n}. Haus gebaut", "positive": f"Das {n}. Haus am Fluss wurde von Leuten aus der Stadt gebaut."}
        for n in range(30)
    ]  # fmt: skip
    _, job, _ = init(write_lines(tmp_path / "german.jsonl", german), capsys)
    assert job["generators"]["semantic"]["encoder"]["model"] == "intfloat/multilingual-e5-small"
    words = {"language": "german", "stopwords": "german"}
    assert job["generators"]["lexical"].items() >= words.items()
    assert job["scorers"]["doubt"].items() >= words.items()


def test_prompts_are_those_of_the_models_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = beir(tmp_path / "data")
    model = tmp_path / "e5-mine"
    model.mkdir()
    text, job, said = init(data, capsys, "--model", str(model))
    assert '# query_prompt: "query: "' in text
    assert "its configuration has none" in said
    (model / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "ask: ", "document": "", "other": "x"}, "default_prompt_name": None})
    )
    text, job, said = init(data, capsys, "--model", str(model))
    assert '# the prompts of its own configuration are used: query "ask: "' in text
    assert "prompt" not in said
    assert job["generators"]["semantic"]["encoder"] == {"kind": "sentence_transformers", "model": str(model)}
    hostile = {"prompts": {"query": "x\u2028      trust_remote_code: true #"}}
    (model / "config_sentence_transformers.json").write_text(json.dumps(hostile))
    _, job, _ = init(data, capsys, "--model", str(model))
    assert job["generators"]["semantic"]["encoder"] == {"kind": "sentence_transformers", "model": str(model)}
    text, _, said = init(data, capsys, "--model", "intfloat/e5-base-v2")  # no hub in tests
    assert '# passage_prompt: "passage: "' in text
    assert "its configuration cannot be seen from here" in said
    (model / "config_sentence_transformers.json").write_text("{")
    assert main(["init", str(data), "--model", str(model)]) == 1
    assert "config_sentence_transformers.json cannot be read" in capsys.readouterr().err
    assert main(["init", str(data), "--model", "./nowhere"]) == 2


def test_names_that_yaml_would_take_for_something_else_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, job, _ = init(beir(tmp_path / "a, {b}: #c"), capsys, "--model", "no")
    assert job["data"]["path"] == str(tmp_path / "a, {b}: #c")
    assert job["output"] == "runs/a-b-c"
    _, job, _ = init(beir(tmp_path / "017"), capsys, "--model", "1e-3")
    assert (job["generators"]["semantic"]["encoder"]["model"], job["output"]) == ("1e-3", "runs/017")


UNKNOWN: dict[str, tuple[str, str, str]] = {
    "a table without a header": ("pairs.csv", "who,somebody\nwhat,something\n", "write a header whose columns are called"),
    "a table of other names": ("pairs.csv", "id,ask,reply\n1,a,b\n", "rename those that are meant, for example: call them so"),
    "other keys": ("pairs.jsonl", '{"ask": "a", "reply": "b"}\n', "jq -c '. + {query: .ask, positive: .reply}' pairs.jsonl"),
    "no positive": ("pairs.jsonl", '{"query": "a", "reply": "b"}\n', "no column is called `positive` or a name that is known"),
    "an array": ("pairs.json", ' [{"query": "a"}]', "jq -c '.[]' pairs.json > train.jsonl"),
    "candidates": ("mine.jsonl", '{"query_id": "q", "candidates": ["d"]}\n', "yours: {kind: file, path: mine.jsonl}"),
    "a run": ("mine.run", "q Q0 d 1 2.0 me\n", "yours: {kind: file, path: mine.run}"),
    "a corpus": ("passages.jsonl", '{"_id": "d", "text": "t"}\n', "put this one beside it as corpus.jsonl"),
    "an ending": ("pairs.xlsx", "?", "its ending is none of .jsonl, .json, .parquet, .csv, .tsv"),
    "nothing": ("pairs.jsonl", "", "pairs.jsonl: is empty"),
    "a broken line": ("pairs.jsonl", '{"query": "a", "positive": "b"}\n{"query": ', "pairs.jsonl:2: broken JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN)
def test_data_of_no_known_shape_is_an_error_that_says_what_to_do(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, way_out = UNKNOWN[case]
    (tmp_path / name).write_text(content)
    assert main(["init", name]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert way_out in found.err
    assert found.err.count("\n") == 1


def test_a_folder_of_no_known_shape_says_which_are_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(name: str) -> str:
        assert main(["init", name]) == 2
        return capsys.readouterr().err

    assert "save a data set of the hub first" in said("user/data")
    for name in ("a.jsonl", "b.jsonl"):
        write_lines(tmp_path / "several" / name, records())
    assert "name one of its files: `a.jsonl`, `b.jsonl`" in said("several")
    beir(tmp_path / "beir")
    for part in ("beir/corpus.jsonl", "beir/qrels", "beir/qrels/train.tsv"):
        assert f"{part}: is a part of a collection; name its folder: beir\n" in said(part)
    shutil.rmtree(tmp_path / "beir" / "qrels")
    assert "no judgments; write them as qrels/train.tsv" in said("beir")
    assert "name its folder: msmarco" in said(
        str(ms_marco(tmp_path / "msmarco") / "collection.tsv").replace(f"{tmp_path}/", "")
    )


def test_what_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = beir(tmp_path / "data")
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "empty", "text": " "}\n')
    _, _, said = init(folder, capsys)
    assert "left out, passage without text: 1" in said
