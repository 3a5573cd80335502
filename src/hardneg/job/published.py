"""A job as it may be published: what decides the result, without where things lie and who is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import yaml
from pydantic import BaseModel

from hardneg import kinds
from hardneg.paths import LIKE_A_PATH

NOT_PUBLISHED = {"budget", "engine", "output", "cache", "relative_to", "report"}
NAMES = {"path", "corpus", "collection", "queries", "qrels", "model", "revision", "tokenizer"}
"""Neutral fields that say what was used. All others say how: addresses, names of keys, batch sizes."""


def published(document: BaseModel) -> str:
    """The YAML of a job's parts with the fields that differ from their defaults.

    Comments are left out. Of a path the last name is kept; a model's name on a hub stays whole.
    """
    keys = [key for key in type(document).model_fields if key not in NOT_PUBLISHED]
    told = {key: _told(getattr(document, key)) for key in keys if key in document.model_fields_set}
    return yaml.dump(told, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Every part is written out where it stands."""
        return True


def _told(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {key: _told(getattr(value, key)) for key in type(value).model_fields if key in value.model_fields_set}
    if dataclasses.is_dataclass(value):
        return _of_part(value)
    if isinstance(value, Mapping):
        return {str(key): _told(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_told(inner) for inner in value]
    path = isinstance(value, Path) or (isinstance(value, str) and LIKE_A_PATH.match(value))
    return _last(str(value)) if path else value


def _of_part(part: Any) -> dict[str, Any]:
    kind = {"kind": kinds.kind_of(part)} if hasattr(type(part), "__pydantic_config__") else {}
    fields = [field for field in dataclasses.fields(part) if not field.metadata.get("neutral") or field.name in NAMES]
    values = {field.name: getattr(part, field.name) for field in fields}
    return kind | {field.name: _told(values[field.name]) for field in fields if values[field.name] != _default(field)}


def _last(path: str) -> str:
    return (PureWindowsPath(path) if "\\" in path else PurePath(path)).name


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
