"""Jobs whose data, output and cache lie at URLs, on a real S3 server: the bytes are those of a job on a disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import object_store
import pytest
from support import WORDS, as_yaml, changed, files_of, small_shards, write_data

from hardneg.cache.folders import cache_at
from hardneg.cli import main
from hardneg.errors import DataError, HardnegError, JobError, StoreError
from hardneg.files.durable import FOLLOWERS
from hardneg.job.named import folder_of
from hardneg.job.run_folder import Job
from hardneg.job.verify import verify
from hardneg.pipeline.share import Share

SMALL = {
    "data": {"kind": "beir", "path": "data"},
    "generators": {
        "lexical": {"kind": "bm25", "depth": 5},
        "semantic": {"kind": "dense", "depth": 5, "encoder": WORDS},
    },
    "scorers": {"target": {"kind": "bi_encoder", "encoder": WORDS}},
    "filters": {"safe": {"kind": "eci_safety", "scorer": "target", "margin": -0.05}},
    "select": {"kind": "top", "scorer": "target", "per_query": 2},
    "deepen": 0,
    "eci": {"scorer": "target", "sem": False},
    "exports": {"all": {"kind": "jsonl"}, "ids": {"kind": "tevatron", "form": "ids"}},
    "output": "run",
    "cache": "cache",
}
Machine = Callable[..., Path]


@pytest.fixture(autouse=True)
def three_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, and the run of one process on a disk."""
    folder = tmp_path_factory.mktemp("reference")
    write_data(folder / "data", copies=4)
    (folder / "job.yaml").write_text(as_yaml(SMALL))
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        Job.read(folder / "job.yaml").run()
    return folder


@pytest.fixture
def machine(s3: object_store.Store, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Goes to another machine, which has nothing but the job: all else is at URLs. Returns the job's file."""
    data = s3.put(reference / "data", "data")

    def go(name: str, **changes: object) -> Path:
        FOLLOWERS.clear()
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name / "caches"))
        monkeypatch.delenv("HARDNEG_CACHE", raising=False)
        places = {"data.path": data, "output": f"{s3.url}/run", "cache": f"{s3.url}/cache"}
        job = tmp_path / name / "job.yaml"
        job.write_text(as_yaml(changed(SMALL, places | changes)))
        return job

    return go


def local(folder: Path) -> dict[str, bytes]:
    return files_of(folder) | {"report.json": (folder / "report.json").read_bytes()}


def at_url(s3: object_store.Store, name: str = "run") -> dict[str, bytes]:
    """What `local` has of a folder, of what is at the URL."""
    kinds = ("stages/", "exports/", "provenance.jsonl", "report.json")
    found = {file: content for file, content in s3.contents(name).items() if file.startswith(kinds)}
    return {
        file: content
        for file, content in found.items()
        if not file.endswith(".json") or "/" not in file or file.startswith("exports/")
    }


def test_a_job_at_urls_is_equal_and_nothing_of_it_is_done_again_elsewhere(
    s3: object_store.Store, machine: Machine, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(machine("one"))]) == 0
    assert f"all: {s3.url}/run/exports/all (12 rows" in capsys.readouterr().out
    assert at_url(s3) == local(reference / "run")
    assert json.loads(s3.contents("run")["claim.json"])["files"][0] == f"{s3.url}/data/corpus.jsonl"
    job = machine("two")
    assert {state for _, state, _ in Job.read(job).state()} == {"cached"}
    assert Job.read(job).run().ran == []
    assert at_url(s3) == local(reference / "run")
    made = {path.parent.name for path in cache_at().root.glob("*/*") if not path.parent.name.startswith(".")}
    assert made >= {"corpora", "fetched", "mirrors"}
    assert not {"bm25", "embeddings"} & made, "nobody asked for them"
    job.write_text(job.read_text().replace("depth: 5", "depth: 4"))
    assert "generate.lexical" in Job.read(job).run().ran
    assert (cache_at().root / "bm25").is_dir(), "it came from the URL"


def test_commands_take_the_url_of_a_run(
    s3: object_store.Store, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(machine("one"))]) == 0
    machine("two")
    run = f"{s3.url}/run"
    capsys.readouterr()
    for command in (["compare", run], ["report", run], ["verify", run], ["show", f"{run}/job.yaml", "--query", "q1-0"]):
        assert main(command) == 0, command
    assert main(["review", run, "--count", "3"]) == 0
    assert [name for name in s3.contents("run") if name.startswith("reviews/")], "what is made of it goes there"
    assert main(["report", f"{s3.url}/data"]) == 2
    assert f"{s3.url}/data: is not the folder of a run" in capsys.readouterr().err


def test_shares_on_machines_without_a_disk_in_common(s3: object_store.Store, machine: Machine, reference: Path) -> None:
    first = Job.read(machine("one")).work(Share(1, 2))
    second = Job.read(machine("two")).work(Share(2, 2))
    assert (first.shards, second.shards) == (2, 1)
    assert "read" in first.ran
    assert "read" not in second.ran
    job = machine("three")
    ran = Job.read(job).merge().ran
    assert not {"read", "generate.lexical", "score.target"} & set(ran)
    assert at_url(s3) == local(reference / "run")


