"""How fast the library stage is: 100,000 n-tuples with 7 negatives from similarities, and with an encoder.

python bench/filter.py [--model MODEL]
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np

from hardneg import ECIFilter

ROWS, NEGATIVES = 100_000, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="also filter 40 rows with this model, against its own encode")
    model = parser.parse_args().model
    rng = np.random.default_rng(0)

    tracemalloc.start()
    words = [f"word{i}" for i in range(5_000)]

    def text() -> str:
        return " ".join(words[i] for i in rng.integers(0, len(words), 60))

    queries, positives = [text()[:60] for _ in range(ROWS)], [text() for _ in range(ROWS)]
    negatives = [[text() for _ in range(NEGATIVES)] for _ in range(ROWS)]
    plus, minus = rng.random(ROWS, dtype=np.float32), rng.random((ROWS, NEGATIVES), dtype=np.float32)
    given, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    stage = ECIFilter(margin=0.05)
    found = stage(queries, positives, negatives, similarities=(plus, minus))
    kept = found.kept
    report = found.report
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, kept)) == found.keep.sum()
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        found = stage(queries, positives, negatives, similarities=(plus, minus))
        _ = found.kept, found.report
        times.append(time.perf_counter() - begin)
    print(f"{ROWS:,} x {NEGATIVES} from similarities: {min(times):.2f} s, memory {peak / given:.2f} x of the input")
    print(f"  eci_v1 {report.before.eci_v1:.3f} before, {report.after.eci_v1:.3f} after")

    if model is None:
        return
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(model, device="cpu")
    some = 40
    texts = list(dict.fromkeys([*positives[:some], *(t for own in negatives[:some] for t in own)]))

    def encoded() -> None:
        encoder.encode_query(queries[:some], show_progress_bar=False)
        encoder.encode_document(texts, show_progress_bar=False)

    encoded()
    stage = ECIFilter(encoder, margin=0.05)
    ours, theirs = [], []
    for _ in range(3):
        begin = time.perf_counter()
        encoded()
        middle = time.perf_counter()
        stage(queries[:some], positives[:some], negatives[:some])
        theirs.append(middle - begin)
        ours.append(time.perf_counter() - middle)
    print(
        f"{some} x {NEGATIVES} with an encoder: {min(ours):.2f} s, encode alone {min(theirs):.2f} s: "
        f"{min(ours) / min(theirs):.2f} x"
    )


if __name__ == "__main__":
    main()
