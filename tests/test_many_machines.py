"""The examples for many machines: every command in them is one that there is."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml
from support import as_yaml, job_on

from hardneg.cli import parser
from hardneg.cli.command import overrides
from hardneg.engines.ray import Ray
from hardneg.job.document import read
from hardneg.pipeline.share import Share

ROOT = Path(__file__).parents[1]
SBATCH = """#!/bin/sh
for word; do case $word in --array=*) array=${word#--array=};; --dependency=*) after=${word#--dependency=};; esac; done
echo "${array:-}|${after:-}|$word" >> submitted
wc -l < submitted
"""
"""Notes what is submitted, and gives jobs the numbers 1, 2, 3."""


def shell(command: str, **variables: str) -> list[str]:
    """The words of a command, as a shell on a machine of the job sees them."""
    done = subprocess.run(
        ["sh", "-c", f"hardneg() {{ printf '%s\\n' \"$@\"; }}; {command}"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_slurm_example_submits_every_share_and_then_the_merge(tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(ROOT / "examples/slurm.sh"), "job.yaml"], cwd=tmp_path, env=environment, check=True)
    submitted = [line.split("|") for line in (tmp_path / "submitted").read_text().splitlines()]
    assert [(array, after) for array, after, _ in submitted] == [("1-16", ""), ("1-16", "afterok:1"), ("", "afterok:2")]
    for _, _, command in submitted[:2]:
        for number in ("1", "16"):
            options = parser().parse_args(shell(command, SLURM_ARRAY_TASK_ID=number))
            assert (options.command, Share.parsed(options.shard)) == ("run", Share(int(number), 16))
    assert parser().parse_args(shell(submitted[2][2])).command == "merge"


def test_the_kubernetes_example_runs_every_share_and_then_the_merge() -> None:
    shards, merge = yaml.safe_load_all((ROOT / "examples/kubernetes.yaml").read_text())
    assert shards["spec"]["completionMode"] == "Indexed"
    [container] = shards["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["sh", "-c"]
    for index in range(shards["spec"]["completions"]):
        options = parser().parse_args(shell(container["command"][2], JOB_COMPLETION_INDEX=str(index)))
        assert (options.command, Share.parsed(options.shard)) == (
            "run",
            Share(index + 1, shards["spec"]["completions"]),
        )
    [container] = merge["spec"]["template"]["spec"]["containers"]
    assert parser().parse_args(container["command"][1:]).command == "merge"


def engine_of(words: list[str], tmp_path: Path) -> Any:
    """The engine of a job that a command runs with its `--set`."""
    options = parser().parse_args(words)
    assert options.command == "run"
    (tmp_path / "job.yaml").write_text(as_yaml(job_on()))
    return read(tmp_path / "job.yaml", overrides(options)).document.engine


def test_the_ray_example_submits_a_run_on_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "ray").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > submitted\n')
    (tmp_path / "ray").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(ROOT / "examples/ray_submit.sh"), "job.yaml"], cwd=tmp_path, env=environment, check=True)
    words = (tmp_path / "submitted").read_text().splitlines()
    assert words[:3] == ["job", "submit", "--address"]
    command = words[words.index("--") + 1 :]
    assert command[:3] == ["hardneg", "run", "job.yaml"]
    assert engine_of(command[1:], tmp_path) == Ray(concurrency=(1, 16), cpus=4)


def test_the_kuberay_example_runs_the_job_on_pods_that_see_its_folder(tmp_path: Path) -> None:
    spec = yaml.safe_load((ROOT / "examples/kuberay.yaml").read_text())["spec"]
    cluster = spec["rayClusterSpec"]
    [group] = cluster["workerGroupSpecs"]
    engine = engine_of(shell(spec["entrypoint"]), tmp_path)
    assert engine.concurrency == (group["minReplicas"], group["maxReplicas"])
    for template in (cluster["headGroupSpec"]["template"], group["template"]):
        [container] = template["spec"]["containers"]
        assert container["volumeMounts"] == [{"name": "shared", "mountPath": "/shared"}]
        assert container["resources"]["limits"]["cpu"] >= engine.cpus


def test_the_skypilot_example_runs_every_share() -> None:
    task = yaml.safe_load((ROOT / "examples/skypilot.yaml").read_text())
    for rank in range(task["num_nodes"]):
        words = shell(task["run"], SKYPILOT_NODE_RANK=str(rank), SKYPILOT_NUM_NODES=str(task["num_nodes"]))
        options = parser().parse_args(words)
        assert (options.command, Share.parsed(options.shard)) == ("run", Share(rank + 1, task["num_nodes"]))


def test_the_commands_of_the_page_are_there() -> None:
    page = (ROOT / "docs/how-to/many-machines.md").read_text()
    commands = [line for line in page.splitlines() if line.startswith("hardneg ")]
    assert len(commands) == 3
    for line in commands:
        options = parser().parse_args(shlex.split(line, comments=True)[1:])
        if options.command == "run":
            Share.parsed(options.shard)
    for example in ("slurm.sh", "kubernetes.yaml", "ray_submit.sh", "kuberay.yaml", "skypilot.yaml"):
        assert f"../examples/{example}" in page
        assert len((ROOT / "examples" / example).read_text().splitlines()) <= 45
