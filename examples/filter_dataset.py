"""Filter a `datasets` set of n-tuples with one call of map."""

import sys

from datasets import Dataset

from hardneg import ECIFilter

model = sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2"
rows = {
    "anchor": ["who wrote the novel 1984", "tallest mountain"],
    "positive": ["George Orwell wrote Nineteen Eighty-Four.", "Mount Everest is the highest mountain on earth."],
    "negative_1": ["The novel 1984 is by George Orwell.", "K2 is the second highest mountain."],
    "negative_2": ["Brave New World is a novel by Huxley.", "Rivers flow to the sea."],
}
dataset = Dataset.from_dict(rows).map(ECIFilter(model, margin=0.05).batch, batched=True)
for row in dataset:
    print(row)
