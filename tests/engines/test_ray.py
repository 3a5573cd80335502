"""The engine on a Ray cluster of three nodes, whose workers and nodes are really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
from nodes import Nodes
from support import REMOVED, SMALL_SHARDS, Listener, small_shards
from test_local import failing, killed
from twelve import alone, bytes_of, job_in

from hardneg import progress
from hardneg.engines import ray
from hardneg.engines.ray import Ray, Workers
from hardneg.errors import HardnegError, JobError, MissingExtraError, PartError, WorkerError
from hardneg.job.run_folder import Job

SHORT = {
    "generators.semantic": REMOVED,
    "generators.reranked": REMOVED,
    "generators.easy": REMOVED,
    "controls": REMOVED,
    "scorers.referee": REMOVED,
    "filters.veto": REMOVED,
    "filters.copies": REMOVED,
    "filters.repeats": REMOVED,
    "deepen": 0,
}
"""A job with one stage of each sort."""


@pytest.fixture(autouse=True)
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of a job on twelve queries."""
    small_shards(monkeypatch)


@pytest.fixture
def engine(nodes: Nodes) -> Ray:
    return Ray(address=nodes.address)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return alone(tmp_path_factory.mktemp("short"), SHORT)[0]


def job(folder: Path, nodes: Nodes, changes: dict[str, Any], **engine: Any) -> Path:
    """A job on the same queries, with an engine on the cluster."""
    return job_in(folder, {**changes, "engine": {"kind": "ray", "address": nodes.address, **engine}})


def hook(marks: Path, how: str) -> dict[str, Any]:
    """Ray's environment of workers that die as `deadly_ray` says."""
    marks.mkdir()
    variables = {"HARDNEG_TEST_MARKS": str(marks), "HARDNEG_TEST_DEATH": how}
    return {"worker_process_setup_hook": "deadly_ray.hook", "env_vars": variables}


