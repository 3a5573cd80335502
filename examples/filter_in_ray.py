"""The same inside Ray Data, on as many machines as Ray has."""

import sys

import pandas as pd
import ray

from hardneg import ECIFilter

model = sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2"
stage = ECIFilter(model, margin=0.05)
rows = [
    {"anchor": "who wrote 1984", "positive": "George Orwell wrote 1984.", "negative": "1984 was written by Orwell."},
    {"anchor": "tallest mountain", "positive": "Everest is the tallest mountain.", "negative": "Rivers flow."},
]


def filtered(batch: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(stage.batch(batch.to_dict("list")))


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
print(ray.data.from_items(rows).map_batches(filtered, batch_format="pandas").take_all())
