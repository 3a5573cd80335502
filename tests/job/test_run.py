"""Jobs: what is computed when, and what a wrong one says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests_support import JOB, write_data

from hardneg.cli import main
from hardneg.job.job import Job


def files_of(folder: Path) -> dict[str, bytes]:
    """Shards and exports, by name."""
    found = [*folder.glob("stages/*/*.parquet"), *(f for f in folder.glob("exports/**/*") if f.is_file())]
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


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
    path = make_job()
    assert main(["run", str(path)]) == 0
    out = path.parent / "runs" / "job"
    assert (out / "job.yaml").read_bytes() == path.read_bytes()
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
                "unsafe_share",
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
    path = make_job()
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
    Job.read(make_job()).run()
    asked.clear()
    job = Job.read(make_job(margin=0.3))
    state = {name: (what, why) for name, what, why in job.state()}
    assert state["filter.safe"] == ("to do", "invalidated by margin: -0.05 → 0.3")
    assert state["select"] == ("to do", "invalidated by input filter.safe")
    assert state["filter.veto"][0] == state["score.target"][0] == state["merge"][0] == "cached"
    ran = job.run().ran
    assert ran == ["filter.safe", "select", "evaluate", "export.tuples", "export.flag", "export.all"]
    assert asked == []
    assert Job.read(make_job()).run().ran == ["export.tuples", "export.flag", "export.all"]  # and back


def test_two_folders_are_equal_to_the_byte(make_job: Callable[..., Path], tmp_path: Path) -> None:
    Job.read(make_job("one")).run()
    Job.read(make_job("two", cache=tmp_path / "other-cache")).run()
    one, two = files_of(tmp_path / "runs" / "one"), files_of(tmp_path / "runs" / "two")
    assert one == two
    assert len(one) >= 14


def test_workers_and_hash_seeds_change_nothing(
    make_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardneg.pipeline.SHARD", 4)
    write_data(tmp_path / "data", copies=4)
    Job.read(make_job("one")).run()
    Job.read(make_job("two", workers=2, cache=tmp_path / "other-cache")).run()
    assert files_of(tmp_path / "runs" / "one") == files_of(tmp_path / "runs" / "two")
    for seed in ("1", "2"):
        path = make_job(f"seed{seed}", cache=tmp_path / f"cache{seed}")
        code = f"import hardneg.pipeline as p; p.SHARD = 4; from hardneg.cli import main; main(['run', {str(path)!r}])"
        environment = os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": "C", "TZ": "Asia/Tokyo"}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
        assert files_of(tmp_path / "runs" / "one") == files_of(tmp_path / "runs" / f"seed{seed}")


def changed(old: str, new: str) -> str:
    assert old in JOB, old
    return JOB.replace(old, new)


BAD_JOBS = {
    "misspelt key": (changed("margin: {margin}", "margn: 0.1"), r"job.yaml:13: filters.safe.margn: unknown key `margn`: did you mean `margin`?"),
    "misspelt key at the top": (changed("select:", "selekt:"), "unknown key `selekt`: did you mean `select`?"),
    "misspelt key in eci": (changed("eci: {{scorer", "eci: {{scorr"), "unknown key `scorr`: did you mean `scorer`?"),
    "unknown kind": (changed("kind: bm25", "kind: bm52"), "job.yaml:3: generators.lexical: unknown kind 'bm52' of generators: did you mean `bm25`?"),
    "no kind": (changed("kind: bm25, ", ""), "job.yaml:3: generators.lexical: expected a mapping with the key `kind`"),
    "two documents": (JOB + "---\nx: 1\n", "a second document begins here"),
    "one key twice": (JOB + "output: x\n", "job.yaml:24: the key `output` is there already, in line 22; keep one"),
    "depth 0": (changed("kind: bm25, depth: 5", "kind: bm25, depth: 0"), "generators.lexical: `depth` must be at least 1, not 0"),
    "depth no number": (changed("kind: bm25, depth: 5", "kind: bm25, depth: deep"), "generators.lexical.depth: Input should be a valid integer"),
    "nested depth": (changed("kind: random, depth: 6", "kind: random, depth: -6"), "generators.reranked.candidates: `depth` must be"),
    "unknown scorer": (changed("safe: {{kind: eci_safety, scorer: target", "safe: {{kind: eci_safety, scorer: targt"), "filters.safe.scorer: no scorer is called `targt`: did you mean `target`?"),
    "unknown scorer of eci": (changed("eci: {{scorer: target", "eci: {{scorer: nobody"), "eci.scorer: no scorer is called `nobody`; the job's scorers are: `target`, `referee`"),
    "unknown scorer of an export": (changed("scores: true", "scores: true, scorer: x"), "exports.tuples.scorer: no scorer is called `x`"),
    "unknown generator in a quota": (changed("reuse: 30", "quota: {{lexicl: 1}}"), "select.quota.lexicl: no generator to train on is called `lexicl`"),
    "only a control": (changed("  lexical: {{kind: bm25, depth: 5}}\n", "").replace("depth: 5, encoder", "depth: 5, control: true, encoder").replace("depth: 3, candidates", "depth: 3, control: true, candidates"), "there is no generator that is not a control"),
    "missing key": (changed("eci: {{scorer: target}}\n", ""), "job.yaml:1: eci: this key is missing"),
    "a missing folder": (changed("path: {data}", "path: {data}x"), "there is no such folder"),
    "a missing split": (changed("path: {data}", "path: {data}, split: dev"), "the splits here are: train"),
    "a missing model": (changed("model: {encoder}", "model: {encoder}x"), "model folder `"),
    "a tag": (JOB + "x: !!python/object/apply:os.system ['true']\n", "could not determine a constructor for the tag"),
    "not a mapping": ("- a\n- b\n", "a job is a mapping of keys, this is a list"),
    "empty": ("", "the file is empty"),
    "broken yaml": ("data: {{kind: beir\nx: 1\n", "job.yaml:2: not valid YAML"),
    "control no boolean": (changed("control: true", "control: maybe"), "generators.easy.control: `control` must be true or false, not 'maybe'"),
    "true for a number": (changed("kind: bm25, depth: 5", "kind: bm25, depth: true"), "generators.lexical.depth: expected a number"),
    "a kind that is a list": (changed("kind: bm25", "kind: [bm25]"), "generators.lexical: unknown kind ['bm25']"),
    "a key that is no word": (changed("kind: bm25, depth: 5", "kind: bm25, 5: 5"), "generators.lexical.5: unknown key `5`"),
    "more negatives than there are": (changed("scores: true", "negatives: 9"), "exports.tuples.negatives: more than the 2"),
    "an impossible date": (changed("kind: bm25, depth: 5", "kind: bm25, depth: 2024-99-99"), "not valid YAML"),
    "an odd name": (changed("  lexical:", "  ../lexical:"), "a name is made of letters, digits"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_JOBS)
def test_a_wrong_job_says_where_and_what_to_do(
    make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    path = make_job()
    Job.read(path).run()
    before = files_of(path.parent / "runs" / "job")
    text, message = BAD_JOBS[case]
    path = make_job(text=text)
    assert main(["run", str(path)]) == 2
    printed = capsys.readouterr()
    assert message.replace("job.yaml", str(path)) in printed.err
    assert len(printed.err.splitlines()) == 1 or case in (
        "misspelt key at the top",
        "misspelt key in eci",
        "a tag",
        "misspelt key",
    )
    assert "Traceback" not in printed.err
    assert files_of(path.parent / "runs" / "job") == before


BAD_DATA = {
    "a line cut in half": ("corpus.jsonl", b'{"_id": "x", "te', r"corpus.jsonl:1: broken JSON"),
    "invalid utf-8": ("queries.jsonl", b'{"_id": "q1-0", "text": "\xff"}\n', r"queries.jsonl:1: byte 26 of the line is not UTF-8"),
    "a duplicate passage": ("corpus.jsonl", b'{"_id": "x", "text": "a"}\n{"_id": "x", "text": "b"}\n', "corpus.jsonl:2: passage id `x` is there"),
    "an unknown passage": ("qrels/train.tsv", b"h\nq1-0\tnowhere\t1\n", "train.tsv:2: corpus id `nowhere` is not in corpus.jsonl"),
    "a query of white space": ("queries.jsonl", b'{"_id": "q1-0", "text": " \\n"}\n', "queries.jsonl:1: the text of query `q1-0` is empty"),
    "no positives": ("qrels/train.tsv", b"h\nq1-0\tcat\t0\n", "no query has a positive (1 times: query without a positive; 2 times"),
    "no queries": ("queries.jsonl", b"", "train.tsv:2: query id `q1-0` is not in queries.jsonl"),
}  # fmt: skip


def test_nothing_behind_an_optional_key_is_nothing(make_job: Callable[..., Path]) -> None:
    lines = [line for line in JOB.splitlines() if not line.startswith(("  repeats", "  copies", "  safe", "  veto"))]
    assert dict(Job.read(make_job(text="\n".join(lines))).plan.filters) == {}


@pytest.mark.parametrize("case", BAD_DATA)
def test_wrong_data_says_where_and_leaves_finished_stages(
    make_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    path = make_job()
    Job.read(path).run()
    before = files_of(tmp_path / "runs" / "job")
    file, content, message = BAD_DATA[case]
    (tmp_path / "data" / file).write_bytes(content)
    assert main(["run", str(path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert files_of(tmp_path / "runs" / "job") == before


def test_nan_in_a_file_of_candidates(
    make_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.run").write_text("q1-0 Q0 dog 1 nan me\n")
    text = changed("kind: bm25, depth: 5", f"kind: file, path: {tmp_path / 'x.run'}")
    assert main(["run", str(make_job(text=text))]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "x.run:1: the score of passage `dog` is 'nan'; scores must be finite numbers" in line


def test_the_folder_of_another_job_or_of_something_else(
    make_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Job.read(make_job()).run()
    before = files_of(tmp_path / "runs" / "job")
    write_data(tmp_path / "other-data")
    other = make_job("other", data=tmp_path / "other-data", output=tmp_path / "runs" / "job")
    assert main(["run", str(other)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "is the folder of another job, on other data" in line
    assert "choose another `output`" in line
    assert files_of(tmp_path / "runs" / "job") == before
    assert main(["run", str(make_job("third", output=tmp_path / "data"))]) == 2
    assert "holds files and is not the folder of a run" in capsys.readouterr().err


def test_a_second_run_in_the_same_folder_waits_for_nobody(
    make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_job()
    job = Job.read(path)
    job.run()
    with job.store.locked():
        code = f"from hardneg.cli import main; raise SystemExit(main(['run', {str(path)!r}]))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "another run is going on in this folder" in done.stderr


KILL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background has it ignored
from hardneg.cache import folders as artifacts
from hardneg.pipeline import store
import hardneg.pipeline as pipeline
pipeline.SHARD = 4
left = int(sys.argv[2])
real = artifacts.replacing
import contextlib
@contextlib.contextmanager
def counted(path):
    global left
    with real(path) as temporary:
        yield temporary
        if left == 0 and sys.argv[3] == "before":
            os.kill(os.getpid(), getattr(signal, sys.argv[4]))
    if left == 0 and sys.argv[3] == "after":
        os.kill(os.getpid(), getattr(signal, sys.argv[4]))
    left -= 1
store.replacing = counted
import hardneg.job as job
job.replacing = counted
from hardneg.cli import main
sys.exit(main(["run", sys.argv[1]]))
"""


