"""YAML documents, read safely and with the line of every key.

Words mean what YAML 1.2 says (its core schema): ``017`` is 17, ``1e-3`` a number, ``on`` and ``2024-01-01`` are texts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from hardneg.errors import JobError

LARGEST = 128 << 10
DEEPEST = 40
MOST_NODES = 10_000

STRING = "tag:yaml.org,2002:str"

Place = tuple[str | int, ...]


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which reads YAML 1.1, with the plain values of YAML 1.2 (section 10.3.2)."""

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}  # noqa: RUF012  as in PyYAML

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Decimal with or without leading zeros, ``0o17`` and ``0x1f``."""
        text = str(self.construct_scalar(node))
        base = {"0o": 8, "0x": 16}.get(text[:2])
        return int(text, 10) if base is None else int(text[2:], base)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"({_pattern})\Z"), _first)
Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)


def source(path: Path) -> bytes:
    """The bytes of a file. Raises `JobError` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise JobError(f"{path}: cannot be read ({error.strerror})") from error


def parse(data: bytes, path: Path) -> tuple[Any, dict[Place, int]]:
    """The document of a YAML file, and the line, from 1, of every key path. ``path`` is for messages.

    Raises `JobError` for bytes that are not UTF-8, broken YAML, a tag, several documents, a key that occurs twice, and
    for a document that is too deep or grows too much by aliases.
    """
    if len(data) > LARGEST:
        raise JobError(f"{path}: larger than {LARGEST >> 10} KiB; a job is a small file")
    try:
        loader = Loader(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise JobError(
            f"{path}:{line}: byte {error.start + 1} of the file is not UTF-8; save the file as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        raise JobError(f"{path}: {' '.join(str(error).split())}") from error
    try:
        node = loader.get_single_node()
        lines: dict[Place, int] = {}
        if node is None:
            raise JobError(f"{path}: the file is empty; `hardneg init DATA > job.yaml` writes a job")
        _check(loader, node, (), lines, path, [0])
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if error.problem and "another document" in error.problem:
            raise JobError(f"{path}:{line}: a second document begins here; make it a job file of its own") from error
        raise JobError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from error
    except RecursionError as error:
        raise JobError(f"{path}: not valid YAML: too deep") from error
    except (yaml.YAMLError, ValueError) as error:
        raise JobError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()


def _check(
    loader: Loader, node: yaml.Node, place: Place, lines: dict[Place, int], path: Path, count: list[int]
) -> None:
    line = node.start_mark.line + 1
    _refuse_tag(loader, node, path)
    lines.setdefault(place, line)
    count[0] += 1
    if len(place) > DEEPEST or count[0] > MOST_NODES:
        raise JobError(f"{path}:{line}: the document is too deep, or its aliases make it too large")
    if isinstance(node, yaml.MappingNode):
        seen: dict[Any, int] = {}
        for key, value in node.value:
            here = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise JobError(f"{path}:{here}: a key must be a single word")
            _refuse_tag(loader, key, path)
            if key.value in seen:
                first = seen[key.value]
                raise JobError(f"{path}:{here}: the key `{key.value}` already appears on line {first}; keep one")
            seen[key.value] = here
            inner = (*place, key.value)
            lines[inner] = here
            _check(loader, value, inner, lines, path, count)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _check(loader, item, (*place, number), lines, path, count)


def _refuse_tag(loader: Loader, node: yaml.Node, path: Path) -> None:
    """Raises `JobError` for a value whose tag is another than it has by itself; `!!str` makes a text of anything."""
    plain = loader.resolve(type(node), node.value, (True, False))  # type: ignore[no-untyped-call]
    if node.tag != plain and not (node.tag == STRING and isinstance(node, yaml.ScalarNode)):
        line = node.start_mark.line + 1
        raise JobError(f"{path}:{line}: the tag {node.tag!r} is not for jobs; write the value without it")
