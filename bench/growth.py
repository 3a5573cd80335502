"""What grows with a job: memory and seconds of every stage at several numbers of queries, or of passages.

    python bench/growth.py [--queries 10000 100000] [--passages 20000] [--full] [--lexical random] [--profile]

One job (BM25 or random passages, dense retrieval over hashed words, which need no model, a bi-encoder, a safety rule,
selection, evaluation, two exports) runs on synthetic Zipf text, each size in a process of its own. Where several
numbers of passages are named, queries are held at the first number of theirs, and what grows is counted by passage. A
thread looks at the process every 20 ms. Printed by stage: seconds of processor time, the most private memory (RssAnon)
and mapped files (RssFile), and from the first size to the last the growth of private memory in bytes a query or
passage. ``--full`` adds a million queries. ``--profile`` runs the first size once more under cProfile: the share of
time in Python code of this package, operators on arrays included, so it is an upper bound of what is not in libraries.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

WORDS = 50_000
AT_ONCE = 10_000
WHOLE = "whole job"


def write_data(folder: Path, queries: int, passages: int, seed: int = 0) -> None:
    """A BEIR folder. Half of a query's words are its positive's."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{number:x}" for number in range(WORDS)])

    def drawn(count: int) -> Any:
        return np.minimum(rng.zipf(1.2, count) - 1, WORDS * 50) % WORDS

    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w") as file:
        for begin in range(0, passages, AT_ONCE):
            count = min(AT_ONCE, passages - begin)
            ends = np.cumsum(rng.integers(30, 91, count))
            own = words[drawn(int(ends[-1]))]
            for number, part in enumerate(np.split(own, ends[:-1]), begin):
                file.write(json.dumps({"_id": f"d{number}", "text": " ".join(part)}) + "\n")
    heads = [json.loads(line)["text"].split()[:4] for line in (folder / "corpus.jsonl").open()]
    with (folder / "queries.jsonl").open("w") as file, (folder / "qrels" / "train.tsv").open("w") as judged:
        judged.write("query-id\tcorpus-id\tscore\n")
        for begin in range(0, queries, AT_ONCE):
            own = words[drawn(4 * AT_ONCE)].reshape(-1, 4)
            for number in range(begin, min(begin + AT_ONCE, queries)):
                text = " ".join([*heads[number % passages], *own[number - begin]])
                file.write(json.dumps({"_id": f"q{number}", "text": text}) + "\n")
                judged.write(f"q{number}\td{number % passages}\t1\n")


def job(folder: Path, lexical: str, dimensions: int) -> str:
    encoder = {"kind": "hashed_words", "dimensions": dimensions}
    document = {
        "data": {"kind": "beir", "path": "data"},
        "generators": {
            "lexical": {"kind": lexical, "depth": 20},
            "semantic": {"kind": "dense", "depth": 20, "encoder": encoder},
        },
        "scorers": {"target": {"kind": "bi_encoder", "encoder": encoder}},
        "filters": {"safe": {"kind": "eci_safety", "scorer": "target", "margin": 0.0}},
        "deepen": 1,
        "select": {"kind": "top", "scorer": "target", "per_query": 5, "reuse": 1_000_000},
        "eci": {"scorer": "target"},
        "exports": {"tuples": {"kind": "sentence_transformers"}, "flag": {"kind": "flagembedding"}},
        "output": "run",
        "cache": str(folder / "cache"),
    }
    return yaml.safe_dump(document, sort_keys=False)


class Watched:
    """Listens to the progress of a job and looks at the process."""

    def __init__(self) -> None:
        self.open: dict[int, str] = {}
        self.count = 0
        self.seconds: dict[str, float] = defaultdict(float)
        self.most: dict[str, dict[str, int]] = defaultdict(lambda: {"RssAnon": 0, "RssFile": 0})
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def start(self, title: str, total: int | None) -> int:
        self.count += 1
        self.open[self.count] = title
        return self.count

    def advance(self, task: int, amount: int) -> None:
        """Nothing."""

    def stop(self, task: int) -> None:
        self.open.pop(task, None)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def _look(self) -> None:
        before = time.process_time()
        while not self.over.wait(0.02):
            stage = next(iter(list(self.open.values())), "between stages")
            now = time.process_time()
            found = memory()
            for name in (stage, WHOLE):
                self.seconds[name] += now - before
                for kind, size in found.items():
                    self.most[name][kind] = max(self.most[name][kind], size)
            before = now

    def ended(self) -> dict[str, Any]:
        self.over.set()
        self.thread.join()
        return {name: {"seconds": seconds, **self.most[name]} for name, seconds in self.seconds.items()}


