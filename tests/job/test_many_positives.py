"""One query with nearly the whole corpus as its positives: it works, and the others do not notice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hardneg.job.run_folder import Job

PASSAGES = [f"passage {n} about town {n % 37} and river {n % 11}" for n in range(700)]
QUERIES = {f"q{n}": f"which town {n} is by river {n % 5}" for n in range(6)}


def lines_of(job: Path, data: Path, most: int) -> dict[str, dict[str, Any]]:
    """The export of a job by query id, where the first query has ``most`` positives and the others one."""
    positives = {name: range(most) if name == "q0" else [690 + n] for n, name in enumerate(QUERIES)}
    (data / "qrels").mkdir(parents=True, exist_ok=True)
    for file, texts in (("corpus", {f"d{n}": text for n, text in enumerate(PASSAGES)}), ("queries", QUERIES)):
        lines = [json.dumps({"_id": name, "text": text}) for name, text in texts.items()]
        (data / f"{file}.jsonl").write_text("\n".join(lines))
    judged = [f"{query}\td{place}\t1" for query, places in positives.items() for place in places]
    (data / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    Job.read(job).run()
    exported = (job.parent / "runs" / job.stem / "exports" / "all" / "train.jsonl").read_text().splitlines()
    return {line["query_id"]: line for line in map(json.loads, exported)}


def test_a_query_with_hundreds_of_positives(make_job: Callable[..., Path], tmp_path: Path) -> None:
    few = lines_of(make_job("few"), tmp_path / "data", 1)
    many = lines_of(make_job("many"), tmp_path / "data", 600)
    first, positives = many.pop("q0"), {f"d{n}" for n in range(600)}
    assert {passage["id"] for passage in first["positives"]} == positives
    assert not positives & {passage["id"] for passage in (*first["negatives"], *first["dropped"])}
    assert many == {name: line for name, line in few.items() if name != "q0"}
