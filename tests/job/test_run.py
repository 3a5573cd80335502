"""Jobs: what is computed when, and what a run writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import REMOVED, files_of, job_on, write_data

from hardneg.cli import main
from hardneg.job.run_folder import Job


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of inputs of every call to a real encoder or cross-encoder."""
    from sentence_transformers import CrossEncoder, SentenceTransformer

    calls: list[int] = []
    for cls, method in ((SentenceTransformer, "encode"), (CrossEncoder, "predict")):
        real = getattr(cls, method)

        def counted(self, inputs, *args, real=real, **options):
            calls.append(len(inputs))
            return real(self, inputs, *args, **options)

        monkeypatch.setattr(cls, method, counted)
    return calls


def test_a_run_writes_everything(make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = make_job(real=True)
    capsys.readouterr()  # what making the models printed
    assert main(["run", str(path)]) == 0
    out = path.parent / "runs" / "job"
    assert (out / "job.yaml").read_text() == f"{path.read_text()}relative_to: ../..\n"
    report = json.loads((out / "report.json").read_text())
    assert set(report["sets"]) - set(report["hybrids"]) == {"final", "lexical", "semantic", "reranked", "easy"}
    assert len(report["hybrids"]) == 4  # the unions of three sources, controls left out
    for moments in report["sets"].values():
        for moment in ("before", "after"):
            wanted = {
                "examples",
                "size",
                "positive",
                "hardness",
                "safety",
                "capacity",
                "efficiency",
                "eci_v1",
                "above_positive",
            }
            assert wanted <= set(moments[moment])
            assert wanted <= set(moments[moment]["at"]["2"])
    counts = report["counts"]
    assert counts["examples"] == 3
    assert (
        sum(counts[k] for k in ("examples with all negatives wanted", "short examples", "examples without a negative"))
        == 3
    )
    assert sum(d["first"] for d in report["dropped"].values()) == counts["candidates"] - counts["kept"]
    manifest = json.loads((out / "manifest.json").read_text())
    for name, files in manifest["exports"].items():
        for file, facts in files.items():
            assert (out / "exports" / name / file).stat().st_size == facts["bytes"]
    printed = capsys.readouterr()
    assert "eci_v1" in printed.out
    assert printed.err.startswith("computed: read, generate.lexical")


def test_a_second_run_computes_nothing_and_asks_no_model(make_job: Callable[..., Path], asked: list[int]) -> None:
    path = make_job(real=True)
    Job.read(path).run()
    assert asked
    before = files_of(path.parent / "runs" / "job")
    asked.clear()
    assert Job.read(path).run().ran == []
    assert asked == []
    assert files_of(path.parent / "runs" / "job") == before


def test_a_changed_margin_reruns_the_filter_and_what_follows_and_asks_no_model(
    make_job: Callable[..., Path], asked: list[int]
) -> None:
    at_one_depth = {"deepen": 0}  # deeper candidates would be new to the models
    Job.read(make_job("job", at_one_depth, real=True)).run()
    asked.clear()
    job = Job.read(make_job("job", at_one_depth, real=True, margin=0.3))
    state = {name: (what, why) for name, what, why in job.state()}
    assert state["filter.safe"] == ("to do", "invalidated by margin: -0.05 → 0.3")
    assert state["select"] == ("to do", "invalidated by input filter.safe")
    assert state["filter.veto"][0] == state["score.target"][0] == state["merge"][0] == "cached"
    ran = job.run().ran
    exports = ["provenance", "export.tuples", "export.flag", "export.all"]
    assert ran == ["filter.safe", "select", "evaluate", *exports]
    assert asked == []
    assert Job.read(make_job("job", at_one_depth, real=True)).run().ran == exports  # and back


def test_two_folders_are_equal_to_the_byte(make_job: Callable[..., Path], tmp_path: Path) -> None:
    Job.read(make_job("one", real=True)).run()
    Job.read(make_job("two", real=True, cache=tmp_path / "other-cache")).run()
    one, two = files_of(tmp_path / "runs" / "one"), files_of(tmp_path / "runs" / "two")
    assert one == two
    assert len(one) >= 14


def test_changed_data_reruns_everything_and_says_why(make_job: Callable[..., Path], tmp_path: Path) -> None:
    Job.read(make_job()).run()
    with (tmp_path / "data" / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "new", "text": "a new passage"}) + "\n")
    state = {name: (what, why) for name, what, why in Job.read(make_job()).state()}
    assert state["read"][0] == "to do"
    assert "files.1. corpus.jsonl" in state["read"][1]
    assert all(what == "to do" for what, _ in state.values())


