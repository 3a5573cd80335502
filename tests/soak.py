"""Random faults on a small job, for so many minutes: `make soak MINUTES=120 SEED=0`.

A round is a run with one to three faults (in one process, or with two workers, one of which is what a kill hits) or with
a flipped bit. `make soak SEED=0 ROUND=17` begins with a round that was found to differ.
"""

import contextlib
import io
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import faulty

from hardneg.pipeline import graph, reading
from hardneg.testing.faults import FAULTS, Trial, draw


def flip(folder: Path, rng: random.Random) -> str:
    places = [path for name in ("runs", "cache") for path in (folder / name).rglob("*") if path.suffix != ".lock"]
    file = rng.choice(sorted(path for path in places if path.is_file() and path.stat().st_size))
    content = bytearray(file.read_bytes())
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    file.write_bytes(content)
    return f"bit {bit} of byte {place} of {file.relative_to(folder)}"


def soak(folder: Path, minutes: float, seed: int, number: int) -> int:
    graph.SHARD = reading.SHARD = 4
    wanted = {}
    for workers in (2, 1):
        with contextlib.redirect_stdout(io.StringIO()):
            wanted[workers] = faulty.Undisturbed(faulty.small_job(folder, copies=3, workers=workers))
    assert wanted[1].outputs == wanted[2].outputs
    end, did, different = time.monotonic() + minutes * 60, Counter[str](), 0
    while time.monotonic() < end:
        rng = random.Random(f"{seed} {number}")
        workers = rng.choice((1, 1, 1, 2))
        undisturbed = wanted[workers]
        faulty.small_job(folder, workers=workers)
        told, trials = [], list[Trial]()
        try:
            if rng.random() < 0.2:
                assert faulty.run(faulty.job, folder).status == 0
                told.append(flip(folder, rng))
                did["flip"] += 1
                after = faulty.run(faulty.job, folder)
                assert "Traceback" not in after.output, after
                assert after.status or faulty.outputs(folder) == undisturbed.outputs, f"{after}\nother outputs"
            else:
                for fault, at in draw(
                    undisturbed.operations, rng.randint(1, 3), seed=rng.random(), faults=rng.sample(FAULTS, 3)
                ):
                    trials.append(faulty.run(faulty.job, folder, fault, at))
                    told.append(f"{fault} at {at} ({trials[-1].met})")
                    did[fault.name] += trials[-1].met is not None
                    undisturbed.well_ended(trials[-1], folder)
                undisturbed.hold(trials[-1], folder)
            verdict = "equal"
        except (AssertionError, TimeoutError) as error:
            verdict, different = f"DIFFERENT\n{error}", different + 1
        print(f"seed {seed} round {number}, {workers} at work: {'; '.join(told)}: {verdict}", flush=True)
        faulty.clear(folder)
        number += 1
    print(f"{different} of {number} rounds differ; {dict(did)}")
    return int(different > 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        sys.exit(soak(Path(root).resolve(), float(sys.argv[1]), *map(int, sys.argv[2:4])))