def test_a_merge_elsewhere_that_comes_too_early_names_the_shares(s3: object_store.Store, machine: Machine) -> None:
    Job.read(machine("one")).work(Share(2, 3))
    with pytest.raises(HardnegError, match=r"2 of 3 shards are not done \(shards 0,2: .*--shard 1/3`, `.*--shard 3/3`"):
        Job.read(machine("two")).merge()


@pytest.mark.parametrize(
    "what", ["run/stages/score.target-*/part-00001.*", "run/exports/all/train.jsonl", "cache/corpora/*/*/ids.npy"]
)
def test_what_was_damaged_there_is_made_again(
    s3: object_store.Store, machine: Machine, reference: Path, what: str
) -> None:
    Job.read(machine("one")).run()
    before = s3.contents("cache")
    [path] = s3.files.glob(f"{s3.url}/{what}")
    content = s3.files.cat_file(path)
    s3.files.pipe_file(path, content[:-1] + bytes([content[-1] ^ 1]))
    job = machine("two")
    if not what.startswith("cache"):
        assert [problem for _, problem in verify(f"{s3.url}/run") if problem], "verify sees it"
    with pytest.warns(UserWarning, match=r"changed since it was written"):
        Job.read(job).run()
    assert at_url(s3) == local(reference / "run")
    assert s3.contents("cache") == before


def test_a_server_that_goes_away_costs_nothing_that_is_done(
    s3: object_store.Store, machine: Machine, reference: Path
) -> None:
    began = s3.line.passed
    Job.read(machine("whole", output=f"{s3.url}/whole", cache=f"{s3.url}/other")).run()
    needed = s3.line.passed - began
    job = machine("one")
    for _ in range(3):
        s3.line.cut_after(needed // 4)
        with pytest.raises(HardnegError, match=r"broke off .*run again"):
            Job.read(job).run()
        s3.line.mend()
        # what counts at the URL is whole: another machine would go on with it
        assert not [problem for _, problem in verify(f"{s3.url}/run") if problem]
    Job.read(job).run()
    assert at_url(s3) == local(reference / "run")


def test_an_export_takes_the_place_of_the_earlier_one_and_its_mark_comes_last(
    s3: object_store.Store, machine: Machine, reference: Path
) -> None:
    job = machine("one")
    first = Job.read(job)
    first.run()
    mark = first.pipeline.stages.export["ids"].fingerprint.encode()
    assert s3.contents("run/exports/ids")[".fingerprint"] == mark
    job = machine("two", **{"exports.ids": {"kind": "tevatron", "form": "teacher", "scorer": "target"}})
    s3.line.cut_after(10**9)
    for _ in range(30):
        left = s3.contents("run/exports/ids")
        if left.get(".fingerprint") not in (mark, None):
            break
        assert ".fingerprint" not in left or "corpus.jsonl" in left, "the mark goes before anything else"
        began = s3.line.passed
        s3.line.cut_after(10**9)
        Job.read(job).run()
        assert s3.line.passed > began
    left = s3.contents("run/exports/ids")
    assert "corpus.jsonl" not in left, "nothing of the earlier one stays"


def test_data_is_fetched_once_for_each_version_of_it(s3: object_store.Store, machine: Machine) -> None:
    job = machine("one", output="run")
    before = Job.read(job).plan.reader.files()
    assert Job.read(job).plan.reader.files() == before
    assert Job.read(job).run().batches
    queries = s3.files.cat_file(f"{s3.url}/data/queries.jsonl")
    s3.files.pipe_file(f"{s3.url}/data/queries.jsonl", queries.replace(b"loyal animals", b"faithful animals"))
    again = Job.read(job)
    assert again.plan.reader.files() != before
    assert {name: state for name, state, _ in again.state()}["read"] == "to do"
    s3.files.pipe_file(f"{s3.url}/data/queries.jsonl", queries)
    shutil.rmtree(cache_at().root / "fetched")
    assert {state for _, state, _ in Job.read(job).state()} == {"cached"}, "what counts is the content"


def test_faults_name_the_key_and_the_url(s3: object_store.Store, machine: Machine, tmp_path: Path) -> None:
    job = machine("one", **{"data.path": f"{s3.url}/nothing"})
    with pytest.raises(
        DataError, match=rf"^{job}:\d+: data.path: {s3.url}/nothing: there is no such file, and nothing"
    ):
        Job.read(job)
    job = machine("one", output="s3://nowhere/run")
    with pytest.raises(DataError, match=rf"^{job}: output: s3://nowhere/run: there is no such bucket"):
        Job.read(job).run()
    job = machine("one", cache="s3://nowhere/cache")
    with pytest.raises(DataError, match=r"^cache: s3://nowhere/cache/.*there is no such bucket"):
        Job.read(job).run()
    job = machine("one", output="https://127.0.0.1:1/run")
    with pytest.raises((JobError, StoreError), match=rf"^{job}: output: https://127.0.0.1:1/run: "):
        Job.read(job).run()
    s3.files.pipe_file(f"{s3.url}/other/file", b"some")
    with pytest.raises(JobError, match=rf"^{s3.url}/other: holds files and is not the folder of a run"):
        Job.read(machine("one", output=f"{s3.url}/other")).run()
    with pytest.raises(JobError, match="is not the folder of a run"):
        folder_of(f"{s3.url}/data")