@pytest.mark.engines
def test_a_process_and_a_machine_lost_in_each_stage_cost_their_shards_only(
    nodes: Nodes, short: dict[str, bytes], tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    path = job(tmp_path, nodes, SHORT, runtime_env=hook(marks, "die"))
    with progress.listening(Listener(lambda title: title in DEADLY and nodes.complete())):
        Job.read(path).run()
    assert {mark.name for mark in marks.iterdir()} == {f"{stage}-{shard}" for stage in DEADLY for shard in (1, 2)}
    assert bytes_of(tmp_path / "runs" / "job") == short


DEADLY = {"generate.lexical", "merge", "score.target", "filter.safe"}


@pytest.mark.engines
def test_parts_of_the_corpus_on_a_cluster_are_the_whole(nodes: Nodes, short: dict[str, bytes], tmp_path: Path) -> None:
    """With a death in the search of each, and in the merging of what they have."""
    marks = tmp_path / "marks"
    path = job(tmp_path, nodes, SHORT | {"generators.lexical.parts": 2}, runtime_env=hook(marks, "alone"))
    Job.read(path).run()
    assert {mark.name for mark in marks.iterdir()} == {f"{stage}-1" for stage in DEADLY | PARTS}
    found = bytes_of(tmp_path / "runs" / "job")
    assert {name: content for name, content in found.items() if ".part-" not in name} == short
    assert len(list((tmp_path / "cache" / "bm25").glob("[!.]*"))) == 2


PARTS = {"generate.lexical.part-1-of-2", "generate.lexical.part-2-of-2"}


@pytest.mark.engines
def test_what_kills_every_worker_is_given_up_when_all_others_are_done(engine: Ray, tmp_path: Path) -> None:
    done: list[int] = []
    with pytest.raises(WorkerError) as raised:
        done.extend(engine.map(partial(killed, tmp_path, {1: 99, 2: 1}, "SIGKILL"), range(4)))
    assert raised.value.shards == [1]
    assert sorted(done) == [0, 4, 9]
    assert len(list(tmp_path.glob("1-*"))) == 3
    with pytest.raises(WorkerError) as raised:
        list(engine.map(partial(killed, tmp_path, {5: 99}, "memory"), range(4, 6)))
    assert raised.value.shards == [5]


@lru_cache
def loaded(folder: Path) -> None:
    (folder / f"loaded-{os.getpid()}").touch(exist_ok=False)


def loads(folder: Path, number: int) -> int:
    loaded(folder)
    progress.note(f"number {number}")
    (folder / f"worked-{os.getpid()}").touch()
    time.sleep(0.2)
    return number


@pytest.mark.engines
def test_a_worker_stays_with_what_it_has_loaded_and_says_what_it_has_to_say(nodes: Nodes, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    engine = Ray(address=nodes.address, stages={"merge": Workers(concurrency=(1, 2))})
    with pytest.warns(UserWarning, match="number") as said:
        first = sorted(engine.map(partial(loads, tmp_path), range(8), stage="generate.a"))
    with pytest.warns(UserWarning, match="number"):
        assert sorted(engine.map(partial(loads, tmp_path), range(8), stage="score.b")) == first == list(range(8))
    assert sorted(str(warning.message) for warning in said) == [f"number {n}" for n in range(8)]
    assert len(list(tmp_path.glob("loaded-*"))) == len(list(tmp_path.glob("worked-*"))) == 2
    assert signal.getsignal(signal.SIGTERM) is before, "Ray sets its own"
    with pytest.warns(UserWarning, match="number"):
        list(engine.map(partial(loads, tmp_path), range(8), stage="merge"))
    assert len(list(tmp_path.glob("loaded-*"))) == 4
    crew = ray._session()._crew
    assert crew is not None
    assert len(crew._idle) + len(crew._starting) == 1, "no shard waits for the second"


def gpus(_number: int) -> tuple[int, str | None]:
    time.sleep(0.5)  # so that the others get something to do
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.engines
def test_workers_share_a_gpu_and_see_none_without(nodes: Nodes) -> None:
    stages = {"score.large": Workers(gpus=0.5, cpus=0.25)}
    engine = Ray(address=nodes.address, concurrency=(1, 3), stages=stages)
    found = list(engine.map(gpus, range(9), stage="score.large.deeper1"))
    assert len({process for process, _ in found}) == 3, "on two machines with a GPU each"
    assert {seen for _, seen in found} == {"0"}
    assert {seen for _, seen in engine.map(gpus, [0], stage="merge")} == {""}
    assert engine._of("score.large.part-2-of-3.deeper1") == engine._of("score.large")


@pytest.mark.engines
def test_rays_own_words_are_apart_from_results(engine: Ray, capsys: pytest.CaptureFixture[str]) -> None:
    from ray._private.utils import publish_error_to_driver
    from ray._private.worker import global_worker

    said = ""
    for result in engine.map(abs, [-1]):
        print("result", result)
        publish_error_to_driver("some", "a machine was lost", global_worker.gcs_client)
        while "a machine was lost" not in said:
            time.sleep(0.05)
            out, error = capsys.readouterr()
            said += error
            assert out in ("result 1\n", "")


@pytest.mark.engines
def test_an_address_that_is_not_joined_is_said(nodes: Nodes) -> None:
    import ray as own

    own.init(nodes.address, log_to_driver=False)
    try:
        with pytest.warns(UserWarning, match=r"^engine\.address: 127\.0\.0\.1:9 is not joined"):
            assert list(Ray(address="127.0.0.1:9").map(abs, [-1])) == [1]
        assert list(Ray(address=nodes.address).map(abs, [-1])) == [1]
    finally:
        Ray().close()
        own.shutdown()


@pytest.mark.engines
def test_an_error_is_no_death(engine: Ray) -> None:
    with pytest.raises(ValueError, match=r"^number"):
        list(engine.map(failing, range(4)))


@pytest.mark.engines
def test_a_folder_that_workers_see_otherwise_is_refused(
    engine: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = Path("/proc/self/cwd")  # of each process its own, as a disk that is not shared
    with pytest.raises(JobError, match=r"^/proc/self/cwd: the machine .* does not see this folder as it is here"):
        list(engine.map(failing, range(4), folders=[here]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.engines
def test_what_a_worker_lacks_is_named(engine: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here_alone.py").write_text("def work(number): return number")
    monkeypatch.syspath_prepend(str(tmp_path))
    import here_alone  # type: ignore[import-not-found]

    with pytest.raises(HardnegError, match=r"No module named 'here_alone'.*`engine.runtime_env`"):
        list(engine.map(here_alone.work, range(2)))


STOPPED = (
    SMALL_SHARDS
    + """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background has it ignored
from hardneg.cli import main
sys.exit(main(["run", sys.argv[1]]))
"""
)


@pytest.mark.engines
def test_a_run_that_is_stopped_leaves_no_workers_and_goes_on(
    nodes: Nodes, short: dict[str, bytes], tmp_path: Path
) -> None:
    path = job(tmp_path, nodes, SHORT, runtime_env=hook(tmp_path / "marks", "sleep"))
    with subprocess.Popen([sys.executable, "-c", STOPPED, path], stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "marks" / "score.target-1").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert process.stderr.read().endswith("hardneg: stopped; the same command goes on where it was\n")
    assert nodes.actors() == []
    assert Job.read(path).run().ran[0] == "score.target"
    assert bytes_of(tmp_path / "runs" / "job") == short


def test_a_cluster_that_does_not_answer_is_named_at_once() -> None:
    with pytest.raises(JobError, match=r"engine\.address: no Ray cluster at 127\.0\.0\.1:9 can be joined .*ray start"):
        list(Ray(address="127.0.0.1:9").map(failing, range(2)))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardneg.engines.ray.find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"hardneg\[ray\]"):
        Ray()


@pytest.mark.parametrize("wrong", [{"concurrency": (4, 2)}, {"concurrency": 0}, {"gpus": 1.5}, {"cpus": 0}])
def test_what_makes_no_workers_is_refused(wrong: dict[str, Any]) -> None:
    for kind in (Ray, Workers):
        with pytest.raises(PartError):
            kind(**wrong)