def memory() -> dict[str, int]:
    status = Path("/proc/self/status").read_text()
    return {name: int(size) * 1024 for name, size in re.findall(r"(RssAnon|RssFile):\s+(\d+) kB", status)}


def child(path: Path, out: Path, profiled: bool) -> None:
    """Runs a job in this process, watched or profiled."""
    from hardneg import progress
    from hardneg.job.run_folder import Job

    if profiled:
        profile = cProfile.Profile()
        profile.runcall(lambda: Job.read(path).run())
        profile.dump_stats(out)
        return
    watched = Watched()
    with progress.listening(watched):
        Job.read(path).run()
    out.write_text(json.dumps(watched.ended()))


def measured(
    queries: int, passages: int, lexical: str, dimensions: int, kept: Path | None, *, profiled: bool = False
) -> Any:
    with tempfile.TemporaryDirectory(prefix="hardneg-growth-") as name:
        folder = kept / f"{queries}-{passages}" if kept else Path(name)
        if not (folder / "data").exists():
            write_data(folder / "data", queries, passages)
        (folder / "job.yaml").write_text(job(folder, lexical, dimensions))
        out = folder / "measured"
        arguments = [__file__, "--child", str(folder / "job.yaml"), str(out)]
        subprocess.run([sys.executable, *arguments, *(["--profile"] if profiled else [])], check=True)
        return pstats.Stats(str(out)) if profiled else json.loads(out.read_text())


def show(runs: dict[int, dict[str, Any]], what: str) -> None:
    sizes = list(runs)
    first, last = runs[sizes[0]], runs[sizes[-1]]
    print(f"\n{'':28}" + "".join(f"{size:>14,} {what:<17}" for size in sizes))
    print(f"{'stage':28}" + f"{'s':>10}{'anon MB':>10}{'file MB':>10}  " * len(sizes) + f"{f'bytes a {what[:-1]}':>16}")
    for name in sorted(last, key=lambda name: name == WHOLE):
        cells = ""
        for run in runs.values():
            own = run.get(name, {"seconds": 0.0, "RssAnon": 0, "RssFile": 0})
            cells += f"{own['seconds']:>10.1f}{own['RssAnon'] / 1e6:>10.1f}{own['RssFile'] / 1e6:>10.1f}  "
        grown = (last[name]["RssAnon"] - first.get(name, last[name])["RssAnon"]) / max(sizes[-1] - sizes[0], 1)
        print(f"{name:28}{cells}{grown:>16.1f}")


def own_share(stats: Any) -> float:
    """The share of time in functions of this package that are written in Python."""
    total = own = 0.0
    for (file, _, _), (_, _, seconds, _, _) in stats.stats.items():
        total += seconds
        own += seconds if "/hardneg/" in file and "site-packages" not in file else 0.0
    return own / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--passages", type=int, nargs="+", default=[20_000])
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--lexical", choices=("bm25", "random"), default="bm25")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--keep", type=Path, help="where data and runs stay; a run that is there is gone on with")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, out = options.child
        child(path, out, options.profile)
        return
    queries = [*options.queries, *([1_000_000] if options.full else [])]
    rest = options.lexical, options.dimensions, options.keep
    if len(options.passages) > 1:
        runs = {passages: measured(queries[0], passages, *rest) for passages in options.passages}
        show(runs, "passages")
    else:
        runs = {count: measured(count, options.passages[0], *rest) for count in queries}
        show(runs, "queries")
    if options.json:
        options.json.write_text(json.dumps(runs, indent=2))
    if options.profile:
        stats = measured(queries[0], options.passages[0], options.lexical, options.dimensions, None, profiled=True)
        print(f"\nPython code of this package: at most {own_share(stats):.0%} of the time")
        stats.sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
