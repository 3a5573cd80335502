"""What models can run on."""

from __future__ import annotations

import os


def processors() -> int:
    """How many processors this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """How many threads may work side by side: ``OMP_NUM_THREADS``, or one a processor."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(given)) if given.isdecimal() else processors()


def gpus() -> list[str]:
    """The GPUs that torch sees, with their memory."""
    import torch

    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        return [f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in found]
    return ["Apple GPU"] if torch.backends.mps.is_available() else []
