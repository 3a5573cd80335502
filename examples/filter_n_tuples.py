"""Filter your own (query, positive, negatives) lists."""

import sys

from hardneg import ECIFilter

model = sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2"
queries = ["who wrote the novel 1984", "tallest mountain"]
positives = ["George Orwell wrote Nineteen Eighty-Four.", "Mount Everest is the highest mountain on earth."]
negatives = [
    ["The novel 1984 is by George Orwell.", "Brave New World is a novel by Aldous Huxley."],
    ["K2 is the second highest mountain.", "The tallest mountain above sea level is Everest."],
]

found = ECIFilter(model, margin=0.05)(queries, positives, negatives)
for query, kept in zip(queries, found.kept, strict=True):
    print(query, "->", kept)
for refused in found.dropped:
    print("refused:", refused.text, "|", refused.reason)
print(f"eci_v1 {found.report.before.eci_v1:.3f} before, {found.report.after.eci_v1:.3f} after")
