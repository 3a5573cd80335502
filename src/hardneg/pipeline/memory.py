"""How much memory the process has needed."""

from __future__ import annotations

import sys


def peak_memory() -> int | None:
    """Bytes, the most since the process began; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
