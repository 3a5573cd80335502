"""Values set in the text of a YAML document: all else stays as it is, comments included."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hardneg.errors import JobError
from hardneg.job.yaml_document import Loader, parse


class _Alias(yaml.Node):
    """An alias where it stands. Its value is the node that it names."""

    id = "alias"


class _Composer(Loader):
    """A loader whose trees have aliases in their places."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A node, or an alias with its own marks."""
        aliased = self.check_event(yaml.AliasEvent)
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        return _Alias("", node, event.start_mark, event.end_mark) if aliased else node


def with_value(source: bytes, key: str, value: object, path: Path) -> bytes:
    """The YAML with ``value`` at a dotted ``key``: replaced where the key is there, else added, with all above it.

    A number in ``key`` is a place in a list that is there, from 0. What is set inside of something with an anchor
    changes wherever its aliases stand; an alias itself is replaced in its place alone. ``path`` is for messages.
    Raises `JobError` for a key that cannot be set.
    """
    text = source.decode("utf-8-sig")
    names = key.split(".")
    if not all(names):
        raise JobError(f"{path}: `{key}` is no key; write names with dots between them, such as filters.safe.margin")
    loader = _Composer(text)
    try:
        edited = _edited(text, loader.get_single_node(), names, value, f"{path}: `{key}` cannot be set")
    finally:
        loader.dispose()
    try:
        found, _ = parse(edited.encode(), path)
        for name in names:
            found = found[int(name)] if isinstance(found, list) else found[name]
    except (JobError, LookupError, TypeError) as error:
        raise JobError(f"{path}: `{key}` cannot be set to {flow(value)} in the text there; write it by hand") from error
    if found != value:
        raise JobError(f"{path}: `{key}` cannot be set to {flow(value)} in the text there; write it by hand")
    return edited.encode()


def _edited(text: str, root: Any, names: Sequence[str], value: object, problem: str) -> str:
    node: Any = root
    key: Any = None
    for depth, name in enumerate(names):
        whole: Any = node.value if isinstance(node, _Alias) else node
        here = ".".join(names[:depth]) or "the document"
        if isinstance(whole, yaml.SequenceNode):
            if not name.isdecimal() or int(name) >= len(whole.value):
                count = len(whole.value)
                raise JobError(
                    f"{problem}: `{here}` is a list of {count}; name a place below {count}, or set all of it"
                )
            node, key = whole.value[int(name)], None
            continue
        rest = value
        for inner in reversed(names[depth + 1 :]):
            rest = {inner: rest}
        if isinstance(whole, yaml.ScalarNode) and whole.value in ("", "~", "null") and whole.style is None:
            return _replaced(text, key, node, flow({name: rest}))
        if isinstance(whole, yaml.ScalarNode):
            raise JobError(f"{problem}: `{here}` has no keys, it is {whole.value!r:.60}")
        entries: Any = whole.value
        found = next((entry for entry in entries if entry[0].value == name), None)
        if found is None:
            return _added(text, key, whole, f"{flow(name)}: {flow(rest)}", at_the_end=not depth)
        key, node = found
    return _replaced(text, key, node, flow(value))


def _replaced(text: str, key: Any, node: Any, new: str) -> str:
    """The text with another value of ``key``, or another item of a list. An anchor stays, so do comments around it."""
    begin, end = node.start_mark.index, _end(text, node)
    if text.startswith("&", begin):
        space = next((place for place in range(begin, end) if text[place].isspace()), end)
        return f"{text[:space]} {new}{text[end:]}"
    if key is not None and node.start_mark.line > key.end_mark.line:
        colon, line_end = text.index(":", key.end_mark.index) + 1, text.index("\n", key.end_mark.index)
        return f"{text[:colon]} {new}{text[colon:line_end]}{text[end:]}"
    gap = "" if not begin or text[begin - 1] in " \n[{" else " "
    return f"{text[:begin]}{gap}{new}{text[end:]}"


def _end(text: str, node: Any) -> int:
    """Where a node ends. The mark of what is written as a block is behind the comments or the blank lines after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    end = int(node.end_mark.index)
    return len(text[:end].rstrip()) if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") else end


def _added(text: str, key: Any, mapping: yaml.MappingNode, entry: str, *, at_the_end: bool) -> str:
    if mapping.flow_style:
        if not mapping.value:
            return _replaced(text, key, mapping, f"{{{entry}}}")
        end = _end(text, mapping.value[-1][1])
        return f"{text[:end]}, {entry}{text[end:]}"
    first_key, first = mapping.value[0]
    column = " " * first_key.start_mark.column
    if at_the_end or isinstance(first, yaml.ScalarNode):
        end = text.find("\n", _end(text, mapping.value[-1][1] if at_the_end else first))
        end = len(text) if end < 0 else end
        return f"{text[:end]}\n{column}{entry}{text[end:]}"
    begin = first_key.start_mark.index
    return f"{text[:begin]}{entry}\n{column}{text[begin:]}"


def flow(value: object) -> str:
    """A value as YAML on one line that reads as the same, also within braces. Words are quoted where they must be."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{flow(key)}: {flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(flow, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        plain = value.isprintable() and yaml.load(f"[{value}]", Loader) == [value]  # noqa: S506  ours is a safe loader
    except yaml.YAMLError:
        plain = False
    return value if plain else json.dumps(value)
