"""Jobs whose generators search the corpus in parts: training files, report and fingerprints are those of the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import REMOVED, WORDS, Listener, as_yaml, changed, files_of, job_on, small_shards, write_data

from hardneg import progress
from hardneg.cli import main
from hardneg.errors import HardnegError, JobError
from hardneg.job.run_folder import Job
from hardneg.pipeline import shard_work
from hardneg.pipeline.share import Share

GENERATORS = ("lexical", "semantic", "reranked.candidates")
CHANGES: dict[str, Any] = {
    "generators.lexical.depth": 1,
    "generators.semantic.depth": 1,
    "generators.reranked.candidates": {"kind": "bm25", "depth": 2},
    "generators.reranked.depth": 1,
    "scorers.doubt": {"kind": "false_negative", "encoder": WORDS, "level": -1.0, "slope": 1.0},
    "filters.calm": {"kind": "eci_safety", "scorer": "doubt", "ceiling": 0.35},
    "deepen": 1,
    "eci.sem": False,
} | dict.fromkeys(
    ("generators.easy", "controls", "scorers.referee", "filters.veto", "filters.copies", "exports.flag", "exports.all"),
    REMOVED,
)
"""A generator with another one inside, a scorer that ranks in the whole corpus, and searches that go deeper."""


def bytes_of(folder: Path) -> dict[str, bytes]:
    """What a run leaves, but what its parts found."""
    found = {name: content for name, content in files_of(folder).items() if ".part-" not in name}
    return found | {"report.json": (folder / "report.json").read_bytes()}


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four examples a shard, and so few passages in a block that eight can be cut."""
    small_shards(monkeypatch)
    monkeypatch.setattr("hardneg.models.dense_search.ROWS_PER_BLOCK", 2)


def in_parts(count: int) -> dict[str, Any]:
    return {f"generators.{name}.parts": count for name in GENERATORS}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is found in the whole, for twelve queries in three shards."""
    folder = tmp_path_factory.mktemp("reference")
    write_data(folder / "data", copies=4)
    (folder / "job.yaml").write_text(as_yaml(changed(job_on(), CHANGES)))
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        ran = Job.read(folder / "job.yaml").run().ran
    assert "generate.semantic.deeper1" in ran
    return bytes_of(folder / "runs" / "job")


@pytest.fixture
def parted(make_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same job in three parts, not run yet."""
    small(monkeypatch)
    write_data(tmp_path / "data", copies=4)
    return make_job(changes=CHANGES | in_parts(3))


