"""The data card beside an export: how it was made, what is in it, how it scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardneg.report import comparison
from hardneg.report.first_lines import first_lines
from hardneg.report.visible import fenced, in_markdown

FRONT = """\
---
license: other
license_name: to-be-filled-in
tags: [hard-negatives, retrieval, hardneg]
---
"""

TEMPLATE = """\
{front}# {title}

Hard negatives for dense retrieval, made by [hardneg](https://pypi.org/project/hardneg/) {version}. The licence is that
of the source texts: fill it in above before you publish; a later run keeps it.

## What is in it

{counts}

| file | bytes | SHA-256 |
| --- | ---: | --- |
{files}

## How it was made

{job}

## How it scores

{lines}

Similarities of scorer `{scorer}`, {title_of_table}.

{table}

{remarks}
"""


def card(
    name: str, summary: Mapping[str, Any], report: Mapping[str, Any], *, job: str, version: str, earlier: str = ""
) -> str:
    """The card of export ``name``, in Markdown with the front matter of the hub. The same run gives the same card.

    ``job`` is the job's YAML as it may be published. The front matter of an ``earlier`` card is kept: somebody may have
    filled in the licence.
    """
    front, mark, _ = earlier.removeprefix("---\n").partition("\n---\n")
    rows = comparison.rows({"": report})
    remarks = [*report["warnings"], *report["notes"]]
    files = summary["files"]
    return TEMPLATE.format(
        front=f"---\n{front}{mark}" if earlier.startswith("---\n") and mark else FRONT,
        title=name,
        version=version,
        counts="\n".join(f"- {count:,} {what}" for what, count in summary["counts"].items()),
        files="\n".join(
            f"| `{in_markdown(file)}` | {facts['bytes']:,} | `{facts['sha256']}` |" for file, facts in files.items()
        ),
        job=fenced(job.strip(), "yaml"),
        scorer=in_markdown(report["scorer"]),
        lines="\n".join(f"- {in_markdown(line)}" for line in first_lines(report)),
        title_of_table=comparison.TITLE,
        table=comparison.markdown(rows),
        remarks="\n".join(f"- {in_markdown(remark)}" for remark in remarks),
    )
