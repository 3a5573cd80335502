"""The commands. Results go to stdout, progress and log to stderr; exit status 0, 1 (failed) or 2 (change something)."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from hardneg.errors import HardnegError, JobError, StoreError

EPILOG = """\
A first job:

  data: {kind: beir, path: data/scifact, split: train}
  generators:
    lexical: {kind: bm25, depth: 50}
    easy:    {kind: random, depth: 50, control: true}
  scorers:
    target:  {kind: bi_encoder, encoder: {kind: sentence_transformers, model: sentence-transformers/all-MiniLM-L6-v2}}
  filters:
    safe:    {kind: eci_safety, scorer: target, margin: 0.05}
  select:    {kind: top, scorer: target, per_query: 7}
  eci:       {scorer: target}
  exports:
    n_tuples: {kind: sentence_transformers, format: n-tuple}
  output: runs/scifact

  hardneg check job.yaml && hardneg run job.yaml
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="hardneg",
        description="Makes hard negatives for dense retrievers and proves them safe before anyone trains.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and stop")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, text: str, *, machine: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if machine:
            sub.add_argument("--json", action="store_true", help="print JSON for a program")
        return sub

    run = command("run", "Run a job, or go on with it: what is finished is not computed again.")
    run.add_argument("job", type=Path, help="the job's YAML file")
    check = command(
        "check", "Validate a job and say, stage by stage, what is cached and what is to do. Loads no model."
    )
    check.add_argument("job", type=Path, help="the job's YAML file")
    forecast = command(
        "estimate", "Requests, tokens and cost of a job's language models, told from a sample before anything is spent."
    )
    forecast.add_argument("job", type=Path, help="the job's YAML file")
    forecast.add_argument(
        "--ask",
        type=int,
        default=0,
        metavar="N",
        help="really ask N questions, at their price, and tell the rest from them; the answers are kept for the job",
    )
    score = command("score", "eci_v1 of a training file that you have, in any format that the generator `file` reads.")
    score.add_argument("file", type=Path, help="JSONL (.gz, .zst), Parquet, or a folder saved by `datasets`")
    score.add_argument(
        "--model", required=True, help="the encoder that will be trained: a folder, or a name on the hub"
    )
    score.add_argument("--query-prompt", help="what the model wants before a query")
    score.add_argument("--passage-prompt", help="what the model wants before a passage")
    score.add_argument("--margin", type=float, help="also say what a safety margin would leave")
    compare = command("compare", "Rank the sources, their unions and the final sets of finished runs by eci_v1.")
    compare.add_argument("runs", nargs="+", type=Path, help="output folders of jobs")
    compare.add_argument(
        "--format", choices=("table", "json", "markdown", "csv"), default="table", help="how to print it (table)"
    )
    tune = command(
        "tune",
        "What every threshold of a filter would leave, from the scores and embeddings that a finished run has stored.",
    )
    tune.add_argument("job", type=Path, help="the job's YAML file")
    tune.add_argument("--filter", help="which `eci_safety` filter; needed where the job has several")
    wish = tune.add_mutually_exclusive_group()
    wish.add_argument("--survival", type=float, metavar="SHARE", help="suggest the threshold that keeps this share")
    wish.add_argument(
        "--false-negatives",
        type=float,
        metavar="SHARE",
        help="suggest the loosest threshold whose kept candidates are relevant at most so often",
    )
    tune.add_argument("--qrels", type=Path, help="BEIR judgments, to count false negatives")
    tune.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves into an .svg or .png")
    dropped = command("dropped", "Show refused candidates with their reasons, the clearest cases first.")
    dropped.add_argument("job", type=Path, help="the job's YAML file")
    dropped.add_argument("-n", type=int, default=10, help="how many (10)")
    dropped.add_argument("--filter", help="only those that this filter refused")
    dropped.add_argument(
        "--qrels", type=Path, help="BEIR judgments: only candidates that they call relevant, and how many were refused"
    )
    push = command("push", "Upload an export, with its data card, to a hub.")
    push.add_argument("job", type=Path, help="the job's YAML file")
    push.add_argument("export", help="the export's name in the job")
    push.add_argument("--repo", required=True, help="the data set's name on the hub: user/name")
    push.add_argument("--private", action="store_true", help="make a private one")
    push.add_argument("--dry-run", action="store_true", help="say what would be uploaded, and upload nothing")
    known = command("kinds", "List every kind of every part, built in or from a plug-in, with its fields.")
    known.add_argument("group", nargs="?", help="only this group, for example generators")
    command("schema", "Print the JSON schema of a job, so that an editor completes the YAML.", machine=False)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    top = parser()
    options = top.parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(version("hardneg"))
        return 0
    if options.command is None:
        top.print_help()
        return 2
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with _bars():
            COMMANDS[options.command](options)
    except HardnegError as error:
        for line in str(error).splitlines():
            print(f"hardneg: {line}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt as stop:
        print("hardneg: stopped; the same command goes on where it was", file=sys.stderr)
        return 143 if stop.args == (signal.SIGTERM,) else 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return 0


def _terminate(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.SIGTERM)


def _run(options: argparse.Namespace) -> None:
    from hardneg.job.job import Job

    job = Job.read(options.job)
    result = job.run()
    report = json.loads((job.output / "report.json").read_text(encoding="utf-8"))
    if options.json:
        _print_json(report)
        return
    from hardneg.report import tables

    console = _console()
    console.print(tables.summary(report))
    for name, export in report["exports"].items():
        counts = ", ".join(f"{count:,} {what}" for what, count in export["counts"].items())
        console.print(f"{name}: {job.output / export['folder']} ({counts})", markup=False)
    console.print(f"report: {job.output / 'report.json'}", markup=False)
    computed = ", ".join(result.ran) or "nothing: everything was there"
    print(f"computed: {computed}", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    from rich.table import Table
    from rich.text import Text

    from hardneg.job.job import Job

    job = Job.read(options.job)
    state = list(job.state())
    if options.json:
        _print_json([{"stage": name, "state": what, "why": why} for name, what, why in state])
        return
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "state", "why"):
        table.add_column(column)
    for name, what, why in state:
        table.add_row(name, what, Text(why), style="green" if what == "cached" else None)
    console = _console()
    console.print(table)
    to_do = sum(what != "cached" for _, what, _ in state)
    console.print(f"{options.job} is valid; {to_do} of {len(state)} stages are to do", markup=False)


def _estimate(options: argparse.Namespace) -> None:
    from rich.table import Table
    from rich.text import Text

    from hardneg.data.chat import Usage
    from hardneg.job.job import Job
    from hardneg.pipeline.estimate import estimate

    if options.ask < 0:
        raise JobError(f"--ask must be at least 0, not {options.ask!r}")
    job = Job.read(options.job)
    with job.opened():
        found = estimate(job.pipeline, asked=options.ask)
    total = sum((forecast.usage for forecast in found), start=Usage())
    if options.json:
        _print_json({"stages": [forecast.row() for forecast in found], "tokens": total.tokens, "cost": total.cost})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "requests", "tokens read", "tokens written", "cost", "told from"):
        table.add_column(column, justify="left" if column in ("stage", "told from") else "right")
    for forecast in found:
        used, more = forecast.usage, f"; up to {forecast.rounds} times more in rounds" if forecast.rounds else ""
        numbers = [f"{n:,}" for n in (used.requests, used.prompt_tokens, used.completion_tokens)]
        table.add_row(forecast.stage, *numbers, f"{used.cost:,.2f}", Text(forecast.basis + more))
    console = _console()
    console.print(table)
    console.print(
        f"together {total.tokens:,} tokens, {total.cost:,.2f} in money"
        if found
        else f"{options.job} asks no language model",
        markup=False,
    )


