"""One bit flipped in any durable file: the outputs of the next run are those of an undisturbed one, or it says why not."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hardneg.cli import main
from hardneg.job.run_folder import Job

MakeJob = Callable[..., Path]
FLIPS = int(os.environ.get("HARDNEG_FLIPS", "20"))
"""`HARDNEG_FLIPS=2000` takes about ten minutes on one quiet core."""


def outputs(run: Path) -> dict[str, bytes]:
    """Everything that a user takes away, but the cards, which are theirs to edit."""
    files = [*(run / "exports").rglob("*"), run / "provenance.jsonl", run / "report.json"]
    return {
        str(file.relative_to(run)): file.read_bytes() for file in files if file.is_file() and file.name != "README.md"
    }


def durable(tmp_path: Path) -> list[Path]:
    places = [*(tmp_path / "runs").rglob("*"), *(tmp_path / "cache").rglob("*")]
    return sorted(file for file in places if file.is_file() and file.stat().st_size and not file.name.endswith(".lock"))


def flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


@pytest.mark.filterwarnings("ignore:.*since it was written")
def test_no_flipped_bit_is_believed(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    path = make_job()
    Job.read(path).run()
    run = tmp_path / "runs" / "job"
    wanted, first = outputs(run), tmp_path / "first"
    first.mkdir()
    for name in ("runs", "cache"):
        shutil.copytree(tmp_path / name, first / name)
    order = [file.relative_to(tmp_path) for file in durable(tmp_path)]
    rng.shuffle(order)
    said = 0
    for number in range(FLIPS):
        file = tmp_path / order[number % len(order)]
        flip(file, rng)
        if file.is_relative_to(tmp_path / "cache"):
            shutil.rmtree(tmp_path / "runs")  # so that the cache is really read
        status = main(["run", str(path)])
        told = capsys.readouterr().err
        if status == 0:
            assert outputs(run) == wanted, f"{file}: other outputs without a word"
            said += "since it was written" in told
        else:
            assert "Traceback" not in told
            assert str(file.name) in told or str(file.parent) in told, told
            said += 1
        for name in ("runs", "cache"):
            shutil.rmtree(tmp_path / name)
            shutil.copytree(first / name, tmp_path / name)
    assert said > FLIPS / 4


def test_verify_names_what_changed(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_job()
    Job.read(path).run()
    run, cache = tmp_path / "runs" / "job", tmp_path / "cache"
    assert main(["verify", str(run), "--cache", str(cache), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"] > 20
    rng = random.Random(1)
    shard = next(run.glob("stages/merge-*/part-*.parquet"))
    [export] = (run / "exports" / "all").glob("*.jsonl")
    matrix = next(cache.glob("embeddings/*/matrix.npy"))
    for file in (shard, export, matrix):
        flip(file, rng)
    assert main(["verify", str(run), "--cache", str(cache), "--json"]) == 1
    found = {entry["file"] for entry in json.loads(capsys.readouterr().out)["changed"]}
    assert found == {str(shard), str(export), str(matrix.parent)}
    assert main(["verify", str(tmp_path)]) == 2
    assert main(["verify"]) == 2


def test_a_run_whose_job_was_changed_is_whole(make_job: MakeJob, tmp_path: Path) -> None:
    Job.read(make_job()).run()
    assert Job.read(make_job(margin=0.3)).run().ran
    run = tmp_path / "runs" / "job"
    assert main(["verify", str(run)]) == 0
    (run / "provenance.jsonl").write_text("")
    assert main(["verify", str(run)]) == 1


@pytest.mark.filterwarnings("ignore:.*since it was written")
def test_an_export_that_was_cut_is_written_again_and_never_pushed(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_job()
    Job.read(path).run()
    [export] = (tmp_path / "runs" / "job" / "exports" / "all").glob("*.jsonl")
    whole = export.read_bytes()
    export.write_bytes(whole[: len(whole) // 2])
    assert main(["push", str(path), "all", "--repo", "me/set", "--dry-run"]) == 1
    assert f"`{export.name}` changed since it was written" in capsys.readouterr().err
    assert main(["run", str(path)]) == 0
    assert export.read_bytes() == whole
