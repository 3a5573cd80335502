"""A job: the YAML document, what it means, and the folder that it runs in."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardneg import kinds
from hardneg.cache.folders import Cache, default_cache
from hardneg.engines.local import Local
from hardneg.errors import JobError, StoreError
from hardneg.exports import provenance
from hardneg.files.durable import UNFINISHED, replacing, sync
from hardneg.files.text_lines import file_hash
from hardneg.job import yaml_document as documents
from hardneg.llm.budget import Budget, limited
from hardneg.pipeline.pipeline import Pipeline, Plan, Result
from hardneg.pipeline.store import Folder, read_json, write_json
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
from hardneg.report.card import card

OPTIONAL = ("filters", "exports", "engine", "cache", "budget")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
PACKAGES = ("hardneg", "numpy", "pyarrow", "bm25s", "PyStemmer", "sentence-transformers", "transformers", "torch")


class ECI(BaseModel):
    """What ECI is computed from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scorer: str
    """The scorer of the encoder that will be trained."""
    at: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of negatives at which the sources are compared at equal size; left out: the selector's `per_query`."""
    sem: bool = True
    """Whether eci_sem is computed too (a matrix of the encoder's dimension squared for each kind of origin)."""


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
    scorers: dict[str, AnyScorer]
    filters: dict[str, AnyFilter] = {}
    select: AnySelector
    eci: ECI
    exports: dict[str, AnyExport] = {}
    budget: Cap = Cap()
    engine: AnyEngine = Local()
    output: Path
    cache: Path | None = None