@pytest.fixture
def reference(make_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Shards and exports of an undisturbed run on twelve queries."""
    monkeypatch.setattr("hardneg.pipeline.SHARD", 4)
    write_data(tmp_path / "data", copies=4)
    Job.read(make_job("reference")).run()
    return files_of(tmp_path / "runs" / "reference")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_write_and_run_again_is_equal(
    make_job: Callable[..., Path], tmp_path: Path, reference: dict[str, bytes], moment: str
) -> None:
    path = make_job("killed")
    for write in (0, 5, 16, 31, 44):
        killed = subprocess.run(
            [sys.executable, "-c", KILL, path, str(write), moment, "SIGKILL"], capture_output=True, check=False
        )
        assert killed.returncode in (-signal.SIGKILL, 0)
        for file in (tmp_path / "runs" / "killed").glob("stages/*/part-*.parquet"):
            assert str(file.relative_to(tmp_path / "runs" / "killed")) in reference
    Job.read(path).run()
    assert files_of(tmp_path / "runs" / "killed") == reference


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_by_a_signal_keeps_what_is_finished(
    make_job: Callable[..., Path], tmp_path: Path, reference: dict[str, bytes], name: str, status: int
) -> None:
    path = make_job("stopped")
    done = subprocess.run(
        [sys.executable, "-c", KILL, path, "12", "after", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert done.stderr.splitlines()[-1] == "hardneg: stopped; the same command goes on where it was"
    finished = files_of(tmp_path / "runs" / "stopped")
    assert finished
    assert finished.items() <= reference.items()
    Job.read(path).run()
    assert files_of(tmp_path / "runs" / "stopped") == reference


def test_a_full_disk_is_one_line_and_nothing_is_lost(
    make_job: Callable[..., Path], tmp_path: Path, reference: dict[str, bytes]
) -> None:
    path = make_job("full")
    code = (
        "import resource, sys, hardneg.pipeline as p; p.SHARD = 4\n"
        "from hardneg.cli import main\n"
        "import sentence_transformers, numba\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))\n"
        "sys.exit(main(['run', sys.argv[1]]))"
    )
    for limit in (1_000, 4_500):
        done = subprocess.run(
            [sys.executable, "-c", code, path, str(limit)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("hardneg: "), done.stderr
        assert "cannot be written (" in last, done.stderr
        assert "File too large" in last, done.stderr
    Job.read(path).run()
    assert files_of(tmp_path / "runs" / "full") == reference


def test_a_damaged_shard_is_named(
    make_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Job.read(make_job()).run()
    [shard] = (tmp_path / "runs" / "job").glob("stages/merge-*/part-00000.parquet")
    shard.write_bytes(shard.read_bytes()[:100])
    assert main(["run", str(make_job(margin=0.4))]) == 1
    assert f"{shard}: the shard is damaged" in capsys.readouterr().err
    shard.unlink()
    Job.read(make_job(margin=0.4)).run()


def test_a_lost_corpus_is_made_again(make_job: Callable[..., Path], tmp_path: Path) -> None:
    import shutil

    Job.read(make_job()).run()
    shutil.rmtree(tmp_path / "cache")
    assert Job.read(make_job(margin=0.4)).run().ran[0] == "read"


def test_changed_data_reruns_everything_and_says_why(make_job: Callable[..., Path], tmp_path: Path) -> None:
    Job.read(make_job()).run()
    with (tmp_path / "data" / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "new", "text": "a new passage"}) + "\n")
    state = {name: (what, why) for name, what, why in Job.read(make_job()).state()}
    assert state["read"][0] == "to do"
    assert "files.1. corpus.jsonl" in state["read"][1]
    assert all(what == "to do" for what, _ in state.values())


def test_counts_are_right_after_a_resumed_run(
    make_job: Callable[..., Path], tmp_path: Path, reference: dict[str, bytes]
) -> None:
    report = Job.read(make_job("reference")).run().report
    job = Job.read(make_job("resumed"))
    job.run()
    for stage in ("generate.lexical", "evaluate"):
        [folder] = (tmp_path / "runs" / "resumed" / "stages").glob(f"{stage}-*")
        (folder / "complete.json").unlink()
        for shard in sorted(folder.glob("part-*"))[:2]:
            shard.unlink()
    assert job.run().report == report


def test_two_files_of_one_name_are_both_in_the_fingerprint(make_job: Callable[..., Path], tmp_path: Path) -> None:
    for folder, line in (("a", {"query": "cat", "positive": "the cat"}), ("b", {"_id": "1", "text": "a dog"})):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.jsonl").write_text(json.dumps(line) + "\n")
    data = f"kind: jsonl, path: {tmp_path / 'a' / 'data.jsonl'}, corpus: {tmp_path / 'b' / 'data.jsonl'}"
    path = make_job(text=changed("kind: beir, path: {data}", data))
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
    easy = "  easy: {{kind: random, depth: 5, control: true}}\n"
    last = Job.read(make_job("last")).run().report
    first = (
        Job.read(make_job("first", text=changed(easy, "").replace("generators:\n", "generators:\n" + easy)))
        .run()
        .report
    )
    without = Job.read(make_job("without", text=changed(easy, ""))).run().report
    for report in (first, without):
        # sums are added up in another order
        assert dict(leaves(report["sets"]["final"])) == pytest.approx(dict(leaves(last["sets"]["final"])), abs=1e-12)
        assert report["counts"] == last["counts"]
        assert report["dropped"] == last["dropped"]


def test_no_filters_no_exports_and_one_passage(make_job: Callable[..., Path], tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    (tmp_path / "data" / "corpus.jsonl").write_text('{"_id": "cat", "text": "the cat sat on the mat"}\n')
    (tmp_path / "data" / "qrels" / "train.tsv").write_text("h\nq1-0\tcat\t1\n")
    lines = [
        line
        for line in JOB.splitlines()
        if not line.startswith(("filters", "  repeats", "  copies", "  safe", "  veto"))
    ]
    lines = [line for line in lines if not line.startswith(("exports", "  tuples", "  flag", "  all"))]
    report = Job.read(make_job(text="\n".join(lines))).run().report
    assert report["counts"]["examples without a negative"] == 1
    assert report["sets"]["final"]["after"]["eci_v1"] == 0
    assert "1 examples have no negative left" in report["warnings"][-1]


def test_the_control_that_wins_is_warned_about() -> None:
    from hardneg.report.warnings import warnings

    def moments(score: float) -> dict:
        after = {"eci_v1": 0.0, "size": 1.0, "without_negatives": 0}
        return {"before": {"eci_v1": score, "size": 1.0}, "after": after}

    sets = {"final": moments(0.1), "lexical": moments(0.77), "semantic": moments(1.2), "easy": moments(1.02)}
    report = {"sets": sets, "controls": ["easy"], "hybrids": [], "generated": {}, "shortcut": None}
    [warning] = warnings(report)
    assert "the easy control `easy` has a higher eci_v1 (1.02) than `lexical` (0.77):" in warning
    assert "semantic" not in warning


def test_a_fast_second_run(make_job: Callable[..., Path]) -> None:
    """Not a timed test of speed: the second run must not import a model library, which is what takes time."""
    path = make_job()
    Job.read(path).run()
    code = (
        f"import sys; from hardneg.cli import main; assert main(['run', {str(path)!r}]) == 0\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'bm25s', 'numba', 'datasketch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert time.monotonic() - begin < 60