def names(job: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert main(["check", str(job), "--json"]) == 0
    return {each["stage"]: each["state"] for each in json.loads(capsys.readouterr().out)}


def test_it_is_the_job_of_the_whole(
    parted: Path, tmp_path: Path, reference: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    before = names(parted, capsys)
    assert [name for name in before if name.startswith("generate.lexical")] == [
        *(f"generate.lexical.part-{number}-of-3" for number in (1, 2, 3)),
        "generate.lexical",
        "generate.lexical.deeper1",
    ]
    heard = Listener(lambda _title: None)
    with progress.listening(heard):
        ran = Job.read(parted).run().ran
    assert "generate.semantic.part-2-of-3" in heard.titles
    assert ran[:3] == ["read", "generate.lexical", "generate.semantic"], "their parts go without saying"
    assert not [name for name in ran if ".part-" in name]
    assert bytes_of(tmp_path / "runs" / "job") == reference
    cache = tmp_path / "cache"
    assert [len(list((cache / group).iterdir())) for group in ("bm25_counts", "bm25", "embeddings")] == [3, 4, 3]
    after = names(parted, capsys)
    assert set(after.values()) == {"cached"}
    assert not [name for name in after if ".part-" in name]
    manifest = json.loads((tmp_path / "runs" / "job" / "manifest.json").read_text())
    assert manifest["stages"]["generate.lexical.part-3-of-3"]["seconds"] >= 0
    for count in (1, 5):
        assert Job.read(parted, in_parts(count)).run().ran == [], "the number of parts decides nothing"


def test_where_a_run_is_stopped_another_number_of_parts_goes_on(
    parted: Path, tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, done = shard_work.search_part, []

    def stopped(loader: Any, wave: Any, stage: Any, *what: Any) -> None:
        if stage.name == "generate.lexical.part-2-of-3" and what[-1] == 1:
            raise KeyboardInterrupt
        search(loader, wave, stage, *what)

    def counted(loader: Any, wave: Any, stage: Any, *what: Any) -> None:
        done.append((stage.name, what[-1]))
        search(loader, wave, stage, *what)

    monkeypatch.setattr(shard_work, "search_part", stopped)
    with pytest.raises(KeyboardInterrupt):
        Job.read(parted).run()
    monkeypatch.setattr(shard_work, "search_part", counted)
    Job.read(parted).run()
    assert [shard for name, shard in done if name == "generate.lexical.part-1-of-3"] == []
    assert [shard for name, shard in done if name == "generate.lexical.part-2-of-3"] == [1, 2]
    assert bytes_of(tmp_path / "runs" / "job") == reference
    [shard] = (tmp_path / "runs" / "job" / "stages").glob("generate.semantic-*/part-00001.*")
    shard.write_bytes(b"damaged")
    done.clear()
    with pytest.warns(UserWarning, match="the shard has changed since it was written"):
        Job.read(parted, {"generators.semantic.parts": 4}).run()
    assert done == [(f"generate.semantic.part-{number}-of-4", 1) for number in (1, 2, 3, 4)]
    assert bytes_of(tmp_path / "runs" / "job") == reference


def test_shares_of_it(parted: Path, tmp_path: Path, reference: dict[str, bytes]) -> None:
    for index in (2, 1):
        Job.read(parted).work(Share(index, 2))
    assert not [name for name in Job.read(parted).merge().ran if name.startswith("generate.") and "deeper" not in name]
    assert bytes_of(tmp_path / "runs" / "job") == reference


def test_one_part_alone(parted: Path, tmp_path: Path, reference: dict[str, bytes]) -> None:
    """A machine that has room for one part does that, for all examples."""
    for number in (2, 1):
        worked = Job.read(parted).work(Share(1, 1, f"generate.semantic.part-{number}-of-3"))
        assert worked.ran[-1] == f"generate.semantic.part-{number}-of-3"
        assert len(list((tmp_path / "cache" / "embeddings").iterdir())) == 3 - number, "nothing of the others"
    with pytest.raises(JobError, match=r"no such stage; there are .*`generate\.semantic\.part-3-of-3`, `generate\.sem"):
        Job.read(parted).work(Share(1, 1, "generate.semantic.part-4-of-3"))
    assert Job.read(parted).work(Share(1, 2, "generate.semantic")).ran == ["generate.semantic"]
    with pytest.raises(HardnegError, match=r"merge cannot begin in share 1/1: `generate\.lexical`"):
        Job.read(parted).work(Share(1, 1, "merge"))
    job = Job.read(parted)
    with (
        job.opened(Share(1, 2, "generate.lexical")),
        pytest.raises(JobError, match="another process works on"),
        Job.read(parted).opened(Share(1, 2, "generate.lexical.part-1-of-3")),
    ):
        pass
    assert Job.read(parted).run().ran[:2] == ["generate.lexical", "generate.semantic"]
    assert bytes_of(tmp_path / "runs" / "job") == reference


@pytest.mark.engines
def test_two_processes_make_a_part_each(
    make_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a corpus that is really cut for the dense search."""
    found = []
    for name, parts, workers in (("whole", 1, 1), ("parts", 2, 2)):
        job = make_job(name, CHANGES | in_parts(parts) | {"cache": f"cache-{name}"}, workers=workers)
        with (tmp_path / "data" / "corpus.jsonl").open("a") as file:
            if name == "whole":
                file.writelines(
                    json.dumps({"_id": f"d{n}", "text": f"dogs {n % 97} rain {n % 89} paris {n}"}) + "\n"
                    for n in range(9_000)
                )
        Job.read(job).run()
        found.append(bytes_of(tmp_path / "runs" / name))
    assert found[0] == found[1]
    assert len(list((tmp_path / "cache-parts" / "embeddings").iterdir())) == 2
