"""Everything that is asked about a set before anyone trains: one-pass numbers, those that take some learning, and the
probe in its variants."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from bench.study import transformer
from bench.study.learnt import learnt
from bench.study.lines import Lines
from bench.study.predictors import predictors
from bench.study.sets import kept
from bench.study.truth import prepare

from hardneg.probe import Recipe, probe

KEYS = ("collection", "encoder", "set", "what")

VARIANTS = {
    "probe": Recipe(),
    "probe, own negatives only": Recipe(shared=False),
    "probe, gentle": Recipe(rate=1e-3),
}
"""The probe as the product has it, with the other loss, and with a map that hardly moves."""


def run(
    name: str,
    encoder: str,
    data: Path | None,
    cache: Path,
    out: Path,
    variants: tuple[str, ...] = tuple(VARIANTS),
    seeds: tuple[int, ...] = (0,),
) -> None:
    """All lines of one collection and encoder that are not there yet."""
    lines = Lines(out, *KEYS)
    attends = encoder in transformer.LAYERS
    start = transformer.begin(name, encoder, data, cache) if attends else prepare(name, encoder, data, cache)[0]
    sets = kept(start, encoder)
    if attends:
        sets = {label: rows for label, rows in sets.items() if label in transformer.SETS}
    settings = {"collection": name, "encoder": encoder}
    if any(lines.lacks(**settings, set=label, what="one pass") for label in sets):
        ask = predictors(start)
        for label, rows in sets.items():
            if lines.lacks(**settings, set=label, what="one pass"):
                values = {key: round(value, 6) for key, value in ask(rows).items()}
                lines.add({**settings, "set": label, "what": "one pass", "values": values})
    for label, rows in sets.items():
        if lines.lacks(**settings, set=label, what="learnt"):
            values = {key: round(value, 6) for key, value in learnt(start, rows).items()}
            lines.add({**settings, "set": label, "what": "learnt", "values": values})
    for variant in variants:
        for seed in seeds:
            what = variant if seed == 0 else f"{variant}, seed {seed}"
            missing = {label: rows for label, rows in sets.items() if lines.lacks(**settings, set=label, what=what)}
            for some in np.array_split(np.array(list(missing), dtype=object), max(1, len(missing) // 8)):
                begin = time.process_time()
                part = {label: missing[label] for label in some}
                found = probe(start.queries, start.passages, start.own, part, seed, recipe=VARIANTS[variant])
                spent = (time.process_time() - begin) / max(1, len(part))
                for label, score in found.items():
                    lines.add({
                        **settings, "set": label, "what": what, "values": {
                            "log-likelihood": round(score.log_likelihood, 5), "mrr": round(score.mrr, 5),
                            "ndcg": round(score.ndcg, 5),
                        }, "seconds": round(spent, 2),
                    })  # fmt: skip
