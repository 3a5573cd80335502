"""Jobs whose data, output and cache lie at URLs, on a real S3 server: the bytes are those of a job on a disk."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import object_store
import pytest
from support import SMALL_SHARDS, WORDS, as_yaml, changed, files_of, small_shards, write_data

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
TINY = {"generators": {"easy": {"kind": "random", "depth": 5}}, "exports": {"all": {"kind": "jsonl"}}}
Machine = Callable[..., Path]


@pytest.fixture(autouse=True)
def three_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "data", copies=4)


@pytest.fixture(scope="module")
def reference(data: Path) -> Path:
    """The run of one process on a disk."""
    (data.parent / "job.yaml").write_text(as_yaml(SMALL))
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        Job.read(data.parent / "job.yaml").run()
    return data.parent / "run"


@pytest.fixture
def machine(s3: object_store.Store, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Goes to another machine, which has nothing but the job: all else is at URLs. Returns the job's file."""
    there = s3.put(data, "data")

    def go(name: str, **changes: object) -> Path:
        FOLLOWERS.clear()
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name / "caches"))
        monkeypatch.delenv("HARDNEG_CACHE", raising=False)
        places = {"data.path": there, "output": f"{s3.url}/run", "cache": f"{s3.url}/cache"}
        job = tmp_path / name / "job.yaml"
        job.write_text(as_yaml(changed(SMALL, places | changes)))
        return job

    return go


def local(folder: Path) -> dict[str, bytes]:
    return files_of(folder) | {"report.json": (folder / "report.json").read_bytes()}


def at_url(s3: object_store.Store, name: str = "run") -> dict[str, bytes]:
    """What `local` has of a folder, of what is at the URL."""
    wanted = re.compile(r"stages/.*\.parquet|exports/.*|provenance\.jsonl|report\.json")
    return {file: content for file, content in s3.contents(name).items() if wanted.fullmatch(file)}


def test_a_small_job_at_urls_is_equal_and_nothing_of_it_is_done_again_elsewhere(
    s3: object_store.Store, machine: Machine, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"data.path": str(data), "output": str(tmp_path / "run"), "cache": str(tmp_path / "cache")}
    Job.read(machine("disk", **TINY, **places)).run()
    assert main(["run", str(machine("one", **TINY))]) == 0
    assert f"all: {s3.url}/run/exports/all (12 rows" in capsys.readouterr().out
    assert at_url(s3) == local(tmp_path / "run")
    assert json.loads(s3.contents("run")["claim.json"])["files"][0] == f"{s3.url}/data/corpus.jsonl"
    [shard] = s3.files.glob(f"{s3.url}/run/stages/score.target-*/part-00001.*")
    s3.files.pipe_file(shard, s3.files.cat_file(shard)[:-1] + b"?")
    job = machine("two", **TINY)
    with pytest.warns(
        UserWarning, match=r"part-00001\..*: the shard has changed since it was written; it is made again"
    ):
        assert Job.read(job).run().ran == ["score.target"]
    assert at_url(s3) == local(tmp_path / "run")


@pytest.mark.engines
def test_a_job_at_urls_is_equal_and_nothing_of_it_is_done_again_elsewhere(
    s3: object_store.Store, machine: Machine, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(machine("one"))]) == 0
    assert f"all: {s3.url}/run/exports/all (12 rows" in capsys.readouterr().out
    assert at_url(s3) == local(reference)
    assert json.loads(s3.contents("run")["claim.json"])["files"][0] == f"{s3.url}/data/corpus.jsonl"
    job = machine("two")
    assert {state for _, state, _ in Job.read(job).state()} == {"cached"}
    assert Job.read(job).run().ran == []
    assert at_url(s3) == local(reference)
    made = {path.parent.name for path in cache_at().root.glob("*/*") if not path.parent.name.startswith(".")}
    assert made >= {"corpora", "fetched", "mirrors"}
    assert not {"bm25", "embeddings"} & made, "nobody asked for them"
    job.write_text(job.read_text().replace("depth: 5", "depth: 4"))
    assert "generate.lexical" in Job.read(job).run().ran
    assert (cache_at().root / "bm25").is_dir(), "it came from the URL"


@pytest.mark.engines
def test_commands_take_the_url_of_a_run(
    s3: object_store.Store, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(machine("one", **TINY))]) == 0
    machine("two")
    run = f"{s3.url}/run"
    capsys.readouterr()
    for command in (["compare", run], ["report", run], ["verify", run], ["show", f"{run}/job.yaml", "--query", "q1-0"]):
        assert main(command) == 0, command
    capsys.readouterr()
    assert main(["init", f"{s3.url}/data"]) == 0
    assert f"path: {s3.url}/data" in capsys.readouterr().out
    assert main(["review", run, "--count", "3"]) == 0
    assert [name for name in s3.contents("run") if name.startswith("reviews/")], "what is made of it goes there"
    assert main(["report", f"{s3.url}/data"]) == 2
    assert f"{s3.url}/data: is not the folder of a run" in capsys.readouterr().err


