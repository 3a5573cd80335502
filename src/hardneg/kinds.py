"""How ``kind:`` in a job becomes an object.

A *part* is a frozen, keyword-only dataclass made by `part`; its fields are its YAML keys. The built-in ones are the
table below, as ``module:Class`` so that naming one imports nothing else; a plug-in adds its own through an entry point
of the group ``hardneg.<group>``, for example ``hardneg.generators``.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import dataclass_transform

from hardneg.errors import PartError
from hardneg.paths import resolved, resolved_name

C = TypeVar("C", bound=type[Any])

BUILT_IN: dict[str, dict[str, str]] = {
    "readers": {
        "beir": "hardneg.readers.beir:BEIR",
        "jsonl": "hardneg.readers.training_file:TrainingFile",
        "parquet": "hardneg.readers.training_file:TrainingFile",
        "csv": "hardneg.readers.training_file:TrainingFile",
        "huggingface": "hardneg.readers.huggingface:HuggingFace",
        "msmarco": "hardneg.readers.msmarco:MSMARCO",
    },
    "generators": {
        "bm25": "hardneg.generators.bm25:BM25",
        "dense": "hardneg.generators.dense:Dense",
        "cross_encoder": "hardneg.generators.cross_encoder:CrossEncoder",
        "pgvector": "hardneg.generators.pgvector:PGVector",
        "random": "hardneg.generators.random:Random",
        "file": "hardneg.generators.file:File",
        "llm": "hardneg.generators.llm:LLM",
    },
    "clients": {
        "openai": "hardneg.llm.openai:OpenAI",
        "vllm": "hardneg.llm.vllm:VLLM",
    },
    "encoders": {
        "sentence_transformers": "hardneg.models.sentence_transformers:Encoder",
        "hashed_words": "hardneg.testing:HashedWords",
    },
    "indexes": {"hnsw": "hardneg.models.indexes:HNSW", "ivf": "hardneg.models.indexes:IVF"},
    "pair_scorers": {
        "sentence_transformers_cross_encoder": "hardneg.models.sentence_transformers:CrossEncoder",
        "late_interaction": "hardneg.models.late_interaction:LateInteraction",
    },
    "scorers": {
        "bi_encoder": "hardneg.scorers.bi_encoder:BiEncoder",
        "cross_encoder": "hardneg.scorers.cross_encoder:CrossEncoder",
        "late_interaction": "hardneg.scorers.late_interaction:LateInteraction",
        "false_negative": "hardneg.scorers.false_negative:FalseNegative",
        "llm_judge": "hardneg.scorers.llm_judge:LLMJudge",
    },
    "filters": {
        "eci_safety": "hardneg.filters.eci_safety:ECISafety",
        "duplicate": "hardneg.filters.duplicate:Duplicate",
        "copy": "hardneg.filters.copy:Copy",
        "text_quality": "hardneg.filters.text_quality:TextQuality",
        "relevance": "hardneg.filters.relevance:Relevance",
        "judged": "hardneg.filters.judged:Judged",
    },
    "selectors": {
        "top": "hardneg.selectors.top:Top",
        "random": "hardneg.selectors.random:Random",
        "band": "hardneg.selectors.band:Band",
        "diverse": "hardneg.selectors.diverse:Diverse",
        "disagreement": "hardneg.selectors.disagreement:Disagreement",
    },
    "exports": {
        "sentence_transformers": "hardneg.exports.sentence_transformers:SentenceTransformers",
        "flagembedding": "hardneg.exports.flagembedding:FlagEmbedding",
        "tevatron": "hardneg.exports.tevatron:Tevatron",
        "beir": "hardneg.exports.beir:BEIR",
        "gpl": "hardneg.exports.gpl:GPL",
        "tables": "hardneg.exports.tables:Tables",
        "automodel": "hardneg.exports.automodel:Automodel",
        "ms_swift": "hardneg.exports.ms_swift:MSSwift",
        "msmarco": "hardneg.exports.msmarco:MSMARCO",
        "cross_encoder": "hardneg.exports.cross_encoder:CrossEncoder",
        "jsonl": "hardneg.exports.jsonl:JSONL",
        "parquet": "hardneg.exports.parquet:Parquet",
    },
    "engines": {"local": "hardneg.engines.local:Local", "ray": "hardneg.engines.ray:Ray"},
}

PART = "x-part"

NEUTRAL: Mapping[str, Any] = {"neutral": True}
"""Metadata of a field that cannot change results beyond the rounding of floating point (batch size, device, the path
of a file whose content counts): it is left out of fingerprints."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def part(cls: C) -> C:
    """Makes a part of a class: a frozen, keyword-only, slotted dataclass that refuses unknown keys from YAML.

    The class may set ``version`` (int, 1 unless said), to be raised when its output changes for the same fields.

    >>> @part
    ... class Every:
    ...     step: int = 2
    >>> Every(step=3)
    Every(step=3)
    """
    own_check = cls.__dict__.get("__post_init__")

    def checked(self: Any) -> None:
        _check_bounds(self)
        if own_check is not None:
            own_check(self)

    cls.__post_init__ = checked
    cls.__pydantic_config__ = {"extra": "forbid"}  # else pydantic drops unknown keys in silence
    return dataclasses.dataclass(frozen=True, kw_only=True, slots=True)(cls)  # type: ignore[return-value]


