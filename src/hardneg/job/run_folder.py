"""A job in its folder: claimed, run, exported, with a report and a manifest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hardneg import kinds, progress
from hardneg.cache.folders import cache_at
from hardneg.data.corpus import Corpus
from hardneg.errors import HardnegError, JobError
from hardneg.exports import provenance
from hardneg.exports.rows import write_lines
from hardneg.files.durable import make_folder, publishing, remove, replacing
from hardneg.files.mirror import MARK, bring, bring_published, here, names, offer, offer_published, opened
from hardneg.files.text_lines import file_hash
from hardneg.job import shares
from hardneg.job.document import NONE, Cap, read
from hardneg.job.fetching import Fetching
from hardneg.job.published import published
from hardneg.job.report_page import PAGE, write_page
from hardneg.job.source import Source
from hardneg.llm.budget import Budget, limited
from hardneg.models.matrices import begun
from hardneg.pipeline.admission import nothing
from hardneg.pipeline.plan import Plan
from hardneg.pipeline.reading import bad_lines
from hardneg.pipeline.run import Pipeline, Result, Worked
from hardneg.pipeline.share import Share
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Folder, read_json, write_json
from hardneg.protocols import Encoder
from hardneg.report.card import card

BAD_LINES = "bad_lines.jsonl"
PACKAGES = ("hardneg", "numpy", "pyarrow", "bm25s", "PyStemmer", "sentence-transformers", "transformers", "torch")


@dataclass(frozen=True, slots=True)
class Job:
    """A job as read."""

    source: Source
    plan: Plan
    output: Path
    pipeline: Pipeline
    store: Folder
    cap: Cap
    fetching: Fetching
    published: str
    """What the data cards say of the job."""
    page: bool = True
    """Whether `report.html` is written."""

    @classmethod
    def read(cls, path: Path, overrides: Mapping[str, object] = NONE) -> Job:
        """A job from its YAML file, with other values at the dotted keys of ``overrides``.

        Raises `JobError` for everything that is wrong with it.
        """
        source, document, plan, fetching = read(path, overrides)
        cache = cache_at(document.cache)
        store = Folder.at(document.output, cache)
        pipeline = Pipeline(plan, store, cache, document.engine)
        return cls(
            source, plan, store.root, pipeline, store, document.budget, fetching, published(document), document.report
        )

    @property
    def path(self) -> Path:
        """The job's file."""
        return self.source.path

    @property
    def place(self) -> str:
        """Where the run lies, as the job says: a folder, or a URL of which ``output`` is this machine's copy."""
        return self.store.url or str(self.output)

    @contextmanager
    def opened(self, share: Share | None = None) -> Iterator[Budget]:
        """The run's folder, made and claimed for this job, with other runs kept out and the budget in force.

        With a share, other shares of the job are let in.
        """
        claim = self._claim()
        try:
            make_folder(self.output)
        except (OSError, ValueError) as error:
            raise JobError(f"{self.place}: cannot be made ({error}); choose another `output`") from error
        try:
            opened(self.output, shared=share is not None)
        except HardnegError as error:
            error.args = (f"{self.path}: output: {error}",)
            raise
        purse = Budget(self.cap.max_tokens, self.cap.max_cost)
        with self.store.locked(share, partial(self._take, claim)), limited(purse):
            yield purse

    def work(self, share: Share) -> Worked:
        """Does a share of the job, as far as that can be done now. Other processes may have theirs at the same time.

        Raises `JobError` for a stage that no share works on.
        """
        shares.check_stage(self.source, self.pipeline.stages, share)
        with self.opened(share):
            self._keep_source()
            worked = replace(self.pipeline, share=share).work()
        if share.stage is not None:
            shares.refuse_to_wait(self.source, worked, share)
        return worked

    def merge(self) -> Result:
        """`run`, for what shares of the job have left: all that is small, or needs the whole job first.

        Raises `HardnegError` where a share has not done its part.
        """
        return self.run(first=partial(shares.refuse_unfinished, self.source, self.pipeline, self.output))

    def _keep_source(self) -> None:
        with replacing(self.output / "job.yaml") as file:
            file.write_bytes(self.source.copy_in(self.output, alone=self.store.url is not None))

    def run(self, first: Callable[[], None] = nothing) -> Result:
        """Runs the job, or goes on with it, and writes everything into its folder. ``first``: done once the folder is
        this run's.
        """
        begin = time.monotonic()
        with self.opened() as purse:
            first()
            self._keep_source()
            self.pipeline.ask_again()
            result = self.pipeline.run()
            self._list_bad_lines(result)
            self._write_provenance(result)
            exports = {name: self._export(name, result) for name in self.plan.exports}
            report = result.report | {"exports": exports}
            empty = [f"`{name}`" for name, summary in exports.items() if summary["counts"].get("rows") == 0]
            problem = f"nothing was left to write for the export {', '.join(empty)}"
            if empty:
                report["warnings"] = [*report["warnings"], problem]
            write_json(self.output / "report.json", report)
            for name, summary in exports.items():
                self._write_card(name, summary, report)
            manifest = self._manifest(result, exports, time.monotonic() - begin)
            if purse.spent.requests:
                manifest["budget"] = purse.line()
            write_json(self.output / "manifest.json", manifest)
            write_page([self.output], self.output / PAGE, wanted=self.page)
        if empty and len(empty) == len(exports):
            raise HardnegError(f"{self.path}: {problem}; loosen a filter, raise `depth`, or add a generator")
        return result

    def finished(self) -> Result:
        """The result of a job that has been run. Computes nothing. Raises `JobError` when there is something to do."""
        opened(self.output)
        missing = [name for name, state, _ in self.state() if state != "cached" and not name.startswith("export.")]
        if missing:
            raise JobError(
                f"{self.path}: has not been run to the end (next: {missing[0]}; to do: {len(missing)}); "
                f"run `hardneg run {self.source.named}`"
            )
        return self.pipeline.run()

    def state(self) -> Iterator[tuple[str, str, str]]:
        """For each stage its name, ``cached``, ``begun`` or ``to do``, and what made it so.

        Loads no model and computes nothing.
        """
        unneeded, encoding = self._unneeded(), self._encoding()
        for stage in self._listed():
            if stage.name in unneeded:
                continue
            if (summary := self.store.summary(stage)) is not None:
                yield stage.name, "cached", f"{summary['shards']} shards" if "shards" in summary else ""
                continue
            finished = self.store.shards(stage)
            if finished:
                yield stage.name, "begun", f"{len(finished)} shards are there, the rest is to do"
            elif stage.name in encoding:
                yield stage.name, "begun", encoding[stage.name]
            elif (earlier := self.store.latest(stage.name, stage)) is not None:
                changes = stage.changed_since(earlier) or ["nothing that shows"]
                yield stage.name, "to do", "invalidated by " + "; ".join(changes)
            else:
                yield stage.name, "to do", "never run"

    def _listed(self) -> Iterator[Stage]:
        """The stages, in the first wave each after those of its parts, as long as these may be needed."""
        for stage in self.pipeline.stages:
            if stage in self.pipeline.stages.first.generate.values() and self.store.summary(stage) is None:
                yield from stage.parts
            yield stage

    def _encoding(self) -> dict[str, str]:
        """By stage: how far the encoding of its corpus came before it was stopped."""
        summary = self.store.summary(self.pipeline.stages.read)
        folder = self.pipeline.cache.find("corpora", summary["corpus"]) if summary is not None else None
        if folder is None:
            return {}
        corpus, first = Corpus(folder, self.pipeline.cache), self.pipeline.stages.first
        out: dict[str, str] = {}
        groups = (
            (self.plan.generators, first.generate),
            (self.plan.scorers, first.score),
            (self.plan.filters, first.filters),
        )
        for members, stages in groups:
            for name, part in members.items():
                encoders = [inner for inner in kinds.parts_in(part) if isinstance(inner, Encoder)]
                done = max((begun(encoder, corpus) for encoder in encoders), default=0)
                if done:
                    out[stages[name].name] = f"{done:,} of {len(corpus):,} passages are encoded"
        return out

    def _unneeded(self) -> set[str]:
        """The stages of deeper waves that no example needs, as far as that is known."""
        out: set[str] = set()
        empty = False
        for wave in self.pipeline.stages.waves[1:]:
            if empty:
                out.update(stage.name for stage in wave)
            elif (summary := self.store.summary(wave.examples)) is not None and not summary["in"]:
                empty = True
                out.update(stage.name for stage in wave if stage is not wave.examples)
        return out

    def _claim(self) -> dict[str, Any]:
        """What the run folder is claimed for: the kind of data and where it lies.

        Says what is missing before the folder is touched.
        """
        reader = self.plan.reader
        files = [self.fetching.origin(file) for file in reader.files()]
        return {"data": kinds.kind_of(reader), "files": files or [str(getattr(reader, "path", ""))]}

    def _take(self, claim: dict[str, Any]) -> None:
        """Refuses a folder that is another job's, or that holds files and is no run's at all."""
        file = self.output / "claim.json"
        if not here(file):
            if any(not name.startswith(".") for name in names(self.output)):
                raise JobError(
                    f"{self.place}: holds files and is not the folder of a run; choose another `output`, or empty it"
                )
            write_json(file, claim)
        elif (other := read_json(file)) != claim:
            raise JobError(
                f"{self.place}: is the folder of another job, on other data ({', '.join(other.get('files', []))}); "
                "choose another `output`, or delete that folder"
            )

    def _list_bad_lines(self, result: Result) -> None:
        """The lines of the data that cannot be used, with file, line and reason; no file where there are none."""
        path = self.output / BAD_LINES
        if not result.report["read"]["bad_lines"]:
            remove(path)
            return
        table = self.store.read(bad_lines(result.stages.read), 0)
        with replacing(path) as file:
            write_lines(file, table.to_pylist())

    def _write_provenance(self, result: Result) -> None:
        """Origins and scores of every chosen negative, once for all exports, and which examples are short."""
        stage, file, short = result.stages.provenance, self.output / provenance.FILE, self.output / provenance.SHORT
        known = {name: {"sha256": checksum} for name, checksum in (self.store.summary(stage) or {}).items()}
        bring(self.output, known.__contains__)
        if not known or changed_files(self.output, known):
            result.ran.append(stage.name)
            with progress.task(stage.name), replacing(file) as unfinished:
                provenance.write(result.batches.relabelled(), unfinished)
            with replacing(short) as unfinished:
                provenance.write_short(file, unfinished, self.plan.selector.per_query)
            self.store.complete(stage, {written.name: file_hash(written) for written in (file, short)})
        offer((file, short))

    def _export(self, name: str, result: Result) -> dict[str, Any]:
        """Writes one export unless it is there, whole. Returns its folder, its counts, and size and checksum of its
        files.
        """
        stage, folder = result.stages.export[name], self.output / "exports" / name
        mark = folder / MARK
        summary = self.store.summary(stage)
        bring_published(folder)
        if summary is not None and mark.exists() and mark.read_bytes() == stage.fingerprint.encode():
            if not (changed := changed_files(folder, summary["files"])):
                offer_published(folder)
                return summary
            progress.note(
                f"{folder}: {kinds.listed(changed)} changed since it was written; the export is written again"
            )
        result.ran.append(stage.name)
        with progress.task(stage.name), publishing(folder) as unfinished:
            counts = self.plan.exports[name].write(result.batches.relabelled(), unfinished)
            files = {
                file.relative_to(unfinished).as_posix(): {"bytes": file.stat().st_size, "sha256": file_hash(file)}
                for file in sorted(unfinished.rglob("*"))
                if file.is_file()
            }
            (unfinished / MARK).write_text(stage.fingerprint)
            if (folder / "README.md").exists():  # somebody may have filled in the licence
                (unfinished / "README.md").write_bytes((folder / "README.md").read_bytes())
        summary = {"folder": f"exports/{name}", "counts": counts, "files": files}
        self.store.complete(stage, summary)
        return summary

    def _write_card(self, name: str, summary: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        path = self.output / "exports" / name / "README.md"
        earlier = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        text = card(name, summary, report, job=self.published, version=_version("hardneg") or "", earlier=earlier)
        if text != earlier:
            with replacing(path) as file:
                file.write_text(text, encoding="utf-8")

    def _manifest(self, result: Result, exports: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        unneeded = self._unneeded()
        stages = {
            each.name: {"fingerprint": each.fingerprint}
            | {key: known.get(key) for key in ("seconds", "peak_memory")}
            | {key: known[key] for key in ("recall",) if key in known}
            for stage in result.stages
            if stage.name not in unneeded
            for each in (*stage.parts, stage)
            for known in [self.store.summary(each) or {}]
        }
        return {
            "versions": {name: _version(name) for name in PACKAGES},
            "job": {
                "sha256": hashlib.sha256(self.source.written).hexdigest(),
                "set": dict(self.source.overrides),
            },
            "corpus": result.corpus.fingerprint,
            "stages": stages,
            "ran": result.ran,
            "exports": {name: summary["files"] for name, summary in exports.items()},
            "seconds": round(seconds, 3),
        }


def changed_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The files of a folder that are missing or not what their ``sha256`` says."""
    return [
        name
        for name, entry in files.items()
        if not (folder / name).is_file() or file_hash(folder / name) != entry["sha256"]
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
