"""As a step of a distilabel pipeline."""

import sys

from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts, StepInput, StepOutput, step

from hardneg import ECIFilter

MODEL = sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2"
NEGATIVES = ["1984 was written by Orwell.", "Rivers flow."]


@step(inputs=["query", "positive", "negatives"], outputs=["negatives"])
def SafeNegatives(rows: StepInput) -> StepOutput:  # noqa: N802 a step is a class
    columns = [[row[name] for row in rows] for name in ("query", "positive", "negatives")]
    kept = ECIFilter(MODEL, margin=0.05)(*columns).kept
    yield [row | {"negatives": own} for row, own in zip(rows, kept, strict=True)]


if __name__ == "__main__":
    with Pipeline("safe") as pipeline:
        data = [{"query": "who wrote 1984", "positive": "George Orwell wrote 1984.", "negatives": NEGATIVES}]
        LoadDataFromDicts(data=data) >> SafeNegatives()
    print(pipeline.run(use_cache=False)["default"]["train"][0])