@cache
def _hints(cls: Any) -> dict[str, Any]:
    """The types of a part's fields, annotations included."""
    return get_type_hints(cls, include_extras=True)


@cache
def _bounded(cls: Any) -> dict[str, TypeAdapter[Any]]:
    """What checks each field that has bounds: ``Annotated[int, Field(ge=1)]``."""
    return {
        name: TypeAdapter(hint)
        for name, hint in _hints(cls).items()
        if any(isinstance(note, FieldInfo) for leaf in leaves(hint) for note in getattr(leaf, "__metadata__", ()))
    }


def _check_bounds(instance: Any) -> None:
    """Raises `PartError` for a field that is outside its bounds: pydantic checks YAML, this checks Python."""
    cls: Any = type(instance)
    for name, check in _bounded(cls).items():
        value = getattr(instance, name)
        try:
            check.validate_python(value)
        except ValidationError as error:
            raise PartError(f"`{name}` must be {_in_words(_hints(cls)[name])}, not {value!r}") from error


BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _in_words(hint: Any) -> str:
    """The bounds of a field: ``at least 0 and below 1``."""
    notes = [note for leaf in leaves(hint) for field in getattr(leaf, "__metadata__", ()) for note in field.metadata]
    words = [f"{word} {getattr(note, key):g}" for key, word in BOUNDS.items() for note in notes if hasattr(note, key)]
    return " and ".join(words) or "finite"


def leaves(hint: Any) -> Iterator[Any]:
    """The alternatives of a type: ``int | None`` is int and None. Annotations stay on."""
    if get_origin(hint) in (Union, types.UnionType):
        for inner in get_args(hint):
            yield from leaves(inner)
    else:
        yield hint


def _is_number(hint: Any) -> bool:
    """Whether a field holds a number and no truth value."""
    bare = [get_args(leaf)[0] if get_origin(leaf) is Annotated else leaf for leaf in leaves(hint)]
    return any(leaf in (int, float) for leaf in bare) and bool not in bare


class Kind:
    """Annotation of a field that holds a part: ``Annotated[Generator, Kind("generators")]``.

    ``names``: what may stand there in place of a part.
    """

    def __init__(self, group: str, *names: str) -> None:
        self.group, self.names = group, names

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.build)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        own = {PART: self.group}  # becomes a $ref in `with_references`; pydantic would look for its definition here
        return {"anyOf": [{"enum": list(self.names)}, own]} if self.names else own

    def build(self, value: Any) -> Any:
        """The part that ``value``, a mapping with a ``kind``, describes. A part is returned as it is."""
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return value
        if isinstance(value, str) and value in self.names:
            return value
        if not isinstance(value, dict) or "kind" not in value:
            raise PydanticCustomError(
                "part",
                "expected {names}a mapping with the key `kind`, one of: {kinds}",
                {"names": f"{listed(self.names)}, or " if self.names else "", "kinds": listed(kinds(self.group))},
            )
        fields = dict(value)
        kind = fields.pop("kind")
        if not isinstance(kind, str) or kind not in kinds(self.group):
            raise PydanticCustomError(
                "part",
                "unknown kind {kind} of {group}{hint}; there are: {kinds}",
                {
                    "kind": repr(kind),
                    "group": self.group,
                    "hint": did_you_mean(str(kind), kinds(self.group)),
                    "kinds": listed(kinds(self.group)),
                },
            )
        cls = load(self.group, kind)
        known = [field.name for field in dataclasses.fields(cls)]
        wrong = {str(key): unknown_key(str(key), known) for key in fields if key not in known}
        for field in dataclasses.fields(cls):  # pydantic would take true for 1
            if isinstance(fields.get(field.name), bool) and _is_number(_hints(cls)[field.name]):
                wrong[field.name] = PydanticCustomError("part", "expected a number, found true or false")
        if wrong:
            errors = [InitErrorDetails(type=error, loc=(key,), input=None) for key, error in wrong.items()]
            raise ValidationError.from_exception_data(kind, errors)
        return adapter(cls).validate_python({name: _placed(value, _hints(cls)[name]) for name, value in fields.items()})


