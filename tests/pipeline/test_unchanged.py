"""Files that change after they were hashed: what is read then is kept under no fingerprint."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import Listener, files_of

from hardneg import progress
from hardneg.cli import main

MakeJob = Callable[..., Path]


@contextmanager
def meddling(title: str, change: Callable[[], object]) -> Iterator[None]:
    """Changes something when the work with this title begins, and once only."""
    left = [title]

    def started(begun: str) -> None:
        if begun in left:
            left.remove(begun)
            change()

    with progress.listening(Listener(started)):
        yield
    assert not left, "the change was made"


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/train.tsv"])
def test_a_data_file_that_changes_while_it_is_read(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, file = make_job(), tmp_path / "data" / name
    before = file.read_text()
    after = before.replace("dog", "cow").replace("q1-0", "q2-0") if "qrels" in name else before.replace("the", "no")
    assert before != after
    if "qrels" in name:
        after = before.replace("q1-0\tcat", "q1-0\trome")
    with meddling("read corpus", lambda: file.write_text(after)):
        assert main(["run", str(path)]) == 2
    assert f"{Path(name).name}: changed while the job read it; run again" in capsys.readouterr().err
    file.write_text(before)
    assert main(["run", str(path)]) == 0
    assert main(["run", str(make_job("fresh", cache="other-cache"))]) == 0
    assert files_of(tmp_path / "runs" / "job") == files_of(tmp_path / "runs" / "fresh")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_of_candidates_that_changes(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    own = tmp_path / "own.jsonl"

    def write(passage: str) -> None:
        own.write_text(json.dumps({"query_id": "q1-0", "candidates": [passage]}) + "\n")

    write("rain")
    path = make_job(changes={"generators.mine": {"kind": "file", "path": str(own)}}, workers=workers)
    with meddling("generate.mine", lambda: write("paris")):
        assert main(["run", str(path)]) == 2
    assert "`generate.mine`: changed while the job read it" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/job/stages/generate.mine-*/part-*"))
    assert main(["run", str(path)]) == 0


def test_judgments_that_change(make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_job(changes={"data.judged": "test"})
    qrels = tmp_path / "data" / "qrels" / "test.tsv"
    qrels.write_text("q1-0\tdog\t1\n")
    with meddling("select", lambda: qrels.write_text("q1-0\train\t1\n")):
        assert main(["run", str(path)]) == 2
    assert "the judgments of the data: changed while the job read it" in capsys.readouterr().err
    assert main(["run", str(path)]) == 0
