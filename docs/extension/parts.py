"""Every kind of part, from its docstring, its fields and their bounds, as `hardneg schema` tells them."""

from __future__ import annotations

import dataclasses
import inspect
import json
from functools import cache
from typing import Any

from hardneg import kinds
from hardneg.job.schema import json_schema

BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "mapping",
    "null": "null",
}
HEAD = "| key | value | default | changes results |\n| --- | --- | --- | --- |\n"
HEAD_OF_MAPPINGS = "| key | value | default |\n| --- | --- | --- |\n"
SECTIONS = {"cap": "budget"}
"""Where a mapping is told, when not under the name of its class."""


@cache
def definitions() -> dict[str, Any]:
    """The schema of every group."""
    return json_schema()


def value(schema: dict[str, Any]) -> str:
    """What a key may hold, in words: `whole number, at least 1`."""
    if "$ref" in schema:
        group = schema["$ref"].rpartition("/")[2]
        where, name = "parts.md" if group in kinds.BUILT_IN else "schema.md", group.lower()
        name = SECTIONS.get(name, name).replace("_", "-")
        return f"[{name}]({where}#{name})"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(option)}`" for option in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(value(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        items = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"list of {value(items)}"
    if schema.get("format") == "path":
        return "path"
    inner = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(inner, dict):
        return f"mapping of names to {value(inner)}"
    bounds = " and ".join(f"{word} {schema[key]:g}" for key, word in BOUNDS.items() if key in schema)
    return ", ".join(filter(None, [WORDS.get(schema.get("type", ""), "anything"), bounds]))


def default(schema: dict[str, Any], *, needed: bool) -> str:
    """What a key is where a job does not say."""
    return "needed" if needed else f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _kind(option: dict[str, Any], group: str) -> str:
    kind = option["properties"]["kind"]["const"]
    cls = kinds.load(group, kind)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    rows = [
        f"| `{key}` | {value(schema)} | {default(schema, needed=key in option['required'])} "
        f"| {'no' if fields[key].metadata.get('neutral') else 'yes'} |\n"
        for key, schema in option["properties"].items()
        if key != "kind"
    ]
    text = inspect.cleandoc(cls.__doc__ or "")
    return "\n\n".join([f"### `{kind}`", text, HEAD + "".join(rows) if rows else "It has no keys."])


def group(name: str) -> str:
    """All kinds of a group."""
    first: dict[str, str] = {}
    out = []
    for option in definitions()[name]["oneOf"]:
        kind = option["properties"]["kind"]["const"]
        same = first.setdefault(kinds.kinds(name)[kind], kind)
        out.append(_kind(option, name) if same == kind else f"### `{kind}`\n\nThe same part as `{same}`.")
    return "\n\n".join(out)


def mappings() -> str:
    """Mappings that several parts share."""
    out = []
    for name, schema in definitions().items():
        if name not in kinds.BUILT_IN:
            needed = schema.get("required", [])
            rows = [
                f"| `{key}` | {value(inner)} | {default(inner, needed=key in needed)} |\n"
                for key, inner in schema["properties"].items()
            ]
            text = inspect.cleandoc(schema.get("description", "")).split("\n\n>>>")[0]
            out.append("\n\n".join([f"### {name.lower()}", text, HEAD_OF_MAPPINGS + "".join(rows)]))
    return "\n\n".join(out)
