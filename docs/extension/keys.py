"""The keys of a job, from the classes that read it."""

from __future__ import annotations

from sphinx.pycode import ModuleAnalyzer

from extension.parts import value
from hardneg.job import document

HEAD = "| key | value | default | what |\n| --- | --- | --- | --- |\n"


def table(section: str = "Document") -> str:
    """The keys of one section of a job."""
    cls = getattr(document, section)
    texts = ModuleAnalyzer.for_module(document.__name__).find_attr_docs()
    schema = document.schema() if section == "Document" else cls.model_json_schema()
    rows = []
    for name, field in cls.model_fields.items():
        text = " ".join(texts.get((section, name), [])).strip()
        default = "needed" if field.is_required() else ""
        if not field.is_required() and isinstance(field.default, (bool, int, str, type(None))):
            default = f"`{field.default!r}`".replace("None", "null").replace("True", "true").replace("False", "false")
        rows.append(f"| `{name}` | {value(schema['properties'][name])} | {default} | {text} |\n")
    return HEAD + "".join(rows)
