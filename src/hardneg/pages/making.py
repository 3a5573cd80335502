"""What language models did, and how a run was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hardneg.pages.charts import bar
from hardneg.report.examples import cut

JOB = 50_000
"""Characters of a job that are shown."""
VIEWS = {"surface": "length, characters and punctuation", "geometry": "the encoder's embedding"}


def language_models(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was asked, paid and refused; None where a run has no part with a language model."""
    if not report["usage"] and not report["rounds"] and not report["shortcut"]:
        return None
    return {
        "usage": [_spent(stage, spent) for stage, spent in report["usage"].items()],
        "rounds": [*_rounds(report)],
        "judges": report["judges"],
        "addressing": [{"judge": judge, **found} for judge, found in report["addressing"].items()],
        "shortcut": [
            {
                "view": VIEWS[view],
                "auc": f"{found['auc']:.2f}",
                "interval": f"{found['interval'][0]:.2f} to {found['interval'][1]:.2f}",
            }
            for view, found in (report["shortcut"] or {}).items()
            if view in VIEWS
        ],
    }


def _spent(stage: str, spent: Mapping[str, Any]) -> dict[str, Any]:
    again = ", ".join(f"{reason}: {count:,}" for reason, count in spent["again"].items())
    return {
        "stage": stage,
        **{key: spent[key] for key in ("requests", "prompt_tokens", "completion_tokens", "failed")},
        "cost": f"{spent['cost']:.2f}" if spent["cost"] else "",
        "again": again,
    }


def _rounds(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, rounds in report["rounds"].items():
        for found in rounds:
            refused = sorted(found["refused"].items(), key=lambda entry: -entry[1])
            yield {
                "generator": name,
                "prompt": report["prompts"].get(name, ""),
                **{key: found[key] for key in ("round", "written", "kept", "chosen")},
                "refused": ", ".join(f"{reason} {count:,}" for reason, count in refused),
                "picture": bar(found["kept"], found["written"], refused=found["written"] - found["kept"]),
            }


def making(manifest: Mapping[str, Any], job: str) -> dict[str, Any]:
    """The job, versions, stages and files, for the template."""
    seconds = [stage.get("seconds") or 0.0 for stage in manifest["stages"].values()]
    return {
        "job": cut(job, JOB),
        "versions": {name: version for name, version in manifest["versions"].items() if version},
        "facts": {
            "job, SHA-256": manifest["job"]["sha256"],
            "corpus, fingerprint": manifest["corpus"],
            "seconds of the last run": f"{manifest['seconds']:,.1f}",
            **({"budget": manifest["budget"]} if "budget" in manifest else {}),
        },
        "stages": [
            {
                "name": name,
                "seconds": "" if stage.get("seconds") is None else f"{stage['seconds']:,.1f}",
                "memory": "" if not stage.get("peak_memory") else f"{stage['peak_memory'] / 2**20:,.0f}",
                "fingerprint": stage["fingerprint"][:16],
                "picture": bar(stage.get("seconds") or 0.0, max(seconds, default=0.0)),
            }
            for name, stage in manifest["stages"].items()
        ],
        "files": [
            {"name": f"exports/{export}/{name}", "bytes": file["bytes"], "sha256": file["sha256"][:16]}
            for export, files in manifest["exports"].items()
            for name, file in files.items()
        ],
    }
