"""What is read although it is not quite what the format says, and what is refused with its line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hardneg.cli import main
from hardneg.job.run_folder import Job

MakeJob = Callable[..., Path]


def positives(path: Path) -> dict[str, set[str]]:
    job = Job.read(path)
    job.run()
    return {
        query: set(batch.corpus.ids(batch.positive_rows[batch.positives_of(i)]))
        for batch in job.finished().batches
        for i, query in enumerate(batch.ids)
    }


def test_qrels_without_a_header_lose_no_judgment(make_job: MakeJob, tmp_path: Path) -> None:
    path = make_job()
    qrels = tmp_path / "data" / "qrels" / "train.tsv"
    wanted = positives(path)
    qrels.write_text(qrels.read_text().split("\n", 1)[1])
    assert positives(make_job("headless")) == wanted


def test_an_empty_query_that_nobody_judged_is_skipped_and_counted(make_job: MakeJob, tmp_path: Path) -> None:
    path = make_job()
    with (tmp_path / "data" / "queries.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "void", "text": "  "}) + "\n")
    assert "void" not in positives(path)


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
def test_csv_and_tsv_with_a_header(make_job: MakeJob, tmp_path: Path, ending: str, separator: str) -> None:
    rows = [("query", "positive"), ("where is rome", "rome is in italy"), ("what barks", '"a dog" barks')]
    quoted = (separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    (tmp_path / f"pairs.{ending}").write_text("\n".join(quoted) + "\n")
    path = make_job(changes={"data": {"kind": "csv", "path": f"pairs.{ending}"}})
    job = Job.read(path)
    job.run()
    [batch] = job.finished().batches
    assert sorted(batch.queries) == ["what barks", "where is rome"]
    assert '"a dog" barks' in batch.corpus.contents(batch.positive_rows)


def test_a_csv_without_the_columns_names_what_it_has(make_job: MakeJob, tmp_path: Path, capsys) -> None:
    (tmp_path / "pairs.csv").write_text("left,right\na,b\n")
    path = make_job(changes={"data": {"kind": "csv", "path": "pairs.csv"}})
    assert main(["run", str(path)]) == 2
    said = capsys.readouterr().err
    assert "pairs.csv" in said
    assert "query" in said
