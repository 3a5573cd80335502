"""The examples for many machines: every command in them is one that there is."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import yaml

from hardneg.cli import parser
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


def test_the_commands_of_the_page_are_there() -> None:
    page = (ROOT / "docs/how-to/many-machines.md").read_text()
    commands = [line for line in page.splitlines() if line.startswith("hardneg ")]
    assert len(commands) == 3
    for line in commands:
        options = parser().parse_args(shlex.split(line, comments=True)[1:])
        if options.command == "run":
            Share.parsed(options.shard)
    for example in ("slurm.sh", "kubernetes.yaml"):
        assert f"../examples/{example}" in page
        assert len((ROOT / "examples" / example).read_text().splitlines()) <= 45
