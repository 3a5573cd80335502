"""As a step of a datatrove pipeline: documents are queries, their passages are metadata."""

import sys
import tempfile

from datatrove.data import Document, DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from hardneg import ECIFilter


class SafeNegatives(PipelineStep):
    name = "safe negatives"

    def __init__(self, model: str, margin: float) -> None:
        super().__init__()
        self.stage = ECIFilter(model, margin=margin)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        for document in data:
            own = document.metadata
            own["negatives"] = self.stage([document.text], [own["positive"]], [own["negatives"]]).kept[0]
            print(document.text, "->", own["negatives"])
            yield document


asked = {"positive": "George Orwell wrote 1984.", "negatives": ["1984 was written by Orwell.", "Rivers flow."]}
step = SafeNegatives(sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2", margin=0.05)
LocalPipelineExecutor([[Document("who wrote 1984", "q1", metadata=asked)], step], logging_dir=tempfile.mkdtemp()).run()
