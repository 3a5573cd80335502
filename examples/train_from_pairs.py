"""From (query, positive) pairs to a trained model."""

import sys
import tempfile

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesRankingLoss

import hardneg

model = SentenceTransformer(sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2")
animals = ["cat", "dog", "horse", "cow", "bird", "fish", "frog", "bear"]
pairs = {"query": [f"what does a {a} do" for a in animals], "answer": [f"The {a} lives and moves." for a in animals]}

mined = hardneg.mine(Dataset.from_dict(pairs), model, per_query=1, calibrated=None, margin=0.0, output_format="triplet")
final = mined.report["sets"]["final"]["after"]
print(f"{len(mined.dataset)} triplets, eci_v1 {final['eci_v1']:.3f}, above the positive {final['above_positive']:.1%}")

with tempfile.TemporaryDirectory() as folder:
    arguments = SentenceTransformerTrainingArguments(folder, max_steps=2, report_to=[], use_cpu=True)
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model, arguments, train_dataset=mined.dataset, loss=loss).train()
print("trained")
