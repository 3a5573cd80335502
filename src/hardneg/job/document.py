"""The YAML document of a job: its keys, its errors with file and line, and its JSON schema."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hardneg import kinds
from hardneg.bounds import Natural
from hardneg.cache.folders import cache_at
from hardneg.engines.local import Local
from hardneg.errors import HardnegError, JobError
from hardneg.job import checks, yaml_document, yaml_editing
from hardneg.job.fetching import Fetching
from hardneg.job.schema import json_schema, with_references
from hardneg.job.source import Source
from hardneg.llm import keys
from hardneg.paths import placed, relative_to, resolved
from hardneg.pipeline.plan import Plan
from hardneg.protocols import (
    AnyEngine,
    AnyExport,
    AnyFilter,
    AnyGenerator,
    AnyReader,
    AnyScorer,
    AnySelector,
    clients_of,
)

NONE: Mapping[str, object] = MappingProxyType({})
OPTIONAL = ("controls", "deepen", "filters", "exports", "engine", "cache", "budget", "relative_to")
"""Keys that may be left empty."""


Place = Annotated[str, AfterValidator(placed)]
"""A folder of this machine, or a URL."""


class ECI(BaseModel):
    """What ECI is computed from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scorer: str
    """The scorer of the encoder that will be trained."""
    at: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of negatives at which the sources are compared at equal size; left out: the selector's `per_query`."""
    sem: bool = True
    """Whether eci_sem is computed too (a matrix of the encoder's dimension squared for each kind of origin)."""
    probe: bool = False
    """Whether the probe ranks the sets: a small map is trained on each, in seconds, and asked about other queries."""
    loss: Literal["shared", "own"] = "shared"
    """What you will train with. `shared`: a query sees the negatives of its whole batch, as in
    MultipleNegativesRankingLoss. `own`: it sees its own alone. The probe trains as you will."""


class Cap(BaseModel):
    """What the language models of a job may use, over all its runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens read and written."""
    max_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Money, by the `prices` of the clients."""


class Document(BaseModel):
    """The keys of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    data: AnyReader
    generators: dict[str, AnyGenerator]
    controls: tuple[str, ...] = ()
    """Generators that are scored and reported beside the others and never trained on."""
    scorers: dict[str, AnyScorer]
    filters: dict[str, AnyFilter] = {}
    select: AnySelector
    deepen: Natural | None = None
    """How often the search goes four times deeper for queries with too few negatives left. Left out: 2, or 0 where a
    scorer asks a language model."""
    eci: ECI
    exports: dict[str, AnyExport] = {}
    report: bool = True
    """Whether `report.html`, with examples of the texts, is written beside `report.json`."""
    budget: Cap = Cap()
    engine: AnyEngine = Local()
    output: Place
    cache: Place | None = None
    relative_to: str | None = None
    """Where relative paths start; left out, in the folder of the job's file. A run writes it into its copy."""

    def plan(self) -> Plan:
        """The parts, ready to run."""
        asks = bool(clients_of(list(self.scorers.values())))
        return Plan(
            reader=self.data,
            generators=self.generators,
            scorers=self.scorers,
            filters=self.filters,
            selector=self.select,
            target=self.eci.scorer,
            at=self.eci.at,
            controls=self.controls,
            sem=self.eci.sem,
            probe=self.eci.probe,
            loss=self.eci.loss,
            deepen=(0 if asks else 2) if self.deepen is None else self.deepen,
            exports=self.exports,
        )


BOUNDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
    "finite_number": "a finite number",
}
"""pydantic's names for a number that is out of bounds, in our words."""
NAMED = 20
"""Mistakes of a job that are named at once."""
SECTIONS: dict[str, type[BaseModel]] = {"eci": ECI, "budget": Cap}


class Read(NamedTuple):
    """A job's text, and what it says."""

    source: Source
    document: Document
    plan: Plan
    fetching: Fetching


def read(path: Path, overrides: Mapping[str, object] = NONE) -> Read:
    """A job from its file, with other values at the dotted keys of ``overrides``, as if they stood in the file.

    Paths are relative to the folder of the file, or to the one that it names as `relative_to`. Raises `JobError` with
    file, line and key for everything that is wrong with the document, and says which override made it so.
    """
    written = yaml_document.source(path)
    _, lines = yaml_document.parse(written, path)
    texts = [written]
    for key, value in overrides.items():
        texts.append(yaml_editing.with_value(texts[-1], key, value, path))
    try:
        folder, document, plan, fetching = _checked(texts[-1], path, lines)
    except JobError as error:
        if not overrides:
            raise
        problems = [*(_problems(text, path, lines) for text in texts[:-1]), str(error).split("\n")]
        raise JobError("\n".join(_told(line, problems, [*overrides]) for line in problems[-1])) from error
    return Read(Source(path, written, overrides, texts[-1], folder), document, plan, fetching)