def test_two_files_of_one_name_are_both_in_the_fingerprint(make_job: Callable[..., Path], tmp_path: Path) -> None:
    for folder, line in (("a", {"query": "cat", "positive": "the cat"}), ("b", {"_id": "1", "text": "a dog"})):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.jsonl").write_text(json.dumps(line) + "\n")
    data = {"kind": "jsonl", "path": str(tmp_path / "a" / "data.jsonl"), "corpus": str(tmp_path / "b" / "data.jsonl")}
    path = make_job(changes={"data": data})
    Job.read(path).run()
    (tmp_path / "a" / "data.jsonl").write_text(json.dumps({"query": "dog", "positive": "the cat"}) + "\n")
    assert Job.read(path).run().ran[0] == "read"


def leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """The numbers of a nested document, by where they are."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{place}/{key}")
    else:
        yield place, value


def test_a_control_changes_no_other_numbers(make_job: Callable[..., Path]) -> None:
    last = Job.read(make_job("last")).run().report
    generators = job_on()["generators"]
    in_front = {"easy": generators.pop("easy")} | generators
    first = Job.read(make_job("first", {"generators": in_front})).run().report
    without = Job.read(make_job("without", {"generators": generators, "controls": REMOVED})).run().report
    for report in (first, without):
        # sums are added up in another order
        assert dict(leaves(report["sets"]["final"])) == pytest.approx(dict(leaves(last["sets"]["final"])), abs=1e-12)
        assert report["counts"] == last["counts"]
        assert report["dropped"] == last["dropped"]


def test_no_filters_no_exports_and_one_passage(make_job: Callable[..., Path], tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    (tmp_path / "data" / "corpus.jsonl").write_text('{"_id": "cat", "text": "the cat sat on the mat"}\n')
    (tmp_path / "data" / "qrels" / "train.tsv").write_text("h\nq1-0\tcat\t1\n")
    report = Job.read(make_job(changes={"filters": REMOVED, "exports": REMOVED})).run().report
    assert report["counts"]["examples without a negative"] == 1
    assert report["sets"]["final"]["after"]["eci_v1"] == 0
    assert "1 examples have no negative left" in report["warnings"][-1]


def test_a_second_run_loads_no_model_library(make_job: Callable[..., Path]) -> None:
    """It would take most of the time of a run that has nothing to do."""
    path = make_job(real=True)
    Job.read(path).run()
    code = (
        f"import sys; from hardneg.cli import main; assert main(['run', {str(path)!r}]) == 0\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'bm25s', 'numba', 'datasketch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_cap_on_reuse_that_leaves_queries_short_is_named(make_job: Callable[..., Path], tmp_path: Path) -> None:
    write_data(tmp_path / "data", copies=10)
    capped = make_job("capped", {"select.reuse": 1, "filters.safe.margin": -1.0})
    free = make_job("free", {"select.reuse": 1000, "filters.safe.margin": -1.0})
    for path, wanted in ((capped, True), (free, False)):
        job = Job.read(path)
        job.run()
        report = json.loads((job.output / "report.json").read_text())
        assert (report["counts"]["short with enough candidates"] > 0) == wanted
        assert any("leave out its `reuse`" in warning for warning in report["warnings"]) == wanted


def test_mine_train_mine_with_one_job(
    make_job: Callable[..., Path], tiny_encoder: str, other_encoder: str, tmp_path: Path
) -> None:
    """The second run of one `Job` has the weights that were trained in between, and equals a run by another process."""
    shutil.copytree(tiny_encoder, tmp_path / "model")
    encoder = {"kind": "sentence_transformers", "model": str(tmp_path / "model")}
    changes = {"generators.semantic.encoder": encoder, "scorers.target.encoder": encoder}
    job = Job.read(make_job("job", changes))
    job.run()
    before = files_of(tmp_path / "runs" / "job")
    shutil.copytree(other_encoder, tmp_path / "model", dirs_exist_ok=True)
    assert "score.target" in job.run().ran
    after = files_of(tmp_path / "runs" / "job")
    assert after["exports/all/train.jsonl"] != before["exports/all/train.jsonl"]
    Job.read(make_job("fresh", changes, cache=tmp_path / "fresh-cache")).run()
    assert files_of(tmp_path / "runs" / "fresh")["exports/all/train.jsonl"] == after["exports/all/train.jsonl"]