def _score(options: argparse.Namespace) -> None:
    from hardneg.cache.folders import Cache, default_cache
    from hardneg.engines.local import Local
    from hardneg.filters.eci_safety import ECISafety
    from hardneg.generators.file import File
    from hardneg.models.sentence_transformers import Encoder
    from hardneg.pipeline.pipeline import Pipeline, Plan
    from hardneg.pipeline.store import Folder
    from hardneg.readers.training_file import TrainingFile
    from hardneg.report import tables
    from hardneg.scorers.bi_encoder import BiEncoder
    from hardneg.selectors.top import Top

    encoder = Encoder(model=options.model, query_prompt=options.query_prompt, passage_prompt=options.passage_prompt)
    plan = Plan(
        reader=TrainingFile(path=options.file),
        generators={"file": File(path=options.file)},
        scorers={"target": BiEncoder(encoder=encoder)},
        filters={} if options.margin is None else {"safe": ECISafety(scorer="target", margin=options.margin)},
        selector=Top(scorer="target", per_query=1_000_000),
        target="target",
        at=(1,),
    )
    with tempfile.TemporaryDirectory(prefix="hardneg-") as folder:
        report = Pipeline(plan, Folder(Path(folder)), Cache(default_cache()), Local()).run().report
    if options.json:
        _print_json(report)
    else:
        del report["sets"]["final"]
        _console().print(tables.sets(report))


