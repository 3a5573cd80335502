"""JSON schemas of parts, for editors that complete a job's YAML."""

from __future__ import annotations

from typing import Any

from hardneg import kinds


def with_references(schema: Any) -> Any:
    """A JSON schema in which every field that holds a part points to the definition of its group."""
    if isinstance(schema, list):
        return [with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if kinds.PART in schema:
        return {"$ref": f"#/$defs/{schema[kinds.PART]}"} | {
            key: value for key, value in schema.items() if key == "default"
        }
    return {key: with_references(value) for key, value in schema.items()}


def json_schema() -> dict[str, Any]:
    """The JSON schema of every group of parts, for ``$defs``."""
    definitions: dict[str, Any] = {}
    for group in kinds.BUILT_IN:
        options = []
        for kind in kinds.kinds(group):
            cls = kinds.load(group, kind)
            schema = with_references(kinds.adapter(cls).json_schema())
            definitions |= schema.pop("$defs", {})  # references begin at the root
            schema["properties"] = {"kind": {"const": kind}} | schema.get("properties", {})
            schema["required"] = ["kind", *schema.get("required", [])]
            schema["description"] = (cls.__doc__ or "").strip()
            options.append(schema)
        definitions[group] = {"oneOf": options}
    return definitions
