"""A job that any file-system operation fails, or that is killed there, or loses its power: a rerun gives equal bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import faulty
import pytest
from asking import answer, client_at, job_with
from support import REMOVED, as_yaml, changed, on_linux, small_shards, write_data

from hardneg.cache import folders
from hardneg.llm import answer_log
from hardneg.testing import FaultServer, faults
from hardneg.testing.faults import Fault

pytestmark = on_linux
TRIALS = int(os.environ.get("HARDNEG_FAULTS", "30"))
"""`HARDNEG_FAULTS=2000` takes about an hour on a quiet core; `HARDNEG_SEED` draws others."""
SEED = int(os.environ.get("HARDNEG_SEED", "0"))


@pytest.mark.engines
def test_after_any_fault_a_rerun_is_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)
    undisturbed = faulty.Undisturbed(faulty.small_job(tmp_path))
    assert len(list(undisturbed.trials(tmp_path, TRIALS, SEED))) == TRIALS


@pytest.mark.parametrize(
    ("trials", "which"),
    [
        pytest.param(2, (faults.KILL, faults.POWER), id="two"),
        pytest.param(max(TRIALS // 3, 10), faults.FAULTS, id="many", marks=pytest.mark.engines),
    ],
)
def test_what_was_paid_is_kept_whatever_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh_answers: None,
    trials: int,
    which: tuple[Fault, ...],
) -> None:
    """Nothing is paid twice but the one request under way; afterwards everything is known."""
    monkeypatch.setattr(answer_log, "SYNC", 0.0)  # else a power cut takes the answers of the last second
    write_data(tmp_path / "data")
    with FaultServer(answer=answer) as server:
        client = client_at(server.url, concurrency=1)
        changes = {
            "generators.lexical": {"kind": "random", "depth": 5},
            "filters.quality": REMOVED,
            "exports.split": REMOVED,
            "engine.workers": 1,
        }
        (tmp_path / "job.yaml").write_text(as_yaml(changed(job_with(client, "runs/job"), changes)))
        undisturbed = faulty.Undisturbed(tmp_path)
        every, before = set(server.delivered), server.delivered.copy()
        for trial in undisturbed.trials(tmp_path, trials, SEED, which):
            paid = server.delivered - before
            assert set(paid) == every
            assert paid.total() <= len(every) + 1, f"{trial}\n{paid}"
            shutil.rmtree(tmp_path / "runs")
            before = server.delivered.copy()
            assert faulty.run(faulty.job, tmp_path).status == 0
            assert server.delivered == before, f"{trial}\nanswers were lost"


@pytest.mark.parametrize("what", ["cache/corpora/*/.checksums.json", "cache/corpora/*/*.arrow", "*/stages/*/*.parquet"])
def test_what_cannot_be_read_now_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    small_shards(monkeypatch)
    faulty.small_job(tmp_path)
    assert faulty.job(tmp_path) == 0
    report = tmp_path / "runs" / "job" / "report.json"
    folders._intact.clear()  # as in a new process
    report.write_text("{}")  # so that a rerun has to look at everything
    before, operations = faulty.names(tmp_path), faulty.run(faulty.job, tmp_path).operations
    report.write_text("{}")
    number = next(n for n, one in enumerate(operations, 1) if one.kind == "read" and one.path.match(what))
    trial = faulty.run(faulty.job, tmp_path, faults.IO_ERROR, number)
    assert trial.status == 1, trial
    assert "nput/output error" in trial.output.splitlines()[-1]
    assert not before - faulty.names(tmp_path)