def _compare(options: argparse.Namespace) -> None:
    from hardneg.pipeline.store import read_json
    from hardneg.report import comparison

    for run in options.runs:
        if not (run / "report.json").is_file():
            raise JobError(f"{run}: there is no report.json; name the `output` folder of a finished run")
    reports = {str(run): read_json(run / "report.json") for run in options.runs}
    for run, report in reports.items():
        if "differences" not in report:
            raise JobError(f"{run}/report.json is from an older version; run that job again")
    found = comparison.rows(reports)
    notes = {run: [*report["notes"]] for run, report in reports.items()}
    unpaired = comparison.overlaps(found)
    if options.json or options.format == "json":
        warnings = {run: report["warnings"] for run, report in reports.items()}
        _print_json({"rows": found, "notes": notes, "between_runs": unpaired, "warnings": warnings})
    elif options.format == "csv":
        print(comparison.comma_separated(found), end="")
    elif options.format == "markdown":
        print(comparison.markdown(found))
        remarks = [remark for run, report in reports.items() for remark in (*report["warnings"], *notes[run])]
        print("\n" + "\n".join(f"- {remark}" for remark in (*remarks, *unpaired)))
    else:
        console = _console()
        console.print(comparison.table(found))
        for run, report in reports.items():
            label = f" ({run})" if len(reports) > 1 else ""
            for warning in report["warnings"]:
                console.print(f"warning{label}: {warning}", style="yellow", markup=False)
            for note in notes[run]:
                console.print(f"note{label}: {note}", markup=False)
        for note in unpaired:
            console.print(f"note: {note}", markup=False)


def _grades(path: Path | None) -> dict[str, dict[str, int]] | None:
    """BEIR judgments by query and passage."""
    from hardneg.files.text_lines import existing
    from hardneg.readers.beir import judgments

    if path is None:
        return None
    grades: dict[str, dict[str, int]] = {}
    for _, query, passage, grade in judgments(existing(path)):
        grades.setdefault(query, {})[passage] = grade
    return grades


def _tune(options: argparse.Namespace) -> None:
    from hardneg.filters.eci_safety import ECISafety
    from hardneg.job.job import Job
    from hardneg.kinds import listed
    from hardneg.report import tuning

    for name in ("survival", "false_negatives"):
        share = getattr(options, name)
        if share is not None and not 0 < share < 1:
            raise JobError(f"--{name.replace('_', '-')} must be between 0 and 1, not {share!r}")
    job = Job.read(options.job)
    known = [name for name, judge in job.plan.filters.items() if isinstance(judge, ECISafety)]
    if options.filter not in known and (options.filter is not None or len(known) != 1):
        raise JobError(
            f"name one filter of kind `eci_safety` with --filter; {options.job} has: {listed(known) or 'none'}"
        )
    name = options.filter or known[0]
    relevant = _grades(options.qrels)
    result = job.finished()
    judge = job.pipeline.learnt(name, result)
    if options.false_negatives is not None and relevant is None and judge.rule != "calibrated":
        raise JobError(
            f"--false-negatives needs judgments (--qrels), or a filter with `calibrated`; `{name}` has neither"
        )
    found = tuning.curves(
        result.batches,
        judge,
        name,
        job.plan.target,
        count=len(result.batches),
        encoder=job.plan.target_encoder if job.plan.sem else None,
        relevant=relevant,
        wanted_survival=options.survival,
    )
    if options.plot is not None:
        tuning.plot(found, options.plot)
    suggestion = None
    for wish in ("survival", "false_negatives"):
        if getattr(options, wish) is not None:
            suggestion = found.suggest(wish, getattr(options, wish))
    if options.json:
        _print_json(
            {
                "filter": name,
                "rule": found.rule,
                "rows": found.rows(),
                "suggestion": suggestion,
                "level_shift": found.shift,
            }
        )
        return
    console = _console()
    console.print(tuning.table(found))
    if suggestion is not None:
        wish = "survival" if options.survival is not None else "false_negatives"
        low, high = suggestion["interval"]
        basis = "" if wish == "survival" or relevant is not None else ", by the scorer's own probabilities"
        console.print(
            f"suggestion: {name}: {found.rule}: {suggestion['threshold']:.6g} gives {wish.replace('_', ' ')} of "
            f"{suggestion[wish]:.2%}{basis} (95 % interval {low:.2%} to {high:.2%}); "
            f"it holds in {suggestion['sure']:.0%} of resamples of the queries",
            markup=False,
        )
    if found.shift is not None and hasattr(job.plan.scorers[judge.scorer], "level"):
        level: float = getattr(job.plan.scorers[judge.scorer], "level") + found.shift  # noqa: B009
        console.print(f"level: the judgments fit `level: {level:.2f}` in scorer `{judge.scorer}`", markup=False)
    if options.plot is not None:
        console.print(f"plot: {options.plot}", markup=False)


