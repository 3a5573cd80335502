"""What is wrong with a training file that somebody has, and the file without it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hardneg import progress
from hardneg.auditing import copies, kinds, lengths, other_rows, places, scores, texts
from hardneg.auditing.case import Case, Check, rows
from hardneg.auditing.cleaning import Cleaner
from hardneg.auditing.evaluation import EvaluationSet
from hardneg.auditing.facts import Facts, gather
from hardneg.auditing.finding import Finding
from hardneg.auditing.ledger import Ledger
from hardneg.auditing.removal import Short
from hardneg.auditing.rewriting import rewrite
from hardneg.auditing.shortcut import Shortcut
from hardneg.errors import PartError
from hardneg.files.bad_lines import BadLines
from hardneg.files.durable import publishing, replacing
from hardneg.files.text_lines import USUAL, Limits
from hardneg.filters.eci_safety import DEFAULT
from hardneg.library.audited import UnderModel, under_model
from hardneg.models.in_memory import as_encoder
from hardneg.pages.audit import audit_page
from hardneg.report.audit_warnings import warnings_of


def audit(
    file: str | Path,
    model: Any = None,
    *,
    against: Sequence[str | Path] = (),
    clean: str | Path | None = None,
    relabel: bool = False,
    output: str | Path | None = None,
    also: Collection[str] = (),
    keep: Collection[str] = (),
    short: Short = "repeat",
    calibrated: float = DEFAULT,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    batch_size: int = 32,
    limits: Limits = USUAL,
    cache: str | Path | None = None,
) -> dict[str, Any]:
    """What is wrong with a training file, as one document of plain values.

    ``file``: JSONL, CSV or TSV (``.gz``, ``.zst``), Parquet, or a folder saved by ``datasets``, in a format that the
    reader ``jsonl`` knows. ``model``, the encoder that will be trained, adds the estimated false negatives, those
    likelier than ``calibrated`` to be relevant, and ECI beside a random control. ``against``: BEIR folders that the
    file must share nothing with.

    ``clean`` writes the file once more without what is refused, in its format, and ``<clean>.removed.jsonl`` with what
    went and why. Rows of which nothing is refused stay byte by byte. ``also`` and ``keep`` name kinds of findings to
    refuse besides the usual ones, or not to refuse. ``relabel`` makes positives of negatives that are known positives
    of their query, where the format has room. ``short`` says what an n-tuple does that loses a negative: ``repeat``
    another, or ``drop`` the row. ``output``: a folder for ``audit.html``, ``audit.json`` and ``findings.jsonl``, every
    finding a line.

    Memory holds about 80 bytes a passage and 500 a refused finding. It holds no texts but the queries and answers of
    evaluation sets; of one without judgments all passages are answers. Raises `DataError` for a file of
    which no line can be read, and where something that is written would take the place of the input; `PartError` for
    options that make no sense.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "train.jsonl"
    >>> _ = path.write_text('{"query": "q", "pos": ["an answer"], "neg": ["An  answer", "other text"]}')
    >>> found = audit(path)["findings"]["same_as_positive"]
    >>> found["count"], found["cases"][0]["reason"]
    (1, 'equal to a positive of the row')
    """
    path = places.training_file(Path(file))
    refused = kinds.refused(also, keep)
    if short not in ("repeat", "drop"):
        raise PartError(f"`short` must be `repeat` or `drop`, not {short!r}")
    if relabel and clean is None:
        raise PartError("`relabel` is about the file that `clean` writes; give `clean` too")
    out, folder = (None if name is None else Path(name) for name in (clean, output))
    known_sets = [Path(name) for name in against]
    places.spared(path, out, folder, known_sets)
    encoder = None
    if model is not None:
        encoder = as_encoder(model, query_prompt=query_prompt, passage_prompt=passage_prompt, batch_size=batch_size)
    before, bad = places.state_of(path), BadLines("skip")
    facts = gather(path, limits, bad)
    sets = [EvaluationSet.read(name, limits) for name in known_sets]
    verdict = None
    if encoder is not None:
        verdict = under_model(path, facts, encoder, calibrated, limits, None if cache is None else Path(cache))
    if _fixed_width(path, limits) and short == "repeat" and "duplicate_negative" not in also:
        refused -= {"duplicate_negative"}  # another would be repeated in its place
    with ExitStack() as stack:
        write = None
        if folder is not None:
            write = stack.enter_context(places.documents(folder / "findings.jsonl"))
        ledger, shortcut = Ledger(refused, write), Shortcut()
        checks = [scores.check, texts.check, copies.check, *other_rows.checks(facts), lengths.check_of(facts)]
        checks += [known.check for known in sets]
        if verdict is not None:
            checks.append(_likely(facts, verdict, calibrated))
        _look(path, facts, limits, checks, ledger, shortcut)
        for error in bad:
            ledger.add(error.line or 0, [Finding("unreadable", "row", error.problem or str(error))])
        told = {"model"} if verdict else set[str]()
        report = _summary(path, facts, len(bad.found)) | {
            "findings": ledger.report(frozenset(told | ({"against"} if sets else set()))),
            "against": [known.shared(facts) for known in sets],
            "model": verdict
            and {"name": str(model) if isinstance(model, (str, Path)) else type(model).__name__}
            | {"calibrated": calibrated, "passages": len(verdict.corpus)}
            | verdict.report,
            "shortcut": shortcut.report(encoder, None if verdict is None else verdict.corpus),
            "clean": None,
        }
        places.unchanged(path, before)
        if out is not None:
            report["clean"] = _clean(path, out, ledger, facts, relabel, short, limits, before)
        report["warnings"] = warnings_of(report)
        if folder is not None:
            with replacing(folder / "audit.json") as temporary:
                text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
                temporary.write_text(text + "\n", encoding="utf-8")
            with replacing(folder / "audit.html") as temporary:
                temporary.write_bytes(audit_page(report))
    return report


def _look(
    path: Path, facts: Facts, limits: Limits, checks: Sequence[Check], ledger: Ledger, shortcut: Shortcut
) -> None:
    with progress.task("look at every row", len(facts.lines)) as bar:
        for number, (row, wrong) in enumerate(progress.counted(rows(path, limits, BadLines("skip")), bar)):
            if number >= len(facts.lines) or row.line != facts.lines[number]:
                raise places.changed(path)
            case = facts.case(number, row, wrong)
            ledger.add(row.line, [finding for check in checks for finding in check(case)], row)
            shortcut.add(case)


def _likely(facts: Facts, verdict: UnderModel, calibrated: float) -> Check:
    """The check that knows the probability of each negative. A known positive is no news."""
    told, known = facts.told(verdict.keys, verdict.probabilities), facts.known_positives()

    def check(case: Case) -> Iterator[Finding]:
        for number, text, _ in case.negatives:
            if (p := float(told[number])) > calibrated and not known[number]:
                yield Finding("likely_answer", "negative", f"relevant with a probability of {p:.0%}", text, p)

    return check


def _clean(
    path: Path,
    out: Path,
    ledger: Ledger,
    facts: Facts,
    relabel: bool,
    short: Short,
    limits: Limits,
    before: places.State,
) -> dict[str, Any]:
    removed = places.removed_of(out)
    temporary = publishing(out) if path.is_dir() else replacing(out)
    with temporary as place, places.documents(removed) as write:
        cleaner = Cleaner(path, ledger.verdicts, relabel, short, write)
        rewrite(path, place, ledger.verdicts, cleaner, limits)
        places.unchanged(path, before)
    rows_left = len(facts.lines) + ledger.counts["unreadable"] - cleaner.counts["rows_removed"]
    return {"file": str(out), "removed": str(removed), "rows": rows_left} | cleaner.counts


def _summary(path: Path, facts: Facts, unreadable: int) -> dict[str, Any]:
    sizes, rows_with = np.unique(facts.counts(), return_counts=True)
    return {
        "file": str(path),
        "rows": len(facts.lines) + unreadable,
        "queries": len(np.unique(facts.queries)),
        "positives": int((~facts.negative).sum()),
        "negatives": int(facts.negative.sum()),
        "passages": len(np.unique(facts.passages)),
        "negatives_per_row": dict(zip(map(str, sizes.tolist()), rows_with.tolist(), strict=True)),
        "limits": {
            "near": kinds.NEAR,
            "fewest_letters": kinds.FEWEST_LETTERS,
            "most_characters": kinds.MOST_CHARACTERS,
            "run": kinds.RUN,
            "contained": kinds.CONTAINED,
        },
    }


def _fixed_width(path: Path, limits: Limits) -> bool:
    """Whether each negative has a column of its own, so that rows cannot lose one."""
    row = next((row for row, _ in rows(path, limits, BadLines("skip"))), None)
    return row is not None and bool(row.negatives) and all(text.place is None for text in row.negatives)
