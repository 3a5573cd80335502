"""What sharing a job out over processes gains, against one process, on one collection.

    python bench/shards.py DATA [--shares 2] [--rounds 3] [--model MODEL] [--shard 100] [--cold]

DATA is a BEIR folder. A job of BM25, dense, bi-encoder, duplicates and a safety rule is run by one process, and by
shares at once, each in a process with one thread, in turn; then the shares are merged. Both begin with the corpus, the
index and its embeddings in the cache; with ``--cold`` with nothing. The training files must be equal. Shards have
``--shard`` examples, fewer than usual, so that a small collection has enough of them to share out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from judged_data import packaged_model

RUN = """
import sys
from hardneg.pipeline import graph, reading
graph.SHARD = reading.SHARD = int(sys.argv[1])
from hardneg.cli import main
sys.exit(main(sys.argv[2:]))
"""


def job(data: Path, model: str, output: Path, cache: Path) -> str:
    encoder = {"kind": "sentence_transformers", "model": model}
    document = {
        "data": {"kind": "beir", "path": str(data.resolve())},
        "generators": {
            "lexical": {"kind": "bm25", "depth": 50},
            "semantic": {"kind": "dense", "depth": 50, "encoder": encoder},
        },
        "scorers": {"target": {"kind": "bi_encoder", "encoder": encoder}},
        "filters": {
            "repeats": {"kind": "duplicate", "near": 0.9},
            "safe": {"kind": "eci_safety", "scorer": "target", "margin": 0.05},
        },
        "select": {"kind": "top", "scorer": "target", "per_query": 5},
        "eci": {"scorer": "target"},
        "exports": {"all": {"kind": "jsonl"}},
        "output": str(output),
        "cache": str(cache),
    }
    return yaml.safe_dump(document, sort_keys=False)


def started(shard: int, *arguments: str | Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", RUN, str(shard), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)


def seconds(shard: int, *commands: tuple[str | Path, ...]) -> tuple[float, float]:
    """How long the commands take, all at once, and the processor time of the one that needs most."""
    begin, busiest = time.monotonic(), 0.0
    for process in [started(shard, *command) for command in commands]:
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0, f"{process.args[4:]} ended with {os.waitstatus_to_exitcode(status)}"
        busiest = max(busiest, used.ru_utime + used.ru_stime)
    return time.monotonic() - begin, busiest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--shares", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=None)
    parser.add_argument("--shard", type=int, default=100)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {"one": [], "many": [], "merge": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {}
        for who in ("one", "many"):
            files[who] = folder / f"{who}.yaml"
            text = job(options.data, options.model or packaged_model(), folder / who, folder / "cache")
            files[who].write_text(text)
        seconds(options.shard, ("run", files["one"]))  # compiles, and fills the cache
        shutil.rmtree(folder / "cache" / "memo", ignore_errors=True)  # queries are encoded in every round
        shutil.copytree(folder / "cache", folder / "warm")
        shares = [("run", files["many"], "--shard", f"{i}/{options.shares}") for i in range(1, options.shares + 1)]
        for number in range(options.rounds):
            for who, commands in (("one", [("run", files["one"])]), ("many", shares)):
                for place in (folder / who, folder / "cache"):
                    shutil.rmtree(place, ignore_errors=True)
                if not options.cold:
                    shutil.copytree(folder / "warm", folder / "cache")
                times[who].append(seconds(options.shard, *commands))
            times["merge"].append(seconds(options.shard, ("merge", files["many"])))
            exports = [(folder / who / "exports" / "all" / "train.jsonl").read_bytes() for who in ("one", "many")]
            assert exports[0] == exports[1]
            told = ", ".join(f"{who} {found[-1][0]:.1f} s ({found[-1][1]:.1f})" for who, found in times.items())
            print(f"round {number + 1}: {told}; load {os.getloadavg()[0]:.1f}", flush=True)
    for place, what in enumerate(("seconds", "processor seconds of the busiest process")):
        one, many, merge = (statistics.median(found[place] for found in times[who]) for who in times)
        print(f"{what}: {one:.1f} / {many:.1f} = {one / many:.2f}; with the merge {one / (many + merge):.2f}")


if __name__ == "__main__":
    main()