@pytest.mark.engines
def test_shares_on_machines_without_a_disk_in_common(s3: object_store.Store, machine: Machine, reference: Path) -> None:
    first = Job.read(machine("one")).work(Share(1, 2))
    second = Job.read(machine("two")).work(Share(2, 2))
    assert (first.shards, second.shards) == (2, 1)
    assert "read" in first.ran
    assert "read" not in second.ran
    job = machine("three")
    ran = Job.read(job).merge().ran
    assert not {"read", "generate.lexical", "score.target"} & set(ran)
    assert at_url(s3) == local(reference)


@pytest.mark.engines
def test_a_merge_elsewhere_that_comes_too_early_names_the_shares(s3: object_store.Store, machine: Machine) -> None:
    Job.read(machine("one", **TINY)).work(Share(2, 3))
    with pytest.raises(HardnegError, match=r"2 of 3 shards are not done \(shards 0,2: .*--shard 1/3`, `.*--shard 3/3`"):
        Job.read(machine("two", **TINY)).merge()


@pytest.mark.engines
@pytest.mark.parametrize("what", ["run/exports/all/train.jsonl", "cache/corpora/*/*/ids.npy"])
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
    assert at_url(s3) == local(reference)
    assert s3.contents("cache") == before


def sent_by_a_whole_job(s3: object_store.Store, machine: Machine) -> int:
    """The bytes that a job with everything at URLs sends and gets, when nothing of it is there yet."""
    began = s3.line.passed
    Job.read(machine("whole", output=f"{s3.url}/whole", cache=f"{s3.url}/other")).run()
    return s3.line.passed - began


@pytest.mark.engines
def test_a_server_that_goes_away_costs_nothing_that_is_done(
    s3: object_store.Store, machine: Machine, reference: Path
) -> None:
    needed = sent_by_a_whole_job(s3, machine)
    job = machine("one")
    for _ in range(3):
        s3.line.cut_after(needed // 4)
        with pytest.raises(HardnegError, match=r"broke off .*run again"):
            Job.read(job).run()
        s3.line.mend()
        # what counts at the URL is whole: another machine would go on with it
        assert not [problem for _, problem in verify(f"{s3.url}/run") if problem]
    Job.read(job).run()
    assert at_url(s3) == local(reference)


@pytest.mark.engines
def test_an_export_takes_the_place_of_the_earlier_one(s3: object_store.Store, machine: Machine) -> None:
    Job.read(machine("one")).run()
    earlier = s3.contents("run/exports/ids")
    job = machine("two", **{"exports.ids": {"kind": "tevatron", "form": "teacher", "scorer": "target"}})
    assert "export.ids" in Job.read(job).run().ran
    later = s3.contents("run/exports/ids")
    assert earlier.keys() - later.keys() == {"corpus.jsonl"}
    assert Job.read(machine("one")).run().ran == ["export.ids"], "what this machine has is not what is there"
    assert s3.contents("run/exports/ids") == earlier


PROCESS = f"{SMALL_SHARDS}import sys\nfrom hardneg.cli import main\nsys.exit(main(sys.argv[1:]))"


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.engines
def test_what_a_machine_that_is_lost_has_done_another_one_goes_on_with(
    s3: object_store.Store, machine: Machine, reference: Path
) -> None:
    """Killed in the middle of what it sends, each time on another machine, and done by one more."""
    needed = sent_by_a_whole_job(s3, machine)
    for number in range(3):
        process = started("run", machine(f"killed{number}"))
        s3.line.cut_after(needed * (number + 1) // 5, process.kill)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said
        s3.line.mend()
    done = {Path(file).parent.name for file in s3.contents("run") if file.endswith("complete.json")}
    assert done
    ran = Job.read(machine("last")).run().ran
    assert not {name for name in ran if any(folder.startswith(f"{name}-") for folder in done)}
    assert at_url(s3) == local(reference)


@pytest.mark.engines
def test_shares_at_once_on_machines_without_a_disk_in_common(
    s3: object_store.Store, machine: Machine, reference: Path
) -> None:
    """Both begin with nothing: what both make, both take from the first. One has two workers."""
    workers = {"engine": {"kind": "local", "workers": 2}}
    processes = [started("run", machine(f"m{i}", **workers if i == 1 else {}), "--shard", f"{i}/2") for i in (1, 2)]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    Job.read(machine("merging")).merge()
    assert at_url(s3) == local(reference)
    assert {name.split("/")[2] for name in s3.contents("cache") if name.startswith("bm25/")} >= {"whole"}


@pytest.mark.engines
def test_data_is_fetched_once_for_each_version_of_it(s3: object_store.Store, machine: Machine) -> None:
    job = machine("one", **TINY, output="run")
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
