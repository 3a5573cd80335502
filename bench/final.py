"""How many of the negatives that each rule leaves to train on are really false, on judged collections.

    python bench/final.py DATA... [--model MODEL] [--json FILE]

DATA is a BEIR folder with judgments. All but one relevant passage of every query are hidden, and the hidden judgments
are held against the 7 negatives that are chosen from the 50 best candidates of BM25 and of the model. Each rule is run
at its usual setting, and, for a fair comparison, at the threshold that leaves as many queries with 7 negatives as
``margin: 0.05`` does. The default is what the front doors use: it alone goes deeper for queries that are short.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from judged_data import grades_of, packaged_model, with_one_positive
from rich.console import Console
from rich.table import Table

from hardneg.cache.folders import Cache
from hardneg.engines.local import Local
from hardneg.filters.eci_safety import DEFAULT, ECISafety
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Folder
from hardneg.readers.beir import BEIR
from hardneg.report import tuning
from hardneg.report.judgments import Grades, judged
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.selectors.top import Top

PER_QUERY = 7
USUAL: dict[str, ECISafety | None] = {
    "none": None,
    "margin 0.05": ECISafety(scorer="target", margin=0.05),
    "relative 0.05": ECISafety(scorer="target", relative=0.05),
    "percentile 0.95": ECISafety(scorer="target", percentile=0.95),
    "calibrated 0.3": ECISafety(scorer="doubt", calibrated=0.3),
    "calibrated 0.1": ECISafety(scorer="doubt", calibrated=0.1),
    f"calibrated {DEFAULT}": ECISafety(scorer="doubt", calibrated=DEFAULT),
}
FRONT_DOORS = f"calibrated {DEFAULT}"
REFERENCE = "margin 0.05"


def plan_of(folder: Path, encoder: Encoder, rule: ECISafety | None, *, deepen: int) -> Plan:
    """The job of the README with one rule."""
    return Plan(
        reader=BEIR(path=folder),
        generators={"lexical": BM25(depth=50), "semantic": Dense(encoder=encoder, depth=50)},
        scorers={"target": BiEncoder(encoder=encoder), "doubt": FalseNegative(encoder=encoder)},
        filters={} if rule is None else {"safe": rule},
        selector=Top(scorer="target", per_query=PER_QUERY),
        target="target",
        sem=False,
        deepen=deepen,
    )


def measured(pipeline: Pipeline, grades: Grades) -> dict[str, Any]:
    """What is chosen: how much of it is false, really and by the estimate; queries short; hardness."""
    result = pipeline.run()
    relevant = total = 0
    hardness: list[Any] = []
    for batch in result.batches:
        chosen = np.flatnonzero(batch.chosen)
        relevant += int(judged(batch, chosen, grades).sum())
        total += len(chosen)
        hardness.append(batch.scores["target"].negatives[chosen])
    counts, share = result.report["counts"], result.report["false"]["sets"]["final"]["after"]["estimated"]
    return {
        "judged_share": relevant / max(total, 1),
        "queries": counts["examples"],
        "short": counts["short examples"] + counts["examples without a negative"],
        "hardness": float(np.concatenate(hardness).mean()) if total else 0.0,
        "estimated": share["value"],
        "low": share["low"],
        "high": share["high"],
    }


def equally_short(pipeline: Pipeline, rule: ECISafety, short: float) -> float:
    """The threshold of a rule that leaves about so many queries short."""
    batches = pipeline.run().batches
    judge = pipeline.learnt("filters", "safe")
    found = tuning.curves(batches, judge, "safe", "target", count=len(batches), per_query=PER_QUERY)
    rows = found.rows()
    loose = max(row["threshold"] for row in rows if abs(row["short"] - short) == _nearest(rows, short))
    tight = min(row["threshold"] for row in rows if abs(row["short"] - short) == _nearest(rows, short))
    return float(loose if rule.rule in tuning.LOOSER_IS_HIGHER else tight)


def _nearest(rows: list[dict[str, Any]], short: float) -> float:
    return min(abs(row["short"] - short) for row in rows)


def records(folder: Path, model: str) -> Iterator[dict[str, Any]]:
    """One record per rule and setting."""
    with tempfile.TemporaryDirectory(prefix="hardneg-") as workspace:
        here = Path(workspace)
        grades = grades_of(folder)
        known = with_one_positive(folder, grades, here / "data")
        encoder, cache, store = Encoder(model=model), Cache(here / "cache"), Folder(here / "run")

        def pipeline(rule: ECISafety | None, deepen: int = 0) -> Pipeline:
            return Pipeline(plan_of(known, encoder, rule, deepen=deepen), store, cache, Local())

        name, short = folder.resolve().name, 0
        for label, rule in USUAL.items():
            found = measured(pipeline(rule), grades)
            short = found["short"] if label == REFERENCE else short
            yield {"data": name, "rule": label, "setting": "usual", "default": False} | found
        default = measured(pipeline(USUAL[FRONT_DOORS], deepen=2), grades)
        yield {
            "data": name,
            "rule": f"{FRONT_DOORS}, going deeper",
            "setting": "front doors",
            "default": True,
        } | default
        for label in ("relative 0.05", "percentile 0.95", FRONT_DOORS):
            rule = USUAL[label]
            assert rule is not None
            threshold = equally_short(pipeline(rule), rule, short)
            equal = replace(rule, **{rule.rule: threshold})
            found = measured(pipeline(equal), grades)
            record = {"data": name, "rule": f"{rule.rule} {threshold:.3g}", "setting": f"as short as {REFERENCE}"}
            yield record | {"default": False} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--model", help="a sentence-transformers model; left out: all-MiniLM-L6-v2 from its package")
    parser.add_argument("--json", type=Path, help="write the records there")
    options = parser.parse_args()
    found = [record for folder in options.data for record in records(folder, options.model or packaged_model())]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")
    table = Table(title=f"{PER_QUERY} negatives per query")
    for heading in ("data", "rule", "setting", "judged relevant", "estimated", "short", "hardness"):
        table.add_column(heading, justify="left" if heading in ("data", "rule", "setting") else "right")
    for row in found:
        estimate = f"{row['estimated']:.1%} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        cells = [
            f"{row['judged_share']:.1%}",
            estimate,
            f"{row['short']} of {row['queries']}",
            f"{row['hardness']:.3f}",
        ]
        style = "bold" if row["default"] else None
        table.add_row(row["data"], row["rule"], row["setting"], *cells, style=style)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
