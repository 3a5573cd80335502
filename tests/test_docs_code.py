"""Every block of Python in the documents runs, in order, page by page."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import all_blocks, blocks

import hardneg
from hardneg.job.run_folder import Job

QUICK = ("automodel", "ms-swift")
TRAINING = ("sentence-transformers", "flagembedding", "tevatron", "pylate")
TRAINERS = (*QUICK, *TRAINING)
OTHERS = ("README.md", "docs/how-to/library.md", "docs/how-to/own-candidates.md", "docs/how-to/write-a-plugin.md")
BI_ENCODERS = ("sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-base-en-v1.5")


def run(page: str, names: dict[str, Any], replaced: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """The names that a page's blocks leave; ``replaced``: other models for those that a page names."""
    for code in blocks(page, "python"):
        changed = functools.reduce(lambda text, pair: text.replace(f'"{pair[0]}"', repr(pair[1])), replaced, code)
        exec(compile(changed, page, "exec", dont_inherit=True), names)
    return names


def test_no_page_is_left_out() -> None:
    known = {*OTHERS, *(f"docs/how-to/{name}.md" for name in TRAINERS), "docs/tutorial.md"}
    assert {page for page, _ in all_blocks("python")} == known


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.engines) for name in TRAINING)])
def test_what_a_trainers_page_exports_is_read_as_it_says(
    name: str,
    make_job: Callable[..., Path],
    tiny_encoder: str,
    tiny_cross_encoder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import datasets

    page = f"docs/how-to/{name}.md"
    [exports] = blocks(page, "yaml")
    job = make_job("mine", {"exports": yaml.safe_load(exports)["exports"], "filters": {}, "select.per_query": 7})
    Job.read(job).run()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    models = dict.fromkeys(BI_ENCODERS, tiny_encoder) | {
        "cross-encoder/ms-marco-MiniLM-L6-v2": tiny_cross_encoder,
    }
    run(page, {}, models.items())


def test_the_readmes_library_snippet(minilm: str, capsys: pytest.CaptureFixture[str]) -> None:
    from datasets import Dataset

    row = {"anchor": "who wrote 1984", "positive": "George Orwell wrote 1984.", "negative": "Rivers flow to the sea."}
    others = [f"Book {number} was written by somebody else, in another year." for number in range(200)]
    names: dict[str, object] = {
        "model": minilm,
        "passages": [row["positive"], row["negative"], "1984 was written by George Orwell.", *others],
        "queries": [row["anchor"]],
        "positives": [row["positive"]],
        "negatives": [[row["negative"], "1984 was written by George Orwell."]],
        "dataset": Dataset.from_list([row]),
    }
    run("README.md", names)
    assert names["result"].kept == [[row["negative"]]]
    assert names["dataset"].to_list() == [row]
    assert float(capsys.readouterr().out) > 0


@pytest.mark.filterwarnings("ignore")
def test_the_library_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Dataset

    from hardneg.testing import HashedWords

    monkeypatch.chdir(tmp_path)
    Path("train.jsonl").write_text(
        '{"query": "q", "pos": ["a"], "neg": ["b"]}\n{"query": "q", "pos": ["b"], "neg": ["c"]}\n'
    )
    queries = [f"what is word{i}" for i in range(40)]
    passages = [f"word{i} is a thing of kind {i % 7}" for i in range(60)]
    model = HashedWords()
    names: dict[str, object] = {
        "hardneg": hardneg,
        "model": model,
        "stage": hardneg.ECIFilter(model, margin=0.05),
        "passages": passages,
        "queries": queries,
        "positives": passages[:40],
        "mined": [[passages[i + 1]] for i in range(40)],
        "written": [[passages[i + 7]] for i in range(40)],
        "dataset": Dataset.from_dict({"query": queries, "answer": passages[:40]}),
    }
    run("docs/how-to/library.md", names)
    assert names["mined"].dataset.column_names[:3] == ["anchor", "positive", "negative_1"]
    assert set(names["scores"]) == {"mined", "written"}


def test_candidates_as_the_page_writes_them(
    make_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("docs/how-to/own-candidates.md", {})
    text = (tmp_path / "candidates.jsonl").read_text().replace('"q1"', '"q1-0"').replace('"q2"', '"q2-0"')
    (tmp_path / "candidates.jsonl").write_text(text)
    result = Job.read(make_job(changes={"generators.mine": {"kind": "file", "path": "candidates.jsonl"}})).run()
    assert sum(int((batch.sources["mine"].rank > 0).sum()) for batch in result.batches) == 3


def test_the_part_of_the_plugin_page_keeps_its_contract(batch_of: Callable[..., Any]) -> None:
    from hardneg.data.merge import merge
    from hardneg.generators.random import Random
    from hardneg.testing import check_filter

    names = run("docs/how-to/write-a-plugin.md", {})
    batch = merge(batch_of(), {"random": Random(depth=4).generate(batch_of())})
    verdicts = check_filter(names["LongPassages"](most=25), batch)
    lengths = [len(n.passage.contents) for example in batch for n in example.negatives]
    assert verdicts.dropped.tolist() == [length > 25 for length in lengths]
