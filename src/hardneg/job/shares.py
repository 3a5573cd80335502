"""What is said where shares of a job are asked for that cannot be, or are missing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hardneg import kinds, progress
from hardneg.errors import HardnegError, JobError
from hardneg.job.source import Source
from hardneg.pipeline.admission import shares
from hardneg.pipeline.graph import Stages
from hardneg.pipeline.run import Pipeline, Worked
from hardneg.pipeline.share import Share
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.turns import side_by_side

NAMED = 4
"""Commands, and stages, that are named one by one."""


def check_stage(source: Source, stages: Stages, share: Share) -> None:
    """Raises `JobError` where the share's stage is none that is worked on in shares."""
    spread = [stage for group in side_by_side(stages.first) for stage in group]
    names = [each.name for stage in spread for each in (*stage.parts, stage)]
    if share.stage is None or share.stage in names:
        return
    if share.stage in {stage.name for stage in stages}:
        raise JobError(
            f"--stage {share.stage}: no share of the job is enough for it; `hardneg merge {source.named}` does it"
        )
    raise JobError(f"--stage {share.stage}: the job has no such stage; there are {kinds.listed(names)}")


def refuse_to_wait(source: Source, worked: Worked, share: Share) -> None:
    """Raises `HardnegError` where the one stage that was asked for waits for others."""
    for stage, inputs in worked.waiting.items():
        if stage == share.stage:
            raise HardnegError(
                f"{source.path}: {stage} cannot begin in share {share.index}/{share.count}: {kinds.listed(inputs)} "
                f"must be there first; `hardneg check {source.named}` says what is, and without "
                "--stage all is done in turn"
            )


def refuse_unfinished(source: Source, pipeline: Pipeline, output: Path) -> None:
    """Raises `HardnegError` with the shards that no share has done yet, and the commands that do them.

    What comes after something that is learnt from the whole job may be left: that is done here, and said.
    """
    summary = pipeline.store.summary(pipeline.stages.read)
    if summary is None:
        raise HardnegError(
            f"{source.path}: no share of the job is done; run `hardneg run {source.named} --shard 1/N` to N/N first"
        )
    every, begun = range(summary["shards"]), shares(output)
    early, late = (_missing(pipeline, stages, every) for stages in side_by_side(pipeline.stages.first))
    if early:
        shards = set().union(*early.values())
        raise HardnegError(
            f"{source.path}: {len(shards):,} of {len(every):,} shards are not done (shards {ranges(shards)}: "
            f"{_some(list(early))}); run {_commands(source, shards, begun)}, and merge again"
        )
    if late and begun and begun[-1].count > 1:
        progress.note(f"{', '.join(late)}: left to this process; the shares, run once more, would spread it")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more stages" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _missing(pipeline: Pipeline, stages: Iterable[Stage], every: range) -> dict[str, set[int]]:
    """The shards that stages lack, by name."""
    store = pipeline.store
    found = {s.name: set(every).difference(store.listed(s)) for s in stages if store.summary(s) is None}
    return {name: missing for name, missing in found.items() if missing}


def _commands(source: Source, shards: Iterable[int], begun: list[Share]) -> str:
    if not begun:
        return f"`hardneg run {source.named}`"
    count = begun[-1].count
    numbers = {shard % count + 1 for shard in shards}
    if len(numbers) <= NAMED:
        return kinds.listed(f"hardneg run {source.named} --shard {number}/{count}" for number in sorted(numbers))
    return f"`hardneg run {source.named} --shard I/{count}` for I in {ranges(numbers)}"


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as a person, and SLURM's ``--array``, write them.

    >>> ranges([0, 1, 2, 7, 9, 10])
    '0-2,7,9-10'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
