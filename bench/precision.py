"""What half precision changes: similarities and nearest passages of a collection, under a real encoder.

    python bench/precision.py DATA MODEL [--queries 760] [--depth 50]

DATA is a BEIR folder. Texts are encoded once; the same vectors are compared as they are and rounded.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.models.sentence_transformers import Encoder


def texts(file: Path) -> list[str]:
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [f"{line.get('title') or ''} {line['text']}".strip() for line in lines]


def halved(vectors: Any) -> Any:
    return vectors.astype(np.float16).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    for name, value in {"queries": 760, "depth": 50}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    encoder, asked = Encoder(model=options.model), texts(options.data / "queries.jsonl")
    asked = asked[:: -(-len(asked) // options.queries)]
    queries, passages = encoder.encode(asked, "query"), encoder.encode(texts(options.data / "corpus.jsonl"), "passage")
    single, half = queries @ passages.T, halved(queries) @ halved(passages).T
    moved = np.abs(single.astype(np.float64) - half)
    best, other = (np.argsort(-s, axis=1, kind="stable")[:, : options.depth] for s in (single, half))
    same = np.mean([len(np.intersect1d(a, b)) for a, b in zip(best, other, strict=True)]) / best.shape[1]
    print(f"{len(passages):,} passages x {passages.shape[1]}, {len(queries):,} queries")
    print(f"similarities move by {moved.max():.1e} at most, by {moved.mean():.1e} on average")
    print(f"{same:.2%} of the {best.shape[1]} nearest are the same; all of them in the same order for", end=" ")
    print(f"{(best == other).all(axis=1).mean():.0%} of the queries")


if __name__ == "__main__":
    main()
