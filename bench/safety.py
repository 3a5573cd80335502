"""How well each rule finds false negatives, on collections whose judgments are complete.

    python bench/safety.py DATA... [--model MODEL] [--depth 50] [--rules a,b] [--json FILE]

DATA is a BEIR folder. Of every query's relevant passages all but one are hidden (the one that ``qrels/train.tsv`` names
where the same query is judged elsewhere too, else the first of the highest grade); candidates are mined by BM25 and by
the model; each rule scores them; the hidden judgments say which of them are relevant. Intervals are 95 %, by a
bootstrap over queries.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from judged_data import grades_of, packaged_model, with_one_positive
from measures import calibration_error, false_share, lost, mean_kept, reliability
from rich.console import Console
from rich.table import Table

from hardneg import eci
from hardneg.cache.folders import Cache
from hardneg.data.batch import Batch
from hardneg.engines.local import Local
from hardneg.generators.bm25 import BM25
from hardneg.generators.dense import Dense
from hardneg.models.late_interaction import LateInteraction
from hardneg.models.sentence_transformers import Encoder
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.run import Pipeline
from hardneg.pipeline.store import Memory
from hardneg.protocols import Scorer
from hardneg.readers.beir import BEIR
from hardneg.report import detection
from hardneg.report.judgments import Grades, judged
from hardneg.report.tuning import LOOSER_IS_HIGHER
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.selectors.top import Top

SIMILARITY_RULES: tuple[eci.Rule, ...] = ("margin", "relative", "ceiling", "percentile")
RULES = (*SIMILARITY_RULES, "calibrated", "calibrated, without BM25", "calibrated + MaxSim")
KEPT = (0.3, 0.5, 0.7)
CAUGHT = 0.8


def scorers_of(encoder: Encoder, rules: Sequence[str]) -> dict[str, Scorer]:
    """The scorers that these rules need."""
    known: dict[str, Scorer] = {
        "calibrated": FalseNegative(encoder=encoder),
        "calibrated, without BM25": FalseNegative(encoder=encoder, lexical=False),
        "calibrated + MaxSim": FalseNegative(encoder=encoder, reranker=LateInteraction(encoder=encoder)),
    }
    return {"target": BiEncoder(encoder=encoder)} | {name: part for name, part in known.items() if name in rules}


def mined(folder: Path, encoder: Encoder, depth: int, workspace: Path, rules: Sequence[str]) -> list[Batch]:
    """Every candidate with every score."""
    plan = Plan(
        reader=BEIR(path=folder),
        generators={"bm25": BM25(depth=depth), "dense": Dense(encoder=encoder, depth=depth)},
        scorers=scorers_of(encoder, rules),
        filters={},
        selector=Top(scorer="target", per_query=1),
        target="target",
        sem=False,
    )
    return list(Pipeline(plan, Memory(), Cache(workspace / "cache"), Local()).run().batches)


def suspicion(batches: list[Batch], wanted: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """For each rule and batch [m]: higher is rather a false negative; the order in which the rule drops candidates."""
    positives = np.concatenate([batch.scores["target"].positives for batch in batches])
    quantiles = np.quantile(positives, np.linspace(0, 1, 1001))
    out: dict[str, list[np.ndarray]] = {}
    rules: list[eci.Rule] = [rule for rule in SIMILARITY_RULES if rule in wanted]
    for batch in batches:
        scores = batch.scores["target"]
        plus = eci.reference(scores.positives, batch.positive_owners, len(batch))[batch.owners]
        for rule in rules:
            value = eci.thresholds(scores.negatives, plus, rule, quantiles)
            out.setdefault(rule, []).append(np.clip(value if rule in LOOSER_IS_HIGHER else -value, -1e9, 1e9))
        for name, found in batch.scores.items():
            if name != "target":
                out.setdefault(name, []).append(found.negatives.astype(np.float64))
    return out


def measured(batches: list[Batch], grades: Grades, data: str, rules: Sequence[str]) -> list[dict[str, Any]]:
    """One record a source and rule."""
    records = []
    first = np.cumsum([0] + [len(batch) for batch in batches])
    found = suspicion(batches, rules)
    for source in ("bm25", "dense"):
        numbers = [np.flatnonzero(batch.sources[source].proposed) for batch in batches]
        owners = np.concatenate([b.owners[n] + begin for b, n, begin in zip(batches, numbers, first, strict=False)])
        labels = np.concatenate([judged(b, n, grades) for b, n in zip(batches, numbers, strict=True)])
        hardness = np.concatenate(
            [b.scores["target"].negatives[n] for b, n in zip(batches, numbers, strict=True)]
        ).astype(np.float64)
        for rule, parts in found.items():
            scores = np.concatenate([part[n] for part, n in zip(parts, numbers, strict=True)])
            measures: dict[str, Callable[..., Any]] = {
                "auc": partial(detection.auc, scores, labels),
                "lost_at_80": lambda w: lost(scores, labels, CAUGHT, w),
            }
            for kept in KEPT:
                measures[f"false_at_{kept:.0%}"] = lambda w, kept=kept: false_share(scores, labels, kept, w)
                measures[f"hardness_at_{kept:.0%}"] = lambda w, kept=kept: mean_kept(scores, hardness, kept, w)
            record: dict[str, Any] = {
                "data": data,
                "source": source,
                "rule": rule,
                "queries": int(first[-1]),
                "candidates": len(scores),
                "relevant": float(labels.mean()),
            }
            for name, measure in measures.items():
                value, low, high = detection.with_interval(measure, owners, int(first[-1]))
                record |= {name: value, f"{name}_low": low, f"{name}_high": high}
            if rule.startswith("calibrated"):
                record["calibration_error"] = calibration_error(scores, labels)
                record["reliability"] = reliability(scores, labels)
            records.append(record)
    return records


def _plain(value: Any) -> Any:
    """Without NaN, which is no JSON."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _rules(text: str) -> list[str]:
    """Names of rules; ``no_bm25`` and ``maxsim`` are short for two of them."""
    short = {"no_bm25": "calibrated, without BM25", "maxsim": "calibrated + MaxSim"}
    parts = text.split(";") if ";" in text or text in RULES else text.split(",")
    rules = [short.get(part.strip(), part.strip()) for part in parts]
    if unknown := [rule for rule in rules if rule not in RULES]:
        raise SystemExit(f"no rule {unknown[0]!r}; there are: {'; '.join((*RULES, *short))}")
    return rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--model", help="a sentence-transformers model; left out: all-MiniLM-L6-v2 from its package")
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--json", type=Path, help="write the records there")
    parser.add_argument("--rules", default=";".join(RULES), help="only these, separated by `;` or, without blanks, `,`")
    options = parser.parse_args()
    model = options.model or packaged_model()
    rules = _rules(options.rules)
    records: list[dict[str, Any]] = []
    for folder in options.data:
        with tempfile.TemporaryDirectory(prefix="hardneg-") as workspace:
            grades = grades_of(folder)
            known = with_one_positive(folder, grades, Path(workspace) / "data")
            batches = mined(known, Encoder(model=model), options.depth, Path(workspace), rules)
            records += measured(batches, grades, folder.resolve().name, rules)
    if options.json:
        options.json.write_text(json.dumps(_plain(records), indent=2, allow_nan=False) + "\n")
    table = Table(title="95 % intervals over queries; false: share of relevant ones among the kept")
    for heading in ("data", "source", "rule", "AUC", "lost at 80 % caught", *(f"false, {k:.0%} kept" for k in KEPT)):
        table.add_column(heading)
    for heading in (*(f"hardness, {k:.0%}" for k in KEPT), "calibration error"):
        table.add_column(heading)
    for record in records:
        names = ["auc", "lost_at_80", *(f"false_at_{k:.0%}" for k in KEPT)]
        cells = [f"{record[n]:.3f} ({record[f'{n}_low']:.3f} to {record[f'{n}_high']:.3f})" for n in names]
        cells += [f"{record[f'hardness_at_{k:.0%}']:.3f}" for k in KEPT]
        cells.append(f"{record['calibration_error']:.3f}" if "calibration_error" in record else "")
        table.add_row(record["data"], record["source"], record["rule"], *cells)
    Console(width=240).print(table)


if __name__ == "__main__":
    main()
