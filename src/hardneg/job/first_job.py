"""A first job for some data: the recommended one, with numbers that suit the size, as YAML that explains itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardneg.cache.folders import cache_at
from hardneg.cache.housekeeping import in_use
from hardneg.data.corpus import Corpus
from hardneg.data.passage_style import passage_style
from hardneg.errors import PartError
from hardneg.filters.eci_safety import DEFAULT
from hardneg.job.known_data import Known, known
from hardneg.job.yaml_editing import flow
from hardneg.kinds import Kind
from hardneg.library.eci_filter import FEWEST as RANKED
from hardneg.library.eci_filter import INSTEAD
from hardneg.models.bm25 import Settings
from hardneg.models.prompts import own_prompts
from hardneg.paths import relative_to
from hardneg.pipeline.reading import read
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Memory
from hardneg.report.probing import FEWEST as PROBED
from hardneg.report.visible import one_line

ENGLISH, OTHER = "BAAI/bge-small-en-v1.5", "intfloat/multilingual-e5-small"
"""The encoders of a job whose user names none, by the language of the passages."""
E5 = {"query": "query: ", "passage": "passage: "}
HINTS = {
    re.compile(r"(^|[/_-])e5-(?!.*instruct)", re.IGNORECASE): E5,
    re.compile(r"bge-(small|base|large)-en", re.IGNORECASE): {
        "query": "Represent this sentence for searching relevant passages: "
    },
}
"""Prompts that the cards of models ask for and their configurations may not have, by the model's name."""
CODES = (
    "ar:arabic ca:catalan da:danish de:german el:greek es:spanish eu:basque fi:finnish fr:french ga:irish hi:hindi "
    "hu:hungarian hy:armenian id:indonesian it:italian lt:lithuanian nb:norwegian ne:nepali nl:dutch no:norwegian "
    "pl:polish pt:portuguese ro:romanian ru:russian sr:serbian sv:swedish ta:tamil tr:turkish"
)
STEMMED = {code: name for code, _, name in (pair.partition(":") for pair in CODES.split())}
"""Snowball's names of languages, by ISO 639-1 code."""
BY_RANKS = (
    f"# refuses what is more than {DEFAULT:.0%} likely to be an answer; `hardneg tune` shows other thresholds",
    f"safe: {{kind: eci_safety, scorer: doubt, calibrated: {DEFAULT}}}",
)
BY_MARGIN = (
    f"# refuses what is nearly as near as the positive; from {RANKED:,} passages on this is better:",
    f"# safe: {{kind: eci_safety, scorer: doubt, calibrated: {DEFAULT}}}",
    f"safe: {{kind: eci_safety, scorer: target, margin: {INSTEAD}}}",
)


