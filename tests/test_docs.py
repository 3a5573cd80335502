"""What the documents say is what the program does."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from documents import PAGES, ROOT, all_blocks, blocks, text_of
from support import WORDS, as_yaml, job_on, write_data

from hardneg import cli
from hardneg.job.run_folder import Job

MODELS = "models: [&target {kind: hashed_words}, &model {kind: openai, model: some}]\n"
"""What a fragment of a job may mean by an alias."""
FOREIGN = ("apt-get", "head", "hf", "source", "swift", "torchrun", "vllm", ".")
"""Commands in the documents that are not ours."""


def is_job(block: str) -> bool:
    return "generators:" in block and "output:" in block


@pytest.mark.parametrize("job", [block for _, block in all_blocks("yaml") if is_job(block)])
def test_jobs_in_the_documents_are_valid(tmp_path: Path, job: str) -> None:
    (tmp_path / "job.yaml").write_text(job)
    assert Job.read(tmp_path / "job.yaml").plan.generators


@pytest.mark.parametrize("block", [block for _, block in all_blocks("yaml") if not is_job(block)])
def test_pieces_of_jobs_in_the_documents_are_valid(tmp_path: Path, block: str, request: pytest.FixtureRequest) -> None:
    if "s3://bucket" in block:
        store = request.getfixturevalue("s3")
        store.put(write_data(tmp_path / "data"), "scifact")
        block = block.replace("s3://bucket", store.url)
    piece = yaml.safe_load(MODELS + block)
    del piece["models"]
    job = job_on() | {"filters": {}}
    job["scorers"] = job["scorers"] | {"doubt": {"kind": "false_negative", "encoder": WORDS}}
    job["select"] = {"kind": "top", "scorer": "target", "per_query": 7}
    for key, value in piece.items():
        job[key] = (job[key] | value) if isinstance(value, dict) and key in ("scorers", "generators") else value
    (tmp_path / "job.yaml").write_text(as_yaml(job))
    assert Job.read(tmp_path / "job.yaml").plan.generators


def commands() -> Iterator[tuple[str, str]]:
    """Page and command, for every line of every block for a shell."""
    for page, block in all_blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.split(" && "):
                if command.split("#")[0].strip():
                    yield page, command.strip()


def is_runnable(words: list[str]) -> bool:
    """Whether a command exists, with its options."""
    first, *rest = words
    if first == "hardneg":
        cli.parser().parse_args(rest)
        return bool(rest)
    if first == "make":
        rules = (ROOT / "Makefile").read_text()
        return all(re.search(rf"^{re.escape(word)}:", rules, re.MULTILINE) or "=" in word for word in rest)
    if first == "pip":
        extras = re.findall(r"hardneg\[([\w,]+)\]", " ".join(rest))
        known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        return all(extra in known for found in extras for extra in found.split(","))
    if first == "python" and rest[0] == "-m":
        return rest[1].startswith("tevatron.") or (ROOT / rest[1].replace(".", "/")).exists()
    if first == "python":
        options = [word for word in rest[1:] if word.startswith("--")]
        script = ROOT / rest[0]
        return rest[0] == "train.py" or all(option in script.read_text() for option in options)
    return first in FOREIGN


def test_commands_in_the_documents_exist() -> None:
    for page, command in commands():
        words = shlex.split(command, comments=True)
        words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S+", word) or words[0] == "make"]
        words = words[: words.index(">")] if ">" in words else words
        try:
            assert is_runnable(words), f"{page}: {command}"
        except SystemExit:
            pytest.fail(f"{page}: {command}")


def test_commands_in_the_text_exist() -> None:
    [found] = [action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for page in PAGES:
        for name, rest in re.findall(r"`hardneg ([a-z]+)([^`]*)`", " ".join(text_of(page).split())):
            assert name in found.choices, f"{page}: hardneg {name}"
            for option in re.findall(r"--[a-z-]+", rest):
                assert option in found.choices[name]._option_string_actions, f"{page}: hardneg {name} {option}"


def test_every_kind_is_in_the_job_page() -> None:
    from hardneg import kinds

    page = text_of("docs/reference/jobs.md")
    for group in ("readers", "generators", "scorers", "filters", "selectors", "exports"):
        for kind in kinds.kinds(group):
            assert f"`{kind}`" in page, kind


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", text_of(page)):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_what_code_and_changelog_name_in_the_documents_is_there() -> None:
    files = [ROOT / "CHANGELOG.md", ROOT / "Makefile"]
    files += [file for folder in ("src", "tests", "bench", "examples") for file in (ROOT / folder).rglob("*.py")]
    for file in files:
        for named in re.findall(r"docs/[\w/-]+\.(?:md|py|svg)", file.read_text(encoding="utf-8")):
            assert (ROOT / named).exists(), f"{file}: {named}"


@pytest.mark.engines
def test_the_site_asks_for_nothing_and_holds_every_part(tmp_path: Path) -> None:
    from hardneg import kinds

    build = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", str(tmp_path / "trees"), str(ROOT / "docs")]
    done = subprocess.run([*build, str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        tags = re.findall(r"<(?:link|script|img|iframe|source)\b[^>]*", page.read_text(encoding="utf-8"))
        assert not [tag for tag in tags if re.search(r"(?:src|href)=\"?(?:https?:)?//", tag)], page
    parts = (tmp_path / "site" / "reference" / "parts.md").read_text(encoding="utf-8")
    assert all(f"### `{kind}`" in parts for group in kinds.BUILT_IN for kind in kinds.kinds(group))
    listed = re.findall(r"\]\(([\w/-]+\.md)\)", (tmp_path / "site" / "llms.txt").read_text(encoding="utf-8"))
    written = {str(file.relative_to(tmp_path / "site")) for file in (tmp_path / "site").rglob("*.md")}
    assert set(listed) == written - {"index.md"}
    assert json.loads((tmp_path / "site" / "job.schema.json").read_text())["required"]


@pytest.mark.engines
def test_the_demo() -> None:
    """The whole demo, as `make demo` runs it: real text, real models. It goes on with what `make demo` has made."""
    done = subprocess.run([sys.executable, "examples/demo.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = ROOT / "runs" / "demo"
    report = json.loads((run / "report.json").read_text())
    sets = report["sets"]
    assert report["counts"]["examples"] == 1000
    assert (
        sets["semantic"]["before"]["hardness"]
        > sets["lexical"]["before"]["hardness"]
        > sets["easy"]["before"]["hardness"]
    )
    false, unfiltered = report["false"]["sets"]["final"]["after"], report["false"]["hardest before filtering"]
    assert false["estimated"]["low"] - 0.005 <= false["judged"] <= false["estimated"]["high"]
    assert false["judged"] < unfiltered["judged"] / 2
    first = " ".join(done.stdout.split())
    assert f"by the judgments {false['judged']:.1%} are false, before filtering {unfiltered['judged']:.1%}" in first
    assert f"train on: {report['decision']['set']}." in first
    found = re.search(
        r"judged relevant: (\d+) candidates, (\d+) refused .*; all others: ([\d,]+), ([\d,]+) refused", first
    )
    assert found is not None
    false, refused_false, others, refused_others = (int(number.replace(",", "")) for number in found.groups())
    assert refused_false / false > 0.7
    assert refused_others / others < 0.35
    assert len(re.findall(r"^\d+\. query q\d+: ", done.stdout, re.MULTILINE)) == 10
    for export in ("n_tuples/train.parquet", "flag/train.jsonl", "all/train.jsonl"):
        assert (run / "exports" / export).stat().st_size > 100_000


@pytest.mark.engines
def test_the_tutorial(tmp_path: Path) -> None:
    """Every command of it, in order, where the demo has run: the same texts are encoded once."""
    checkout = tmp_path
    shutil.copytree(ROOT / "examples", checkout / "examples")
    for made in ("demo-data", "demo", "cache"):
        shutil.copytree(ROOT / "runs" / made, checkout / "runs" / made, symlinks=True)
    page = "docs/tutorial.md"
    for block in [*blocks(page, "yaml"), *blocks(page, "python")]:
        (checkout / block.split("\n")[0].removeprefix("# ")).write_text(block)
    shown = {}
    for _, command in [(found, command) for found, command in commands() if found == page]:
        if command.split()[0] in ("make", "pip", "."):
            continue  # the environment of this test
        words = shlex.split(command)
        if words[0] in ("hardneg", "python"):
            words = [sys.executable, *(["-m"] if words[0] == "hardneg" else []), *words[words[0] == "python" :]]
        done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        shown[command] = " ".join(done.stdout.split())
    assert "5,000 negatives for 1,000 queries (0 short)" in shown["hardneg run first.yaml"]
    assert "chosen Corvus" in shown["hardneg show first.yaml --query q0"]
    assert "estimated false: 1.1% (0.3 to 4.0), before filtering 6 to 33%" in shown["hardneg run second.yaml"]
    assert "Watermelon, 85% likely relevant" in shown["hardneg dropped second.yaml -n 3"]
    assert shown["python train.py"].endswith("trained on 5000 triplets")
