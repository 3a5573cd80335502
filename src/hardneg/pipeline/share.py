"""One process of several that work on one job side by side: which shards are its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from typing_extensions import Self

from hardneg.errors import JobError

FORM = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*")


@dataclass(frozen=True, slots=True)
class Share:
    """Share ``index`` of ``count``, from 1: every ``count``-th shard, so that what lies together in the data, long
    texts for one, is spread over all. ``stage``: the only one that is worked on; None: all.

    >>> [shard for shard in range(8) if Share(2, 3).has(shard)]
    [1, 4, 7]
    """

    index: int
    count: int
    stage: str | None = None

    @classmethod
    def parsed(cls, text: str, stage: str | None = None) -> Self:
        """``3/16`` is share 3 of 16. Raises `JobError` for anything else.

        >>> Share.parsed("3/16")
        Share(index=3, count=16, stage=None)
        """
        found = FORM.fullmatch(text)
        if found is None:
            raise JobError(f"--shard must be a number and how many there are, as in 3/16, not {text!r}")
        index, count = int(found[1]), int(found[2])
        if not 1 <= index <= count:
            zero = "; counted from 0 (Kubernetes), add 1: --shard $((JOB_COMPLETION_INDEX + 1))/N" if not index else ""
            raise JobError(f"--shard must be within 1/{count} and {count}/{count}, not {text!r}{zero}")
        return cls(index, count, stage)

    def has(self, shard: int) -> bool:
        """Whether a shard is one of these."""
        return shard % self.count == self.index - 1

    def covers(self, stage: str | None) -> bool:
        """Whether a stage is among those that are worked on; a stage goes with the stages of its parts.

        >>> Share(1, 1, "generate.lexical").covers("generate.lexical.part-2-of-4")
        True
        """
        return self.stage is None or stage == self.stage or (stage or "").startswith(f"{self.stage}.part-")

    def overlaps(self, other: Share) -> bool:
        """Whether two processes would do the same work, or split it in two ways."""
        same = self.covers(other.stage) or other.covers(self.stage)
        return self.count != other.count or (self.index == other.index and same)

    def __str__(self) -> str:
        return f"--shard {self.index}/{self.count}" + (f" --stage {self.stage}" if self.stage else "")