def _dropped(options: argparse.Namespace) -> None:
    from hardneg.job.job import Job
    from hardneg.report.dropped import caught, clearest

    batches = Job.read(options.job).finished().batches
    relevant = _grades(options.qrels)
    cases = clearest(batches, options.n, options.filter, relevant)
    if options.json:
        _print_json(cases)
        return
    console = _console()
    line: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
    if relevant is not None:
        false, refused_false, true, refused_true = caught(batches, relevant)
        console.print(
            f"judged relevant: {false:,} candidates, {refused_false:,} refused ({refused_false / max(false, 1):.0%}); "
            f"all others: {true:,}, {refused_true:,} refused ({refused_true / max(true, 1):.0%})",
        )
    for number, case in enumerate(cases, 1):
        console.print(f"{number}. query: {case['query']}", style="bold", markup=False, **line)
        console.print(f"   positive: {case['positive']}", markup=False, **line)
        console.print(f"   refused:  {case['negative']}", markup=False, **line)
        for name, reason in case["reasons"].items():
            console.print(f"   {name}: {reason}", markup=False, **line)


def _push(options: argparse.Namespace) -> None:
    from hardneg.job.job import Job
    from hardneg.kinds import did_you_mean, listed

    job = Job.read(options.job)
    if options.export not in job.plan.exports:
        hint = did_you_mean(options.export, job.plan.exports)
        raise JobError(f"no export is called `{options.export}`{hint}; there are: {listed(job.plan.exports) or 'none'}")
    folder = job.output / "exports" / options.export
    if not (folder / "README.md").is_file():
        raise JobError(f"{folder}: is not there yet; run `hardneg run {options.job}`")
    if (folder / ".fingerprint").read_text() != job.pipeline.stages().export[options.export].fingerprint:
        raise JobError(f"{folder}: is of an earlier state of the job; run `hardneg run {options.job}`")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    if "\nlicense: other\nlicense_name: to-be-filled-in\n" in (folder / "README.md").read_text(encoding="utf-8"):
        print(f"hardneg: {folder / 'README.md'} does not name a licence yet", file=sys.stderr)
    if not options.dry_run:
        from huggingface_hub import HfApi

        try:
            api = HfApi()
            api.create_repo(options.repo, repo_type="dataset", private=options.private, exist_ok=True)
            api.upload_folder(repo_id=options.repo, repo_type="dataset", folder_path=folder, ignore_patterns=[".*"])
        except Exception as error:
            raise StoreError(f"{options.repo}: cannot be uploaded ({error}); log in with `hf auth login`") from error
    listing = [{"file": file.relative_to(folder).as_posix(), "bytes": file.stat().st_size} for file in files]
    if options.json:
        _print_json({"repo": options.repo, "uploaded": not options.dry_run, "files": listing})
        return
    for entry in listing:
        print(f"{entry['bytes']:>14,}  {entry['file']}")
    print(f"{'would be uploaded' if options.dry_run else 'uploaded'} to {options.repo}")


def _kinds(options: argparse.Namespace) -> None:
    from rich.table import Table

    from hardneg import kinds

    groups = [options.group] if options.group else list(kinds.BUILT_IN)
    if options.group and options.group not in kinds.BUILT_IN:
        from hardneg.errors import PartError

        raise PartError(f"no group `{options.group}`; there are: {kinds.listed(kinds.BUILT_IN)}")
    found = {group: {kind: kinds.summary(group, kind) for kind in kinds.kinds(group)} for group in groups}
    if options.json:
        _print_json(found)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("group", "kind", "what", "fields"):
        table.add_column(column)
    for group, members in found.items():
        for kind, what in members.items():
            table.add_row(group, kind, what["what"], ", ".join(what["fields"]))
    _console().print(table)


def _schema(_options: argparse.Namespace) -> None:
    from hardneg.job.job import schema

    _print_json(schema())


COMMANDS = {
    "run": _run,
    "check": _check,
    "estimate": _estimate,
    "score": _score,
    "compare": _compare,
    "tune": _tune,
    "dropped": _dropped,
    "push": _push,
    "kinds": _kinds,
    "schema": _schema,
}


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=False)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _bars() -> AbstractContextManager[Any]:
    """Progress bars on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    from hardneg.cli.progress_bars import Bars

    return Bars()


if __name__ == "__main__":
    sys.exit(main())
