"""python -m bench.study truth|predict|recipes|report …: see docs/explanation/study.md.

truth    trains on every set and writes results/truth.jsonl; with --encoders minilm2 or minilm an encoder with attention
trainer  eight sets through sentence-transformers' own trainer, into the same file; wants --rate
predict  asks every predictor and writes results/predict.jsonl
report   tables on stdout, figures into docs/figures/, and the tables of docs/explanation/study.md anew
small    a part of the study in a minute: one collection with few queries, one encoder, 12 sets, two seeds
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.study import figures, fitted, page, predict, regimes, small, tables, trainer, transformer, truth
from bench.study.lines import RESULTS

ENCODERS = ("static", "poor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["truth", "trainer", "predict", "report", "small"])
    parser.add_argument("--data", type=Path, help="where the BEIR folders squad and cranfield are")
    parser.add_argument("--cache", type=Path, default=Path("runs/study"), help="rankings and vectors (about 2 GB)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--collections", nargs="+", default=["squad", "wordnet", "wiki", "kinds", "cranfield"])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--loss", choices=["all", "own"], default="all", help="own: a query sees its negatives only")
    parser.add_argument("--rate", type=float, help="of the truth's training; left out, the best without hard negatives")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    given = parser.parse_args()
    if given.what == "small":
        small.run(given.cache)
        return
    if given.what == "report":
        report(given.out, given.docs)
        return
    for name in given.collections:
        for encoder in given.encoders:
            print(name, encoder, file=sys.stderr)
            if given.what == "truth" and encoder in transformer.LAYERS:
                out, seeds = given.out / "truth.jsonl", tuple(given.seeds)
                transformer.run(name, encoder, given.data, given.cache, out, given.rate, seeds)
            elif given.what == "truth":
                out, seeds = given.out / "truth.jsonl", tuple(given.seeds)
                truth.run(name, encoder, given.data, given.cache, out, given.loss, given.rate, seeds)
            elif given.what == "trainer":
                trainer.run(name, encoder, given.data, given.cache, given.out / "truth.jsonl", given.rate or 2e-3)
            else:
                predict.run(name, encoder, given.data, given.cache, given.out / "predict.jsonl")


def report(folder: Path, docs: Path) -> None:
    """Every table, and the figures."""
    everything = regimes.load(folder)
    found = [regime for regime in everything if regime.key[1] not in transformer.LAYERS]
    shown = [regime for regime in found if len(regime.sets) > 20]
    written = []
    for heading, lines in [
        ("Regimes", tables.setup(shown)),
        ("Spearman with trained nDCG@10, all sets", tables.agreement(shown, alike=False)),
        ("The same, sets of about seven negatives", tables.agreement(shown, alike=True)),
        ("nDCG@10 lost by the first choice, all sets", tables.regrets(shown, alike=False)),
        ("The same, sets of about seven negatives", tables.regrets(shown, alike=True)),
        ("Intervals and single sources", tables.detail(shown, ("probe: score", "eci_v1", "eci_sem"))),
        ("Left out", fitted.left_out(shown)),
        ("The default recipes", tables.recipes(found)),
        ("The probe's choice against them", tables.picks(shown)),
        ("How alike truths are", tables.losses(found)),
        *((f"With attention: {tables.title(r)}", tables.attention(r)) for r in everything if r not in found),
        *((f"Every set: {tables.title(regime)}", tables.sets(regime)) for regime in shown),
    ]:
        written += ["", f"### {heading}", "", *lines]
    print(*written, sep="\n")
    path = docs / "explanation" / "study.md"
    path.write_text("\n".join(page.renewed(path.read_text().split("\n"), written)))
    figures.draw(shown, docs / "figures")


if __name__ == "__main__":
    main()
