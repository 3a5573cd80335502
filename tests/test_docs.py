"""What the documents say is what the program does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hardneg.job.run_folder import Job

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(file: str, language: str) -> list[str]:
    return [text for found, text in FENCE.findall((ROOT / file).read_text()) if found == language]


def test_the_readmes_library_snippet_runs(minilm: str, capsys: pytest.CaptureFixture[str]) -> None:
    from datasets import Dataset

    [code] = snippets("README.md", "python")
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
    exec(compile(code, "part.py", "exec", dont_inherit=True), names)
    assert names["result"].kept == [[row["negative"]]]
    assert names["dataset"].to_list() == [row]
    assert float(capsys.readouterr().out) > 0


def jobs() -> list[str]:
    """Every whole job in README.md and docs."""
    pages = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
    blocks = [block for page in pages for block in snippets(page, "yaml")]
    return [block for block in blocks if "generators:" in block and "output:" in block]


@pytest.mark.parametrize("job", jobs())
def test_jobs_in_the_documents_are_valid(tmp_path: Path, job: str) -> None:
    (tmp_path / "job.yaml").write_text(job)
    assert Job.read(tmp_path / "job.yaml").plan.generators


def test_the_part_of_the_contributing_page_keeps_its_contract(batch_of, tmp_path: Path) -> None:
    from hardneg.data.merge import merge
    from hardneg.generators.random import Random
    from hardneg.testing import check_filter

    [code] = snippets("CONTRIBUTING.md", "python")
    names: dict[str, object] = {}
    exec(compile(code, "part.py", "exec", dont_inherit=True), names)
    batch = merge(batch_of(), {"random": Random(depth=4).generate(batch_of())})
    verdicts = check_filter(names["LongPassages"](most=25), batch)
    lengths = [len(n.passage.contents) for example in batch for n in example.negatives]
    assert verdicts.dropped.tolist() == [length > 25 for length in lengths]


def test_every_kind_is_in_the_job_page() -> None:
    from hardneg import kinds

    page = (ROOT / "docs" / "jobs.md").read_text()
    for group in ("readers", "generators", "scorers", "filters", "selectors", "exports"):
        for kind in kinds.kinds(group):
            assert f"`{kind}`" in page, kind


def test_links_lead_somewhere() -> None:
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


@pytest.mark.engines
def test_the_demo(tmp_path: Path) -> None:
    """The whole demo, as `make demo` runs it: real text, real models."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    done = subprocess.run(
        [sys.executable, "examples/demo.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "runs" / "demo" / "report.json").read_text())
    sets = report["sets"]
    assert report["counts"]["examples"] == 1000
    assert (
        sets["semantic"]["before"]["hardness"]
        > sets["lexical"]["before"]["hardness"]
        > sets["easy"]["before"]["hardness"]
    )
    false, unfiltered = report["false"]["sets"]["final"]["after"], report["false"]["hardest before filtering"]
    assert false["estimated"]["low"] - 0.005 <= false["judged"] <= false["estimated"]["high"]
    assert false["judged"] < unfiltered["judged"] / 2
    first = " ".join(done.stdout.split())
    assert f"by the judgments {false['judged']:.1%} are false, before filtering {unfiltered['judged']:.1%}" in first
    assert f"train on: {report['decision']['set']}." in first
    found = re.search(
        r"judged relevant: (\d+) candidates, (\d+) refused .*; all others: ([\d,]+), ([\d,]+) refused", first
    )
    assert found is not None
    false, refused_false, others, refused_others = (int(number.replace(",", "")) for number in found.groups())
    assert refused_false / false > 0.7
    assert refused_others / others < 0.35
    assert len(re.findall(r"^\d+\. query q\d+: ", done.stdout, re.MULTILINE)) == 10
    for export in ("n_tuples/train.parquet", "flag/train.jsonl", "all/train.jsonl"):
        assert (tmp_path / "runs" / "demo" / "exports" / export).stat().st_size > 100_000
