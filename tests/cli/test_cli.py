"""The commands, as a user types them."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import changed, job_on

import hardneg
from hardneg.cli import main


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_help_teaches_a_first_job_and_needs_no_model_library() -> None:
    code = (
        "import sys; from hardneg.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "import hardneg\n"
        "assert not {'torch', 'sentence_transformers', 'transformers', 'numba'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hardneg check job.yaml && hardneg run job.yaml" in done.stdout
    for command in ("init", "run", "check", "audit", "score", "compare", "tune", "review", "push", "kinds", "schema"):
        assert f"    {command} " in done.stdout


def test_importing_hardneg_loads_neither_torch_nor_models() -> None:
    code = (
        "import sys, hardneg; assert not {'torch', 'transformers', 'sentence_transformers', 'bm25s'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names() -> None:
    import hardneg

    assert hardneg.__all__ == [
        "NEUTRAL", "Batch", "Candidate", "Candidates", "DataError", "ECIFilter", "Example", "Filtered", "HardnegError", "JobError", "Mined",
        "MissingExtraError", "ModelError", "Negative", "NegativeSet", "Origin", "PartError", "Passage", "Reason",
        "Scores", "Selection", "StoreError", "Verdicts", "audit", "mine", "part",
    ]  # fmt: skip
    assert all(hasattr(hardneg, name) for name in hardneg.__all__)


@pytest.mark.parametrize("name", [name for name in hardneg.__all__ if name != "NEUTRAL"])
def test_every_public_name_has_an_example(name: str) -> None:
    """The examples are run with the tests."""
    assert ">>>" in (getattr(hardneg, name).__doc__ or "")


def test_check_says_what_is_to_do_and_touches_nothing(make_job, capsys, tmp_path: Path) -> None:
    path = make_job()
    state = json.loads(output(capsys, "check", path, "--json"))
    assert {entry["state"] for entry in state} == {"to do"}
    assert [entry["stage"] for entry in state][:4] == [
        "read",
        "generate.lexical",
        "generate.semantic",
        "generate.reranked",
    ]
    assert not (tmp_path / "runs").exists()
    output(capsys, "run", path)
    done = json.loads(output(capsys, "check", path, "--json"))
    assert {entry["state"] for entry in done} == {"cached"}
    assert f"is valid; 0 of {len(done)} stages are to do" in output(capsys, "check", path)


def test_run_compare_and_dropped(make_job, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    report = json.loads(output(capsys, "run", make_job("one", real=True), "--json"))
    assert report["metric"] == "eci_v1 (arXiv:2603.20990v1)"
    output(capsys, "run", make_job("two", real=True, margin=0.2))
    runs = tmp_path / "runs"
    table = output(capsys, "compare", runs / "one", runs / "two")
    assert "rank" in table
    assert re.search(r"easy +│ control", table)
    assert "may not differ in eci_v1" in re.sub(r"\s+", " ", table)
    [found] = json.loads(output(capsys, "compare", runs / "one", "--json"))  # one corpus
    assert {row["set"]: row["eci_v1"] for row in found["rows"]} == {
        name: moments["after"]["eci_v1"] for name, moments in report["sets"].items()
    }
    markdown = output(capsys, "compare", runs / "one", "--format", "markdown").splitlines()
    table = list(itertools.takewhile(lambda line: line.startswith("|"), markdown))
    assert len(table) == 2 + len(found["rows"])
    assert len({line.count("|") for line in table}) == 1
    assert all(line.startswith("- ") for line in markdown[len(table) + 1 :])
    listed = list(csv.DictReader(output(capsys, "compare", runs / "one", "--format", "csv").splitlines()))
    assert [row["set"] for row in listed] == [row["set"] for row in found["rows"]]
    assert {row["what"] for row in listed} == {"final", "source", "hybrid", "control"}
    assert {(row["rank"], row["best"]) for row in listed} == {("", "")}, "without a probe nothing ranks them"
    assert [listed[0]["what"], listed[-1]["what"]] == ["final", "control"]
    cases = json.loads(
        output(capsys, "dropped", make_job("two", real=True, margin=0.2), "-n", "2", "--filter", "safe", "--json")
    )
    assert len(cases) == 2
    assert all("safe" in case["reasons"] for case in cases)
    (tmp_path / "q.tsv").write_text("h\nq1-0\tdog\t1\nq1-0\train\t0\n")
    shown = output(capsys, "dropped", make_job("two", real=True, margin=0.2), "--qrels", tmp_path / "q.tsv")
    assert shown.startswith("judged relevant: 1 candidates, ")
    assert main(["dropped", str(make_job("three"))]) == 2
    assert "has not been run to the end" in capsys.readouterr().err


@pytest.mark.parametrize("export", ["tuples", "flag", "all"])
def test_score_reads_what_was_exported(
    make_job, capsys, tmp_path: Path, tiny_encoder: str, export: str, monkeypatch
) -> None:
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path / "cache"))
    final = json.loads(output(capsys, "run", make_job(real=True), "--json"))["sets"]["final"]["after"]
    folder = tmp_path / "runs" / "job" / "exports" / export
    [file] = [f for f in folder.iterdir() if not f.name.startswith((".", "_")) and f.name != "README.md"]
    report = json.loads(output(capsys, "score", file, "--model", tiny_encoder, "--json"))
    found = report["sets"]["file"]["before"]
    if export == "all":  # the others leave out short examples
        assert found["hardness"] == pytest.approx(final["hardness"], abs=1e-5)
        assert found["eci_v1"] == pytest.approx(final["eci_v1"], abs=1e-5)
    assert found["examples"] > 0
    assert "eci_v1" in output(capsys, "score", file, "--model", tiny_encoder, "--margin", "0.1")


def test_kinds_and_a_wrong_group(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "kinds", "--json"))
    assert set(found["generators"]) == {"bm25", "dense", "cross_encoder", "pgvector", "random", "file", "llm"}
    assert "depth=50" in found["generators"]["bm25"]["fields"]
    assert "margin" in output(capsys, "kinds", "filters")
    assert main(["kinds", "nonsense"]) == 2
    assert "no group `nonsense`; there are: `readers`" in capsys.readouterr().err


def test_the_schema_accepts_jobs_and_refuses_wrong_ones(capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema

    schema = json.loads(output(capsys, "schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(job_on())
    for wrong in (
        {"generators.lexical.depht": 3},
        {"generators.lexical.depth": 0},
        {"generators.easy.control": True},
        {"filters.repeats.near": 1.5},
        {"controls": "easy"},
    ):
        assert not validator.is_valid(changed(job_on(), wrong)), wrong


def test_the_schema_carries_the_bounds_of_fields(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(output(capsys, "schema"))

    def fields(group: str, kind: str) -> dict:
        options = [option["properties"] for option in schema["$defs"][group]["oneOf"]]
        [found] = [properties for properties in options if properties["kind"] == {"const": kind}]
        return found

    assert fields("generators", "bm25")["depth"]["minimum"] == 1
    [near, _] = fields("filters", "duplicate")["near"]["anyOf"]
    assert (near["exclusiveMinimum"], near["maximum"]) == (0, 1)
    assert fields("clients", "openai")["timeout"]["exclusiveMinimum"] == 0


def test_a_missing_job_and_no_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: cannot be read (No such file or directory)" in capsys.readouterr().err
    assert main([]) == 2
    assert main(["--version"]) == 0


def test_cards_and_push(make_job, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_job()
    assert main(["push", str(path), "flag", "--repo", "me/set", "--dry-run"]) == 2
    assert "is not there yet; run `hardneg run" in capsys.readouterr().err
    output(capsys, "run", path)
    folder = tmp_path / "runs" / "job" / "exports" / "flag"
    card = (folder / "README.md").read_text()
    manifest = json.loads((tmp_path / "runs" / "job" / "manifest.json").read_text())
    assert manifest["exports"]["flag"]["train.jsonl"]["sha256"] in card
    assert "| final | final |" in card
    assert str(tmp_path / "runs") not in card
    (folder / "README.md").write_text(card.replace("license: other\nlicense_name: to-be-filled-in", "license: mit"))
    output(capsys, "run", path)
    assert (folder / "README.md").read_text().startswith("---\nlicense: mit\n")
    shown = output(capsys, "push", path, "flag", "--repo", "me/set", "--dry-run")
    assert "train.jsonl" in shown
    assert "would be uploaded to me/set" in shown
    assert main(["push", str(path), "flog", "--repo", "me/set"]) == 2
    assert "no export is called `flog`: did you mean `flag`?" in capsys.readouterr().err
    calls: list[tuple[str, dict]] = []
    import huggingface_hub

    class Hub:
        def create_repo(self, name: str, **options: object) -> None:
            calls.append((name, options))

        def upload_folder(self, **options: object) -> None:
            calls.append(("upload", options))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    output(capsys, "push", path, "flag", "--repo", "me/set", "--private")
    assert calls[0] == ("me/set", {"repo_type": "dataset", "private": True, "exist_ok": True})
    assert calls[1][1]["folder_path"] == folder
    monkeypatch.setattr(Hub, "upload_folder", lambda self, **_: (_ for _ in ()).throw(OSError("no network")))
    assert main(["push", str(path), "flag", "--repo", "me/set"]) == 1
    assert "me/set: cannot be uploaded (no network)" in capsys.readouterr().err