@dataclass(frozen=True, slots=True)
class First:
    """The text of a job's file, and what its user should know beside it, a line each."""

    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """What there is: passages, queries with a positive, what was left out by reason, the language's ISO 639-1 code."""

    passages: int
    queries: int
    skipped: Mapping[str, int]
    language: str | None

    def line(self) -> str:
        """In words."""
        language = f" in `{self.language}`" if self.language else ""
        return f"{self.passages:,} passages{language}, {self.queries:,} queries with a positive"

    @property
    def depth(self) -> int:
        """How many candidates of each generator: 50, in a small corpus a twentieth of it, in a large one 100."""
        most = 100 if self.passages > 1_000_000 else 50
        return max(1, min(most, max(10, self.passages // 20), self.passages - 1))

    @property
    def per_query(self) -> int:
        """How many negatives: 7, fewer where there are few candidates."""
        return min(7, max(1, self.depth // 5))


def first_job(path: Path, model: str | None) -> First:
    """The job for the data in ``path``, which is read whole, so that its mistakes show now.

    Paths stay as they are given, so the file belongs into the current folder. Raises `DataError` for data that no
    reader knows or can read, and `JobError` for a model folder that is not there.
    """
    found = known(path)
    prompts = None if model is None else own_prompts(model)
    size = _size(found)
    notes = [size.line(), *(f"left out, {reason}: {count:,}" for reason, count in size.skipped.items())]
    if model is None:
        model = ENGLISH if size.language in ("en", None) else OTHER
        prompts = own_prompts(model)
        notes.append(f"no --model was given, so the job names {model}: put the encoder there that you will train")
    encoder, hint = _encoder(model, prompts)
    return First(_text(path, found, size, encoder), (*notes, *hint))


def _size(found: Known) -> Size:
    """Counts everything. The corpus goes into the cache, where the job will look for it."""
    with relative_to(Path.cwd()):
        reader = Kind("readers").build(found.data)
    cache = cache_at()
    with in_use(cache):
        summary = read(reader, Stage("read", {}), Memory(), cache)
        language = passage_style(Corpus(cache.root / "corpora" / summary["corpus"], cache)).language
    return Size(summary["passages"], summary["examples"], summary["skipped"], language)


def _encoder(model: str, prompts: Mapping[Any, str] | None) -> tuple[list[str], list[str]]:
    """The lines of the encoder, and what its user should look at.

    ``prompts``: those of its own configuration, {} where that has none, None where it cannot be seen.
    """
    lines = ["kind: sentence_transformers", f"model: {flow(model)}"]
    if prompts:
        told = ", ".join(f"{role} {json.dumps(prompt)}" for role, prompt in prompts.items())
        return [*lines, f"# the prompts of its own configuration are used: {told}"], []
    wanted = next((own for pattern, own in HINTS.items() if pattern.search(model)), None)
    if wanted is None and prompts is not None:
        return lines, []  # most models want none
    why = "its configuration has none" if prompts is not None else "its configuration cannot be seen from here"
    when = "models of this name want them" if wanted else "if its card asks for them"
    hints = wanted or {"query": "…", "passage": "…"}
    lines += [f"# prompts, {when} ({why}):", *(f'# {role}_prompt: "{prompt}"' for role, prompt in hints.items())]
    return lines, [f"prompts of {model}: {why}; see the comment under it in the job"]


def _text(path: Path, found: Known, size: Size, encoder: list[str]) -> str:
    words = _words(size.language)
    further = "".join(f", {key}: {value}" for key, value in words.items())
    given = {"given": flow({"kind": "file", "path": str(found.given)})} if found.given else {}
    depth, probe = size.depth, str(size.queries >= PROBED).lower()
    lines = [
        f"# Written by `hardneg init {one_line(str(path))}`: {size.line()}.",
        "# `hardneg check` says what would run, `hardneg run` runs it, or goes on with it. Paths are relative to the",
        "# folder of this file. `hardneg kinds` lists every part with its fields.",
        "",
        *([f"# {one_line(found.remark)}"] if found.remark else []),
        f"data: {flow(found.data)}",
        "",
        "# Where candidates come from. The names are recorded as the origin of every negative.",
        "generators:",
        f"  lexical: {{kind: bm25, depth: {depth}{further}}}",
        "  semantic:",
        "    kind: dense",
        f"    depth: {depth}",
        "    # the encoder that you will train",
        "    encoder: &target",
        *(f"      {line}" for line in encoder),
        *(f"  {name}: {part}  # the negatives that the file has already" for name, part in given.items()),
        f"  easy: {flow({'kind': 'random', 'depth': depth})}",
        "# Scored and reported beside the others, never trained on.",
        "controls: [easy]",
        "",
        "scorers:",
        "  target: {kind: bi_encoder, encoder: *target}",
        "  # how likely a candidate is an answer that nobody labelled",
        f"  doubt: {{kind: false_negative, encoder: *target{further}}}",
        "",
        "filters:",
        "  repeats: {kind: duplicate, near: 0.95}",
        *(f"  {line}" for line in (BY_RANKS if size.passages >= RANKED else BY_MARGIN)),
        "",
        "# The hardest of those that are left.",
        f"select: {{kind: top, scorer: target, per_query: {size.per_query}}}",
        "",
        f"# The probe says which of the sets to train on, from {PROBED:,} queries on.",
        f"eci: {{scorer: target, probe: {probe}}}",
        "",
        "# Also flagembedding, tevatron, beir, jsonl and others.",
        "exports:",
        "  n_tuples: {kind: sentence_transformers, format: n-tuple}",
        "",
        f"output: {flow('runs/' + (_stem(path) or 'first'))}",
    ]
    return "\n".join(lines) + "\n"


def _words(language: str | None) -> dict[str, str]:
    """How words are made for BM25 where the language is not English: Snowball's stemmer and bm25s's list, if any."""
    if language in ("en", None):
        return {}
    name = STEMMED.get(language or "", "none")
    for words in ({"language": name, "stopwords": name}, {"language": name, "stopwords": "none"}):
        try:
            Settings(language=words["language"], stopwords=words["stopwords"]).tokens([""])
        except PartError:
            continue
        return words
    return {"language": "none", "stopwords": "none"}


def _stem(path: Path) -> str:
    """The data's name as the name of a folder."""
    return re.sub(r"[^\w-]+", "-", path.resolve().name.split(".")[0]).strip("-")
