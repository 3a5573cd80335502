"""Examples that a job goes on without, since each kills the process that works on it: found, and noted in tables.

A table of a stage lacks the rows of the examples that were left out when it was written, and says which these are. What
is read later is without all examples that any stage left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from hardneg.errors import HardnegError, WorkerError

NOTE = b"left out"
PARTS = 8
"""Into so many parts a shard is split where its example is looked for, and each of them again."""


def noted(table: pa.Table, ids: Iterable[str]) -> pa.Table:
    """The table with the ids of the examples that it lacks."""
    lacking = sorted(ids)
    if not lacking:
        return table
    return table.replace_schema_metadata((table.schema.metadata or {}) | {NOTE: json.dumps(lacking)})


def lacking(table: pa.Table) -> frozenset[str]:
    """The ids of the examples that a table lacks."""
    return frozenset(json.loads((table.schema.metadata or {}).get(NOTE, b"[]")))


def rows_of(table: pa.Table, ids: Sequence[str], wanted: Callable[[str], bool]) -> pa.Table:
    """The rows of the wanted examples. ``ids``: those of the whole shard, of which the table may lack some."""
    without = lacking(table)
    return table.filter(pa.array([wanted(name) for name in ids if name not in without], pa.bool_()))


def culprits(ids: Sequence[str], lost: Callable[[list[list[str]]], list[list[str]]]) -> list[str]:
    """The examples of a shard of which processes die. ``lost`` tries groups of ids and returns those that were lost.

    Raises `HardnegError` where no example alone is to blame.
    """
    found: list[str] = []
    pieces = [list(ids)]
    while pieces:
        smaller = [part for piece in pieces for part in _split(piece)]
        died = lost(smaller)
        if len(died) == len(smaller) > 1 and len(pieces) == 1 and len(pieces[0]) == len(ids):
            raise _nobody()
        found += [piece[0] for piece in died if len(piece) == 1]
        pieces = [piece for piece in died if len(piece) > 1]
    if not found:
        raise _nobody()
    return [name for name in ids if name in set(found)]


def lost_of(tried: Callable[[list[list[str]]], Iterable[object]], groups: list[list[str]]) -> list[list[str]]:
    """Tries groups of examples, and returns those that were lost."""
    try:
        for _ in tried(groups):
            pass
    except WorkerError as error:
        return error.shards
    return []


def _split(piece: list[str]) -> list[list[str]]:
    size = -(-len(piece) // PARTS)
    return [piece[begin : begin + size] for begin in range(0, len(piece), size)]


def _nobody() -> HardnegError:
    return HardnegError(
        "worker processes die of whatever they work on (out of memory?), and no example alone is to blame; lower "
        "`batch_size` of the model or `engine.workers` and run again: what is finished is kept"
    )
