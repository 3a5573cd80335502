"""Draws docs/figures/eci_v1.svg: the efficiency H as a function of hardness at fixed similarity of the positives.

    python bench/anomaly.py RUN [FILE]

RUN is the output folder of a job; its sources, before filtering, are the points.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def main() -> None:
    report = json.loads((Path(sys.argv[1]) / "report.json").read_text())
    file = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/figures/eci_v1.svg")
    names = [name for name in report["sets"] if name != "final" and name not in report["hybrids"]]
    points = {name: report["sets"][name]["before"] for name in names}
    p = next(iter(points.values()))["positive"]
    s = np.linspace(0, p, 200)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.plot(s, 2 * s * (p - s) / p, color="black", label=f"H = 2 S (P - S) / P, P = {p:.2f}")
    axis.axvline(p / 2, color="grey", linewidth=0.8, linestyle="--", label="S = P / 2")
    for name, terms in points.items():
        axis.plot(terms["hardness"], terms["efficiency"], "o")
        axis.annotate(
            f"{name}: eci_v1 {terms['eci_v1']:.2f}",
            (terms["hardness"], terms["efficiency"]),
            (6, -12),
            textcoords="offset points",
        )
    axis.set_xlabel("hardness S: mean similarity of query and negative")
    axis.set_ylabel("efficiency H")
    axis.set_ylim(0, None)
    axis.set_xlim(0, p * 1.25)
    axis.legend(frameon=False, fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = "hardneg"
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
