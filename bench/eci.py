"""How fast the metric is: against numpy reading the array once, and against itself for one source.

python bench/eci.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hardneg import eci
from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores, Source, Verdicts
from hardneg.filters.eci_safety import ECISafety
from hardneg.report.tuning import curves
from hardneg.testing import make_batch


def best(function: Callable[[], Any], rounds: int) -> float:
    """The shortest of some rounds, in seconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


def peak() -> float:
    """Peak memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def stored(queries: int, each: int, folder: str) -> list[Batch]:
    """Batches of a thousand queries with scored candidates, as a finished run's stages give them."""
    from pathlib import Path

    rng = np.random.default_rng(0)
    small = make_batch(Path(folder), {"p": "a passage"}, {"q": "a query"}, {"q": ["p"]})
    out = []
    for begin in range(0, queries, 1_000):
        n = min(1_000, queries - begin)
        m = n * each
        rank = np.tile(np.arange(1, each + 1, dtype=np.int32), n)
        scores = Scores(rng.random(m, dtype=np.float32), rng.random(n, dtype=np.float32))
        judge = ECISafety(scorer="target", margin=0.05)
        batch = Batch(
            small.corpus,
            [f"q{begin + i}" for i in range(n)],
            ["a query"] * n,
            np.arange(n + 1),
            np.zeros(n, dtype=np.int64),
            np.zeros(n, dtype=np.uint64),
            np.arange(n + 1) * each,
            np.zeros(m, dtype=np.int64),
            sources={"a": Source(rank, scores.negatives)},
            scores={"target": scores},
            verdicts={},
        )
        verdicts: dict[str, Verdicts] = {"safe": judge.judge(batch)}
        object.__setattr__(batch, "verdicts", verdicts)
        out.append(batch)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)

    print("tally of 1,000,000 examples x 50 negatives")
    plus = rng.random(1_000_000) * 0.2 + 0.6
    for dtype in (np.float64, np.float32):
        minus = rng.random((1_000_000, 50)).astype(dtype)
        for share, values in (("half unsafe", minus), ("few unsafe", minus * dtype(0.6))):
            summed = best(lambda v=values: np.sum(v, dtype=np.float64), rounds)
            before = peak()
            tallied = best(lambda v=values: eci.Tally.of(plus, v), rounds)
            print(
                f"  {np.dtype(dtype).name}, {share}: {tallied:.3f} s, numpy's sum {summed:.3f} s: "
                f"{tallied / summed:.2f} x; peak memory +{peak() - before:.0f} MiB"
            )
        del minus

    print("bootstrap of 100,000 queries, 1,000 resamples")
    columns = eci.per_query(plus[:100_000], rng.random((100_000, 50)))
    print(f"  {best(lambda: eci.terms_of(eci.Resamples.of(columns).means), 3):.2f} s")

    print("unions of 6 generators against one: 10,000 queries, 150 candidates each, sizes natural and 7, intervals")
    n, each = 10_000, 150
    offsets, minus = np.arange(n + 1) * each, rng.random(n * each)
    bits = rng.integers(1, 64, n * each)

    def scored(sources: int) -> None:
        unions = np.array([sum(1 << source for source in union) for union in eci.unions(sources)])
        found = eci.per_query_of_sets(plus[:n], minus, offsets, (bits[:, None] & unions) != 0, at=(7,))
        eci.terms_of(eci.Resamples.of(found).means)

    one, six = best(lambda: scored(1), rounds), best(lambda: scored(6), rounds)
    print(f"  63 unions {six:.2f} s, one generator {one:.2f} s: {six / one:.2f} x")

    print("threshold curves of 5,000,000 stored candidates")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hardneg-") as folder:
        batches = stored(100_000, 50, folder)
        judge = ECISafety(scorer="target", margin=0.05)
        took = best(lambda: curves(batches, judge, "safe", "target", count=len(batches), per_query=7), 2)
    print(f"  {took:.2f} s")


if __name__ == "__main__":
    main()