def _problems(text: bytes, path: Path, lines: Mapping[yaml_document.Place, int]) -> list[str]:
    try:
        _checked(text, path, lines)
    except JobError as error:
        return str(error).split("\n")
    return []


def _told(line: str, problems: Sequence[Sequence[str]], keys: Sequence[str]) -> str:
    """A problem with the override since which it is there. ``problems``: those without any, with the first, …"""
    since = len(keys)
    while since and line in problems[since - 1]:
        since -= 1
    return f"{line} (from --set {keys[since - 1]})" if since else line


def _checked(
    text: bytes, path: Path, lines: Mapping[yaml_document.Place, int]
) -> tuple[Path, Document, Plan, Fetching]:
    """The folder of a job's paths, its document, its plan and what was fetched. ``lines``: of the keys in the file."""
    raw, _ = yaml_document.parse(text, path)
    if not isinstance(raw, dict):
        raise JobError(f"{path}: a job is a mapping of keys, this is a {type(raw).__name__}; see `hardneg schema`")

    def refuse_first(problems: Iterator[checks.Problem]) -> None:
        for place, problem in problems:
            raise JobError(f"{path}:{_line(place, lines)}: {'.'.join(place)}: {problem}")

    refuse_first(checks.literal_keys(raw))
    if line := checks.line_with_key(raw, text.decode("utf-8-sig")):
        raise JobError(f"{path}:{line}: {keys.WAY_OUT}")
    refuse_first(checks.outdated(raw))
    folder = path.absolute().parent
    if isinstance(elsewhere := raw.get("relative_to"), str):
        with relative_to(folder):
            folder = resolved(elsewhere)
    with relative_to(folder):
        cache = raw.get("cache")
        fetching = Fetching(cache_at(placed(cache) if isinstance(cache, str) else None))
    try:
        with relative_to(folder, fetching):
            document = Document.model_validate({k: v for k, v in raw.items() if v is not None or k not in OPTIONAL})
    except ValidationError as error:
        messages = list(islice(_messages(error, path, lines), NAMED))
        if error.error_count() > NAMED:
            messages.append(f"{path}: there are {error.error_count() - NAMED:,} more mistakes")
        raise JobError("\n".join(messages)) from error
    except HardnegError as error:
        place = next((place for place, value in checks.leaves(raw) if fetching.at == os.path.expandvars(value)), ())
        if place:
            error.args = (f"{path}:{_line(place, lines)}: {'.'.join(place)}: {error}",)
        raise
    plan = document.plan()
    refuse_first(checks.contradictions(plan, document.budget.max_cost is not None, document.engine))
    return folder, document, plan, fetching


def schema() -> Any:
    """The JSON schema of a job, for editors."""
    document = with_references(Document.model_json_schema())
    document["$defs"] = document.get("$defs", {}) | json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return document


def _messages(error: ValidationError, path: Path, lines: Mapping[yaml_document.Place, int]) -> Iterator[str]:
    """One line a mistake: the file, the line, the key path, what is wrong."""
    for detail in error.errors(include_url=False):
        place = detail["loc"]
        problem = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "missing":
            problem = "this key is missing"
        elif detail["type"] == "extra_forbidden":
            problem = str(
                kinds.unknown_key(
                    str(place[-1]), (Document if len(place) == 1 else SECTIONS[str(place[0])]).model_fields
                ).message()
            )
        elif detail["type"] in BOUNDS:
            problem = f"must be {BOUNDS[detail['type']].format(**detail.get('ctx', {}))}, not {detail['input']!r:.60}"
        elif detail["type"] not in ("part", "unknown_key", "value_error"):
            problem = f"{problem}, found {detail['input']!r:.60}"
        yield f"{path}:{_line(place, lines)}: {'.'.join(map(str, place))}: {problem}"


def _line(place: Sequence[str | int], lines: Mapping[yaml_document.Place, int]) -> int:
    """The line of a key, or of the nearest key around it."""
    for end in range(len(place), -1, -1):
        if tuple(place[:end]) in lines:
            return lines[tuple(place[:end])]
    return 1
