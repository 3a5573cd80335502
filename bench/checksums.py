"""What checksums cost: the share of a mining run's processor time that goes into writing and verifying them.

    python bench/checksums.py DATA MODEL

The same job as in bench/mine.py, every stage on disk: first from nothing, then with the embeddings in the cache (so
everything is verified and the encoder is left out), then once more over the finished run. Processor time of the main
thread is counted, not the clock, so that other work on the machine does not show.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mine

from hardneg.cache import folders
from hardneg.files import checksums
from hardneg.models import embeddings
from hardneg.pipeline import store

DOORS = [
    (checksums, "digest"),
    (folders, "broken"),
    (folders, "seal"),
    (store, "digest"),
    (store, "damage"),
    (store, "signed"),
    (store, "read_signed"),
    (embeddings, "digest"),
    (embeddings, "signed"),
    (embeddings, "read_signed"),
]
"""Where the rest of the program goes into checksums, reading of what is verified included."""


class Counted:
    """Processor time inside the doors, each second once."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0
        for module, name in DOORS:
            setattr(module, name, self._counted(getattr(module, name)))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            begin, self.depth = time.thread_time(), self.depth + 1
            try:
                return function(*arguments, **options)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds += time.thread_time() - begin

        return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    options = parser.parse_args()
    counted = Counted()
    with tempfile.TemporaryDirectory(prefix="hardneg-bench-") as place:
        root = Path(place)
        for what, run in (
            ("from nothing, encoder included", "one"),
            ("encoder left out", "two"),
            ("encoder left out, again", "three"),
            ("a finished run", "three"),
        ):
            counted.seconds, begin = 0.0, time.process_time()
            mine.ours(options.data, options.model, root / "cache", 5, 20, store.Folder(root / run))
            whole = time.process_time() - begin
            print(
                f"{what}: {whole:.2f} s, checksums {counted.seconds:.4f} s, {counted.seconds / whole:.1%}", flush=True
            )


if __name__ == "__main__":
    main()
