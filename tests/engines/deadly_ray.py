"""In the workers of a Ray cluster: the first that works on shard 1 of a stage dies of it, alone or with its machine.

`hook` is Ray's `worker_process_setup_hook`. HARDNEG_TEST_MARKS names a folder: one file a death.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from hardneg.pipeline import shard_work

STEPS = ("generate_shard", "merge_shard", "score_shard", "judge_shard")


def hook() -> None:
    for name in STEPS:
        setattr(shard_work, name, _deadly(getattr(shard_work, name)))


def _deadly(step: Callable[..., None]) -> Callable[..., None]:
    @wraps(step)
    def work(loader: Any, wave: Any, stage: Any, *what: Any) -> None:
        mark = Path(os.environ["HARDNEG_TEST_MARKS"]) / stage.name
        if what[-1] == 1 and not mark.exists():
            mark.write_text("")
            if os.environ["HARDNEG_TEST_DEATH"] == "machine":
                os.kill(os.getppid(), signal.SIGKILL)  # the raylet
            os.kill(os.getpid(), signal.SIGKILL)
        step(loader, wave, stage, *what)

    return work
