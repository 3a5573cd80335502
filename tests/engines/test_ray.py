"""The engine on a Ray cluster of three nodes, whose workers and nodes are really killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import IN_A_HURRY, Listener, as_yaml, changed, files_of, job_on, small_shards, write_data

from hardneg import progress
from hardneg.engines.ray import Ray
from hardneg.job.run_folder import Job

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

MEMORY = 80 * 2**20
"""Bytes of each node's object store."""


class Nodes:
    """A head without CPUs and two nodes with one each, which come back when they are lost."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        options = {"object_store_memory": MEMORY, "include_dashboard": False}
        self._own: Cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
        self._options = {"object_store_memory": MEMORY, "num_cpus": 1}
        self.complete()

    @property
    def address(self) -> str:
        return self._own.address

    def complete(self) -> None:
        for node in list(self._own.worker_nodes):
            if not node.live_processes():
                with suppress(Exception):
                    self._own.remove_node(node)
        while len(self._own.worker_nodes) < 2:
            self._own.add_node(wait=True, **self._options)

    def actors(self) -> list[str]:
        """The states of all actors that are not dead."""
        import ray

        ray.init(self.address, log_to_driver=False)
        try:
            found: Any = ray._private.state.actors()
            return [actor["State"] for actor in found.values() if actor["State"] != "DEAD"]
        finally:
            ray.shutdown()

    def end(self) -> None:
        self._own.shutdown()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Nodes]:
    here = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        path = os.pathsep.join([*(str(here / room) for room in ("", "engines", "pipeline")), *sys.path])
        patch.setenv("PYTHONPATH", path)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("NUMBA_DISABLE_JIT", IN_A_HURRY["NUMBA_DISABLE_JIT"])
        nodes = Nodes()
        yield nodes
        nodes.end()


@pytest.fixture
def nodes(cluster: Nodes) -> Iterator[Nodes]:
    cluster.complete()
    yield cluster
    Ray().close()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Shards and exports of a run in one process on twelve queries."""
    folder = tmp_path_factory.mktemp("reference")
    write_data(folder / "data", copies=4)
    (folder / "job.yaml").write_text(as_yaml(job_on()))
    with pytest.MonkeyPatch.context() as patch:
        small_shards(patch)
        Job.read(folder / "job.yaml").run()
    return files_of(folder / "runs" / "job")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The same job, with an engine on the cluster."""
    small_shards(monkeypatch)

    def make(nodes: Nodes, **engine: Any) -> Path:
        write_data(tmp_path / "data", copies=4)
        own = {"kind": "ray", "address": nodes.address, **engine}
        (tmp_path / "job.yaml").write_text(as_yaml(changed(job_on(), {"engine": own})))
        return tmp_path / "job.yaml"

    return make


@pytest.mark.engines
def test_a_run_on_a_cluster_is_that_of_one_process(
    nodes: Nodes, job: Callable[..., Path], reference: dict[str, bytes], tmp_path: Path
) -> None:
    heard = Listener(lambda _title: None)
    with progress.listening(heard):
        Job.read(job(nodes, stages={"score.target": {"concurrency": [1, 2], "cpus": 0.5}})).run()
    assert files_of(tmp_path / "runs" / "job") == reference
    assert {"generate.semantic", "merge", "score.target", "filter.safe"} <= set(heard.titles)
    assert nodes.actors() == []
    assert not list(tmp_path.glob("*/**/.seen-*"))
    assert Job.read(tmp_path / "job.yaml").run().ran == []


@pytest.mark.engines
@pytest.mark.parametrize("death", ["process", "machine"])
def test_a_worker_lost_in_each_stage_costs_its_shard_only(
    nodes: Nodes, job: Callable[..., Path], reference: dict[str, bytes], tmp_path: Path, death: str
) -> None:
    (tmp_path / "marks").mkdir()
    variables = {"HARDNEG_TEST_MARKS": str(tmp_path / "marks"), "HARDNEG_TEST_DEATH": death}
    hook = {"worker_process_setup_hook": "deadly_ray.hook", "env_vars": variables}
    path = job(nodes, runtime_env=hook)
    with progress.listening(Listener(lambda _title: nodes.complete())):
        Job.read(path).run()
    assert files_of(tmp_path / "runs" / "job") == reference
    stages = [name.split("/")[1].rpartition("-")[0] for name in reference if name.startswith("stages/")]
    worked = {
        name for name in stages if name.startswith(("generate", "merge", "score", "filter")) and "deeper" not in name
    }
    assert worked <= {mark.name for mark in (tmp_path / "marks").iterdir()}