NAMED = "a name or a path"
NameOrPath = Annotated[str, NAMED]
"""The type of a field that holds the name of something on a hub, or its path."""


def _placed(value: Any, hint: Any) -> Any:
    """A value from a job's YAML, with paths taken as relative to the job's file; of a list each of its values."""
    if isinstance(value, list):
        within = next((get_args(leaf)[0] for leaf in leaves(hint) if get_origin(leaf) is tuple), Any)
        return [_placed(inner, within) for inner in value]
    if not isinstance(value, str):
        return value
    bare = [get_args(leaf)[0] if get_origin(leaf) is Annotated else leaf for leaf in leaves(hint)]
    if Path in bare:
        return resolved(value)
    named = any(note == NAMED for leaf in leaves(hint) for note in getattr(leaf, "__metadata__", ()))
    return resolved_name(value) if named else value


def unknown_key(key: str, known: Iterable[str]) -> PydanticCustomError:
    """The error for a key that nothing reads."""
    return PydanticCustomError(
        "unknown_key",
        "unknown key {key}{hint}; there are: {known}",
        {"key": f"`{key}`", "hint": did_you_mean(key, known), "known": listed(known)},
    )


def listed(names: Iterable[str]) -> str:
    """Names in backticks, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``": did you mean `depth`?"``, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f": did you mean `{near[0]}`?" if near else ""


@cache
def kinds(group: str) -> dict[str, str]:
    """Every kind of a group, built in or from a plug-in, and where its class is."""
    found = dict(BUILT_IN[group])
    for entry in entry_points(group=f"hardneg.{group}"):
        if found.setdefault(entry.name, entry.value) != entry.value:
            raise PartError(
                f"two packages define the kind `{entry.name}` of {group}: {found[entry.name]}, {entry.value}"
            )
    return found


@cache
def load(group: str, kind: str) -> Any:
    """The class of a kind."""
    module, _, name = kinds(group)[kind].partition(":")
    return getattr(import_module(module), name)


@cache
def adapter(cls: Any) -> TypeAdapter[Any]:
    """What validates the fields of a part."""
    return TypeAdapter(cls)


def kind_of(instance: Any) -> str:
    """The kind whose class ``instance`` is of; its class's name when it has none (a part made in Python)."""
    where = f"{type(instance).__module__}:{type(instance).__qualname__}"
    return next((kind for group in BUILT_IN for kind, value in kinds(group).items() if value == where), where)


def described(instance: Any) -> dict[str, Any]:
    """What decides a part's results: its kind, its version and its fields, nested parts included.

    A method ``identity() -> str`` adds what the fields do not show: a model is its weights, a file its content; the
    path is then a `NEUTRAL` field.
    """
    out: dict[str, Any] = {"kind": kind_of(instance), "version": getattr(type(instance), "version", 1)}
    if identity := getattr(instance, "identity", None):
        out["identity"] = identity()
    for field in dataclasses.fields(instance):
        if not field.metadata.get("neutral"):
            out[field.name] = _described_value(getattr(instance, field.name))
    return out


def parts_in(instance: Any) -> Iterator[Any]:
    """A part and all parts nested in it; of a list, a tuple or a mapping those of its values."""
    if isinstance(instance, (list, tuple)):
        for inner in instance:
            yield from parts_in(inner)
    elif isinstance(instance, Mapping):
        yield from parts_in(list(instance.values()))
    elif dataclasses.is_dataclass(instance):
        yield instance
        for field in dataclasses.fields(instance):
            yield from parts_in(getattr(instance, field.name))


def _described_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return described(value)
    if isinstance(value, Mapping):
        return {str(key): _described_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described_value(inner) for inner in value]
    return value


def summary(group: str, kind: str) -> dict[str, Any]:
    """What a kind is, in the first words of its docstring, and its fields with types and defaults."""
    cls = load(group, kind)
    text = " ".join((cls.__doc__ or "").split())
    fields = []
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        fields.append(
            field.name
            if required
            else f"{field.name}={field.default!r}"
            if field.default is not dataclasses.MISSING
            else f"{field.name}=…"
        )
    return {"what": text.split(". ")[0].rstrip(".:") + ".", "fields": fields}


def plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value, default=str))


def fingerprint(description: Any) -> str:
    """SHA-256, in hexadecimal, of a description's canonical JSON."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
