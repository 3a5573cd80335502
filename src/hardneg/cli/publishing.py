"""The command that uploads an export: push."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hardneg.cli.command import command, read_job, takes_job
from hardneg.cli.output import print_json
from hardneg.errors import JobError, StoreError


def add(commands: Any) -> None:
    """Adds these commands."""
    push = command(commands, "push", "Upload an export, with its data card, to a hub.", _push)
    takes_job(push)
    push.add_argument("export", help="the export's name in the job")
    push.add_argument("--repo", required=True, help="the data set's name on the hub: user/name")
    push.add_argument("--private", action="store_true", help="make a private one")
    push.add_argument("--dry-run", action="store_true", help="say what would be uploaded, and upload nothing")


def _push(options: argparse.Namespace) -> None:
    from hardneg.files.mirror import bring_published
    from hardneg.job.run_folder import changed_files
    from hardneg.kinds import did_you_mean, listed

    job = read_job(options)
    if options.export not in job.plan.exports:
        hint = did_you_mean(options.export, job.plan.exports)
        raise JobError(f"no export is called `{options.export}`{hint}; there are: {listed(job.plan.exports) or 'none'}")
    folder = job.output / "exports" / options.export
    bring_published(folder)
    if not (folder / "README.md").is_file():
        raise JobError(f"{folder}: is not there yet; run `hardneg run {job.source.named}`")
    if (folder / ".fingerprint").read_bytes() != job.pipeline.stages.export[options.export].fingerprint.encode():
        raise JobError(f"{folder}: is of an earlier state of the job; run `hardneg run {job.source.named}`")
    written = (job.store.summary(job.pipeline.stages.export[options.export]) or {"files": {}})["files"]
    if changed := changed_files(folder, written):
        raise StoreError(
            f"{folder}: {listed(changed)} changed since it was written; `hardneg run {job.source.named}` writes it "
            "again"
        )
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
        print_json({"repo": options.repo, "uploaded": not options.dry_run, "files": listing})
        return
    for entry in listing:
        print(f"{entry['bytes']:>14,}  {entry['file']}")
    print(f"{'would be uploaded' if options.dry_run else 'uploaded'} to {options.repo}")
