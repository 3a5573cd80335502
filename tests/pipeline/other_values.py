"""Every built-in part, and for every field of it a part that differs in this field alone.

The other value is told from the field's type, or is in the lists here. A new field of a type that is known is tried
without a word; one that is not is an error.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from hardneg.data.chat import Prices
from hardneg.files.text_lines import Limits
from hardneg.generators.random import Random
from hardneg.kinds import BUILT_IN, leaves, load
from hardneg.llm.openai import OpenAI
from hardneg.models.indexes import IVF
from hardneg.models.late_interaction import LateInteraction
from hardneg.protocols import Encoder, Generator, LLMClient, PairScorer
from hardneg.testing import HashedWords

PARTS = [(group, kind) for group, members in BUILT_IN.items() if group != "engines" for kind in members]
"""All but the engine, which is in no fingerprint: workers change nothing."""
FIELDS = [(*part, field.name) for part in PARTS for field in dataclasses.fields(load(*part))]

WORDS, OTHER_WORDS = HashedWords(), HashedWords(dimensions=32)
BY_TYPE: Mapping[Any, tuple[Any, Any]] = {
    Encoder: (WORDS, OTHER_WORDS),
    PairScorer: (LateInteraction(encoder=WORDS), LateInteraction(encoder=OTHER_WORDS)),
    Generator: (Random(depth=6), Random(depth=7)),
    LLMClient: (OpenAI(model="any"), OpenAI(model="other")),
    Prices: (None, Prices(1.0, 2.0)),
    Limits: (None, Limits(line=33)),
}
"""The first value of a field that needs one, and the other."""
BY_NAME: Mapping[str, Any] = {
    "language": "german",
    "stopwords": "german",
    "base_url": "http://localhost:1/v1",
    "connection": "host=elsewhere",
    "window": (0, 51),
    "search": IVF(),
    "encoders": (OTHER_WORDS,),
    "openings": ("once upon a time there",),
    "prompt": "query_only.v1",
}
"""Of fields that do not take just any value of their type."""
NEAR = {"cascade": "safe", "near": 0.1}
SAMPLE = {"sample": 9, "scorer": "other"}
STRATA = {"bounds": (0.1, 0.2, 0.3, 0.4), "chances": (0.1,) * 5}
AGREED = {"relabel": True, "agree": "target"}
TOGETHER: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "filters.eci_safety.relative": ({"margin": None, "relative": 0.1}, {"relative": 0.2}),
    "filters.eci_safety.ceiling": ({"margin": None, "ceiling": 0.1}, {"ceiling": 0.2}),
    "filters.eci_safety.percentile": ({"margin": None, "percentile": 0.1}, {"percentile": 0.2}),
    "filters.eci_safety.calibrated": ({"margin": None, "calibrated": 0.1}, {"calibrated": 0.2}),
    "filters.eci_safety.quantiles": ({"margin": None, "percentile": 0.1}, {"quantiles": (0.0, 1.0)}),
    "filters.duplicate.by": ({"near": 0.9, "encoder": WORDS}, {"by": "cosine"}),
    "filters.relevance.relabel": ({}, AGREED),
    "filters.relevance.agree": (AGREED, {"agree": "third"}),
    "filters.relevance.agree_from": (AGREED, {"agree_from": 0.5}),
    "scorers.llm_judge.cascade": (NEAR, {"cascade": "veto"}),
    "scorers.llm_judge.near": (NEAR, {"near": 0.2}),
    "scorers.llm_judge.sample": (SAMPLE, {"sample": 10}),
    "scorers.llm_judge.scorer": (SAMPLE, {"scorer": "third"}),
    "scorers.llm_judge.bounds": (SAMPLE | STRATA, {"bounds": (0.1, 0.2, 0.3, 0.5)}),
    "scorers.llm_judge.chances": (SAMPLE | STRATA, {"chances": (0.2,) * 5}),
}
"""Fields that go with others: the values of all, and what then changes."""


def needed(here: Path) -> dict[str, dict[str, Any]]:
    """Values of fields that have no default; `BY_TYPE` has the others. In ``here`` lie the files and folders."""
    data = {name: here / name for name in ("collection", "queries", "qrels")}
    files: dict[str, dict[str, Any]] = {
        f"readers.{kind}": {"path": here / "data", **optional}
        for kind, optional in (
            ("beir", {"judged": "test"}),
            *((k, {"corpus": here / "c"}) for k in ("jsonl", "parquet", "csv")),
        )
    }
    return files | {
        "readers.huggingface": {"path": str(here / "dataset")},
        "readers.msmarco": data,
        "generators.file": {"path": here / "own.jsonl"},
        "generators.pgvector": {"table": "passages"},
        "encoders.sentence_transformers": {"model": str(here / "model")},
        "pair_scorers.sentence_transformers_cross_encoder": {"model": str(here / "model")},
        "clients.openai": {"model": "any"},
        "clients.vllm": {"model": str(here / "model")},
        "scorers.llm_judge": {"prompt": str(here / "judge.md")},
        "filters.eci_safety": {"scorer": "target", "margin": 0.1},
        "filters.relevance": {"scorer": "other"},
        "filters.judged": {"files": (here / "own.jsonl",)},
        "selectors.top": {"scorer": "target"},
        "selectors.random": {"scorer": "target"},
        "exports.ms_swift": {"negatives": 2},
    }


def part_of(group: str, kind: str, here: Path) -> Any:
    """A part with the values that it must have."""
    cls = load(group, kind)
    values = needed(here).get(f"{group}.{kind}", {})
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values.setdefault(field.name, next((BY_TYPE[t][0] for t in _types(cls, field.name) if t in BY_TYPE), None))
    return cls(**values)


def pair_of(group: str, kind: str, name: str, here: Path, elsewhere: Path) -> tuple[Any, Any]:
    """A part, and one that differs in the field ``name``: of a path, by leading to the same name ``elsewhere``."""
    part = part_of(group, kind, here)
    if (known := TOGETHER.get(f"{group}.{kind}.{name}")) is not None:
        part = dataclasses.replace(part, **known[0])
        return part, dataclasses.replace(part, **known[1])
    value = getattr(part, name)
    if isinstance(value, (str, Path)) and Path(value).is_relative_to(here):
        other = type(value)(elsewhere / Path(value).name)
    elif isinstance(value, tuple) and value and isinstance(value[0], Path):
        other = tuple(elsewhere / inner.name for inner in value)
    else:
        other = BY_NAME[name] if name in BY_NAME else _other(value, _types(type(part), name))
    return part, dataclasses.replace(part, **{name: other})


def _types(cls: Any, name: str) -> list[Any]:
    """The alternatives of a field's type, without annotations and None."""
    hint = get_type_hints(cls, include_extras=True)[name]
    bare = [get_args(leaf)[0] if get_origin(leaf) is Annotated else leaf for leaf in leaves(hint)]
    return [leaf for leaf in bare if leaf is not types.NoneType]


def _other(value: Any, allowed: list[Any]) -> Any:
    [kind] = allowed
    if kind in BY_TYPE:
        return BY_TYPE[kind][1]
    if get_origin(kind) is Literal:
        return next(choice for choice in get_args(kind) if choice != value)
    if get_origin(kind) is Mapping:
        return {"a": 1 if get_args(kind)[1] is not str else "b"}
    if kind is str:
        return f"{value or 'a'}x"
    return {bool: not value, int: (value or 8) + 1, float: (value or 1.0) / 2}[kind]
