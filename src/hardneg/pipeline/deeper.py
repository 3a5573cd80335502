"""Deeper generators, for the queries that the filters leave short."""

from __future__ import annotations

import dataclasses
from typing import Any

from hardneg.pipeline.plan import Plan
from hardneg.protocols import Generator

DEEPER = 4
"""By how much each wave is deeper than the one before."""


def deeper(plan: Plan, name: str, wave: int) -> Generator:
    """The generator of a wave: with its depth, and that of generators inside it, times `DEEPER` to the wave.

    A control, and a generator without a depth, is the plan's own.
    """
    part = plan.generators[name]
    if not wave or name in plan.controls:
        return part
    deepened: Generator = _deepened(part, DEEPER**wave)
    return deepened


def _deepened(part: Any, factor: int) -> Any:
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    changes: dict[str, Any] = {}
    for entry in dataclasses.fields(part):
        value = getattr(part, entry.name)
        if entry.name == "depth" and isinstance(value, int):
            changes["depth"] = value * factor
        elif isinstance(value, Generator) and (inner := _deepened(value, factor)) is not value:
            changes[entry.name] = inner
    return dataclasses.replace(part, **changes) if changes else part
