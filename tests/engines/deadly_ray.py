"""In the workers of a Ray cluster: the first that works on shard 1 of a stage dies of it, and the first on shard 2 with
its machine, unless HARDNEG_TEST_DEATH is `alone`; or, where that is `sleep`, the first on shard 1 of `score.target` works
for a minute.

`hook` is Ray's `worker_process_setup_hook`. HARDNEG_TEST_MARKS names a folder, with one file for each of these.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from hardneg.pipeline import shard_work

STEPS = ("generate_shard", "search_part", "join_parts", "merge_shard", "score_shard", "judge_shard")


def hook() -> None:
    for name in STEPS:
        setattr(shard_work, name, _deadly(getattr(shard_work, name)))


def _dies(how: str, stage: str, shard: int) -> bool:
    return how == "die" or (shard == 1 and (how == "alone" or stage == "score.target"))


def _deadly(step: Callable[..., None]) -> Callable[..., None]:
    @wraps(step)
    def work(loader: Any, wave: Any, stage: Any, *what: Any) -> None:
        shard, how = what[-1], os.environ["HARDNEG_TEST_DEATH"]
        mark = Path(os.environ["HARDNEG_TEST_MARKS"]) / f"{stage.name}-{shard}"
        if shard and not mark.exists() and _dies(how, stage.name, shard):
            mark.write_text("")
            if how == "sleep":
                time.sleep(60)
            if shard == 2:
                os.kill(os.getppid(), signal.SIGKILL)  # the raylet
            os.kill(os.getpid(), signal.SIGKILL)
        step(loader, wave, stage, *what)

    return work