SECTIONS: dict[str, type[BaseModel]] = {"eci": ECI, "budget": Cap}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as read; ``source`` holds the file's bytes."""

    path: Path
    source: bytes
    plan: Plan
    output: Path
    pipeline: Pipeline
    store: Folder
    cap: Cap

    @classmethod
    def read(cls, path: Path) -> Job:
        """A job from its YAML file; paths in it are relative to the current folder.

        Raises `JobError` with file, line and key for everything that is wrong with the document.
        """
        source = documents.source(path)
        raw, lines = documents.parse(source, path)
        if not isinstance(raw, dict):
            raise JobError(f"{path}: a job is a mapping of keys, this is a {type(raw).__name__}; see `hardneg schema`")

        def refuse_first(problems: Iterator[tuple[tuple[str, ...], str]]) -> None:
            for place, problem in problems:
                raise JobError(f"{path}:{_line(place, lines)}: {'.'.join(map(str, place))}: {problem}")

        refuse_first(_wrong_controls(raw))
        controls, cleaned = _without_controls({k: v for k, v in raw.items() if v is not None or k not in OPTIONAL})
        refuse_first(_resolve_contexts(cleaned))
        try:
            document = Document.model_validate(cleaned)
        except ValidationError as error:
            raise JobError("\n".join(_messages(error, path, lines))) from error
        plan = Plan(
            reader=document.data,
            generators=document.generators,
            scorers=document.scorers,
            filters=document.filters,
            selector=document.select,
            target=document.eci.scorer,
            at=document.eci.at,
            sem=document.eci.sem,
            controls=controls,
            exports=document.exports,
        )
        refuse_first(_contradictions(plan))
        refuse_first(_without_prices(plan, document.budget))
        store = Folder(document.output)
        pipeline = Pipeline(plan, store, Cache(document.cache or default_cache()), document.engine)
        return cls(path, source, plan, document.output, pipeline, store, document.budget)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The run's folder, made and claimed for this job, with other runs kept out; the budget is in force."""
        claim = self._claim()
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise JobError(f"{self.output}: cannot be made ({error}); choose another `output`") from error
        with self.store.locked(), limited(Budget(self.cap.max_tokens, self.cap.max_cost)):
            self._take(claim)
            yield

    def run(self) -> Result:
        """Runs the job, or goes on with it, and writes everything into its folder."""
        begin = time.monotonic()
        with self.opened():
            with replacing(self.output / "job.yaml") as file:
                file.write_bytes(self.source)
            result = self.pipeline.run()
            exports = self._export(result)
            report = result.report | {"exports": exports}
            empty = [f"`{name}`" for name, summary in exports.items() if summary["counts"].get("rows") == 0]
            if empty:
                report["warnings"] = [
                    *report["warnings"],
                    f"nothing was left to write for the export {', '.join(empty)}",
                ]
            write_json(self.output / "report.json", report)
            for name, summary in exports.items():
                self._card(name, summary, report)
            write_json(self.output / "manifest.json", self._manifest(result, exports, time.monotonic() - begin))
        return result

    def _card(self, name: str, summary: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        path = self.output / "exports" / name / "README.md"
        earlier = path.read_text(encoding="utf-8") if path.exists() else ""
        source = self.source.decode("utf-8", "replace")
        text = card(name, summary, report, job=source, version=_version("hardneg") or "", earlier=earlier)
        if text != earlier:
            with replacing(path) as file:
                file.write_text(text, encoding="utf-8")

    def finished(self) -> Result:
        """The result of a job that has been run. Computes nothing; raises `JobError` when there is something to do."""
        missing = [name for name, state, _ in self.state() if state != "cached" and not name.startswith("export.")]
        if missing:
            raise JobError(
                f"{self.path}: has not been run to the end ({', '.join(missing)}); run `hardneg run {self.path}`"
            )
        return self.pipeline.run()

    def _claim(self) -> dict[str, Any]:
        """What the run folder is claimed for: the kind of data and where it lies. Says what is missing, before the
        folder is touched.
        """
        reader = self.plan.reader
        files = [str(file.resolve()) for file in reader.files()]
        return {"data": kinds.kind_of(reader), "files": files or [str(getattr(reader, "path", ""))]}

    def _take(self, claim: dict[str, Any]) -> None:
        """Refuses a folder that is another job's, or that holds files and is no run's at all."""
        file = self.output / "claim.json"
        if not file.exists():
            if any(not other.name.startswith(".") for other in self.output.iterdir()):
                raise JobError(
                    f"{self.output}: holds files and is not the folder of a run; choose another `output`, or empty it"
                )
            write_json(file, claim)
        elif (other := read_json(file)) != claim:
            raise JobError(
                f"{self.output}: is the folder of another job, on other data ({', '.join(other.get('files', []))}); "
                "choose another `output`, or delete that folder"
            )

    def _export(self, result: Result) -> dict[str, Any]:
        out: dict[str, Any] = {}
        batches = result.batches.relabelled()
        for name, export in self.plan.exports.items():
            stage = result.stages.export[name]
            folder = self.output / "exports" / name
            mark = folder / ".fingerprint"
            summary = self.store.summary(stage)
            whole = summary is not None and all((folder / file).is_file() for file in summary["files"])
            if summary is None or not whole or not mark.exists() or mark.read_text() != stage.fingerprint:
                result.ran.append(stage.name)
                unfinished = folder.with_name(f".{name}{UNFINISHED}")
                shutil.rmtree(unfinished, ignore_errors=True)
                try:
                    unfinished.mkdir(parents=True)
                    counts = export.write(batches, unfinished)
                    if not getattr(export, "provenance", False):
                        provenance.write(batches, unfinished)
                    files = {
                        file.relative_to(unfinished).as_posix(): {
                            "bytes": file.stat().st_size,
                            "sha256": file_hash(file),
                        }
                        for file in sorted(unfinished.rglob("*"))
                        if file.is_file()
                    }
                    (unfinished / ".fingerprint").write_text(stage.fingerprint)
                    for file in unfinished.rglob("*"):
                        if file.is_file():
                            sync(file)
                    if (folder / "README.md").exists():  # somebody may have filled in the licence
                        shutil.copy(folder / "README.md", unfinished)
                    shutil.rmtree(folder, ignore_errors=True)
                    unfinished.rename(folder)
                except OSError as error:
                    raise StoreError(
                        f"{folder}: cannot be written ({error.strerror or error}); run again to go on"
                    ) from error
                summary = {"folder": f"exports/{name}", "counts": counts, "files": files}
                self.store.complete(stage, summary)
            out[name] = summary
        return out

    def _manifest(self, result: Result, exports: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        stages = {
            stage.name: {"fingerprint": stage.fingerprint, "seconds": (self.store.summary(stage) or {}).get("seconds")}
            for stage in result.stages
        }
        return {
            "versions": {name: _version(name) for name in PACKAGES},
            "job": {"sha256": hashlib.sha256(self.source).hexdigest()},
            "corpus": result.corpus.fingerprint,
            "stages": stages,
            "ran": result.ran,
            "exports": {name: summary["files"] for name, summary in exports.items()},
            "seconds": round(seconds, 3),
        }

    def state(self) -> Iterator[tuple[str, str, str]]:
        """For each stage its name, ``cached`` or ``to do``, and what made it so. Loads no model, computes nothing."""
        stages = self.pipeline.stages()
        for stage in stages:
            if (summary := self.store.summary(stage)) is not None:
                yield stage.name, "cached", f"{summary['shards']} shards" if "shards" in summary else ""
                continue
            finished = self.store.shards(stage)
            if finished:
                yield stage.name, "to do", f"{finished} shards are there, the rest is to do"
            elif (earlier := self.store.latest(stage.name, stage)) is not None:
                yield (
                    stage.name,
                    "to do",
                    "invalidated by " + "; ".join(stage.changed_since(earlier) or ["nothing that shows"]),
                )
            else:
                yield stage.name, "to do", "never run"


def schema() -> Any:
    """The JSON schema of a job, for editors."""
    document = kinds.with_references(Document.model_json_schema())

    def with_control(group: str, options: dict[str, Any]) -> dict[str, Any]:
        if group == "generators":
            options["properties"]["control"] = {
                "type": "boolean",
                "default": False,
                "description": "scored and reported beside the others, never trained on",
            }
        return options

    document["$defs"] = document.get("$defs", {}) | kinds.json_schema(with_control)
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return document


def _without_controls(raw: dict[str, Any]) -> tuple[frozenset[str], dict[str, Any]]:
    """The names of generators with ``control: true``, and the document without that key: a part does not know it."""
    generators = raw.get("generators")
    if not isinstance(generators, dict):
        return frozenset(), raw
    controls = frozenset(
        name for name, part in generators.items() if isinstance(part, dict) and part.get("control") is True
    )
    cleaned = {
        name: {key: value for key, value in part.items() if key != "control"} if isinstance(part, dict) else part
        for name, part in generators.items()
    }
    return controls, raw | {"generators": cleaned}


def _wrong_controls(raw: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Generators whose `control` is neither true nor false."""
    generators = raw.get("generators")
    for name, part in generators.items() if isinstance(generators, dict) else ():
        if isinstance(part, dict) and not isinstance(part.get("control", False), bool):
            yield ("generators", str(name), "control"), f"`control` must be true or false, not {part['control']!r}"


def _resolve_contexts(document: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Puts the generator itself where another's ``context`` is its name; yields names that nothing has."""
    generators = document.get("generators")
    generators = generators if isinstance(generators, dict) else {}
    named = {
        name: part["context"]
        for name, part in generators.items()
        if isinstance(part, dict) and isinstance(part.get("context"), str)
    }
    for name in named:
        chain = [name]
        while (last := chain[-1]) in named:
            wanted, place = named[last], ("generators", str(last), "context")
            if wanted not in generators or wanted == last:
                others = [other for other in generators if other != last]
                hint = kinds.did_you_mean(wanted, others)
                yield place, f"no other generator is called `{wanted}`{hint}; there are: {kinds.listed(others)}"
                return
            if wanted in chain:
                yield place, f"goes in a circle: {' → '.join([*chain, wanted])}"
                return
            chain.append(wanted)
    for name, wanted in named.items():
        generators[name]["context"] = generators[wanted]


def _without_prices(plan: Plan, cap: Cap) -> Iterator[tuple[tuple[str, ...], str]]:
    """Clients whose answers cost nobody knows what, where the budget is in money."""
    for client in clients_of([*plan.generators.values(), *plan.scorers.values()]):
        if cap.max_cost is not None and client.prices is None:
            yield (
                ("budget", "max_cost"),
                f"the client of model `{getattr(client, 'model', client)}` has no `prices`; give them, per million "
                "tokens: prices: {input: 0.1, output: 0.4}",
            )


def _contradictions(plan: Plan) -> Iterator[tuple[tuple[str, ...], str]]:
    """Names that nothing defines, and plans that cannot give a result: the place and the problem."""
    for group, names in (
        ("generators", plan.generators),
        ("scorers", plan.scorers),
        ("filters", plan.filters),
        ("exports", plan.exports),
    ):
        for name in names:
            if not NAME.fullmatch(name):
                yield (group, name), "a name is made of letters, digits, `_` and `-`"
    if not set(plan.generators) - plan.controls:
        yield ("generators",), "there is no generator that is not a control; add one"
    if "final" in plan.generators:
        yield ("generators", "final"), "`final` is the name of the final set in the report; choose another"
    for control in plan.controls - set(plan.generators):
        yield ("generators", control), "is not a generator"
    users: list[tuple[tuple[str, ...], object]] = [(("filters", name), part) for name, part in plan.filters.items()]
    users += [(("exports", name), part) for name, part in plan.exports.items()] + [(("select",), plan.selector)]
    needed = [((*place, "scorer"), getattr(part, "scorer", None)) for place, part in users]
    for number, name in enumerate(plan.scorers):
        wanted = getattr(plan.scorers[name], "scorer", None)
        if wanted is not None and wanted not in list(plan.scorers)[:number]:
            hint = "it must come before this one" if wanted in plan.scorers else "there is none of that name"
            yield ("scorers", name), f"looks at the scorer `{wanted}`: {hint}"
    for place, scorer in [*needed, (("eci", "scorer"), plan.target)]:
        if scorer is not None and scorer not in plan.scorers:
            hint = kinds.did_you_mean(scorer, plan.scorers)
            yield (
                place,
                f"no scorer is called `{scorer}`{hint}; the job's scorers are: {kinds.listed(plan.scorers) or 'none'}",
            )
    for name, part in plan.exports.items():
        if (getattr(part, "negatives", None) or 0) > plan.selector.per_query:
            yield (
                ("exports", name, "negatives"),
                f"more than the {plan.selector.per_query} that `select.per_query` gives",
            )
    for name in getattr(plan.selector, "quota", {}):
        if name not in plan.generators or name in plan.controls:
            trained = [generator for generator in plan.generators if generator not in plan.controls]
            yield (
                ("select", "quota", name),
                f"no generator to train on is called `{name}`; there are: {kinds.listed(trained)}",
            )


def _messages(error: ValidationError, path: Path, lines: Mapping[documents.Place, int]) -> Iterator[str]:
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
        elif detail["type"] not in ("part", "unknown_key", "value_error"):
            problem = f"{problem}, found {detail['input']!r:.60}"
        yield f"{path}:{_line(place, lines)}: {'.'.join(map(str, place))}: {problem}"


def _line(place: Sequence[str | int], lines: Mapping[documents.Place, int]) -> int:
    """The line of a key, or of the nearest key around it."""
    for end in range(len(place), -1, -1):
        if tuple(place[:end]) in lines:
            return lines[tuple(place[:end])]
    return 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
