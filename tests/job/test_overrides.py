"""`--set`: values from the command line stand in for those of the job's file, and the run's copy has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import files_of, line_with

from hardneg.cli import main
from hardneg.errors import JobError
from hardneg.job.named import job_of
from hardneg.job.run_folder import Job
from hardneg.job.yaml_document import parse
from hardneg.job.yaml_editing import flow, with_value

MakeJob = Callable[..., Path]
SOURCE = b"""\
# about the whole
data: {kind: beir, path: data}  # where it lies
parts:
  # about the first
  one: &model
    kind: words  # its kind
    size: 3
  two: *model
  three: {of: *model, list: [a, {b: 1}], none: }
empty:
block:  # a list
- one
- two
flow: {}
text: |
  several
  lines
last: 1 # the end"""


def edited(key: str, value: object) -> tuple[str, Any]:
    text = with_value(SOURCE, key, value, Path("job.yaml")).decode()
    for comment in ("# about the whole", "# where it lies", "# about the first", "# the end"):
        assert comment in text
    return text, parse(text.encode(), Path("job.yaml"))[0]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("last", "a: b", {"last": "a: b"}),
        ("data.path", "new", {"data": {"kind": "beir", "path": "new"}}),
        ("data.split", "dev", {"data": {"kind": "beir", "path": "data", "split": "dev"}}),
        ("new.inner.most", [1, "2", None], {"new": {"inner": {"most": [1, "2", None]}}}),
        ("empty", 0.5, {"empty": 0.5}),
        ("empty.inner", True, {"empty": {"inner": True}}),
        ("flow.inner", "on", {"flow": {"inner": "on"}}),
        ("text", "one", {"text": "one"}),
        ("parts.one.size", 4, {"parts": {"one.size": 4, "two.size": 4}}),
        ("parts.two.size", 5, {"parts": {"one.size": 5, "two.size": 5}}),
        ("parts.one.more", 6, {"parts": {"one.more": 6, "two.more": 6}}),
        ("parts.two", {"kind": "own"}, {"parts": {"one.kind": "words", "two": {"kind": "own"}}}),
        ("parts.one", {"kind": "new"}, {"parts": {"one": {"kind": "new"}, "two": {"kind": "new"}}}),
        ("parts.three.list.1.b", 2, {"parts": {"three.list": ["a", {"b": 2}]}}),
        ("parts.three.list", [], {"parts": {"three.list": []}}),
        ("block", [1], {"block": [1]}),
        ("block.1", {"x": 1}, {"block": ["one", {"x": 1}]}),
        ("parts.three.none", "no", {"parts": {"three.none": "no"}}),
    ],
)
def test_one_value_changes_and_nothing_else(key: str, value: object, wanted: dict[str, Any]) -> None:
    _, found = edited(key, value)
    before = yaml.safe_load(SOURCE)
    for name, inner in wanted.items():
        if name != "parts":
            before[name] = inner
            continue
        for place, new in inner.items():
            above, _, last = place.partition(".")
            if last:
                before["parts"][above][last] = new
            else:
                before["parts"][above] = new
                if above == "one":  # what has the anchor
                    before["parts"]["three"]["of"] = new
    assert found == before


@pytest.mark.parametrize(
    "value", ["1e-3", "017", "on", "~", "", "a, b", "{x", "# no", "line\nbreak", 'say "no"', "ä", "a\u2028b", "a\x85b"]
)
def test_words_stay_words(value: str) -> None:
    text = f"a: {flow(value)}\nb: {{c: {flow({value: [value]})}}}\n"
    assert parse(text.encode(), Path("x"))[0] == {"a": value, "b": {"c": {value: [value]}}}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("last.inner", "`last` has no keys, it is '1'"),
        ("parts.three.list.2", "`parts.three.list` is a list of 2; name a place below 2, or set all of it"),
        ("parts.three.list.b", "is a list of 2"),
        ("parts..x", "`parts..x` is no key"),
    ],
)
def test_what_cannot_be_set_says_why(key: str, said: str) -> None:
    with pytest.raises(JobError, match=r"job\.yaml: ") as found:
        with_value(SOURCE, key, 1, Path("job.yaml"))
    assert said in str(found.value)


def test_a_run_with_other_values_is_recorded_and_repeated_from_its_own_folder(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_job()
    sets = ["--set", "filters.safe.margin=-0.2", "--set", "output=runs/b", "--set", "controls=[]"]
    assert main(["run", str(path), *sets]) == 0
    assert f"hardneg show {path} --set=filters.safe.margin=-0.2 --set=output=runs/b" in capsys.readouterr().out
    out = tmp_path / "runs" / "b"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["job"]["set"] == {"filters.safe.margin": -0.2, "output": "runs/b", "controls": []}
    assert not (tmp_path / "runs" / "job").exists()
    copy = yaml.safe_load((out / "job.yaml").read_text())
    assert copy["filters"]["safe"]["margin"] == -0.2
    assert (copy["output"], copy["controls"], copy["relative_to"]) == ("runs/b", [], "../..")

    before, text = files_of(out), (out / "job.yaml").read_bytes()
    monkeypatch.chdir(out)
    assert main(["run", "job.yaml"]) == 0
    assert "computed: nothing: everything was there" in capsys.readouterr().err
    assert (out / "job.yaml").read_bytes() == text
    assert files_of(out) == before
    assert main(["check", "job.yaml", "--set", "filters.safe.margin=0.3", "--json"]) == 0
    assert {entry["state"] for entry in json.loads(capsys.readouterr().out)} == {"cached", "to do"}
    assert [*job_of(out).state()] == [*Job.read(path, manifest["job"]["set"]).state()]
    assert main(["show", str(path), "--query", "q1-0"]) == 2
    assert main(["show", str(path), *sets, "--query", "q1-0"]) == 0


def test_the_copy_leads_to_the_data_where_links_lie_between(make_job: MakeJob, tmp_path: Path) -> None:
    disk = tmp_path / "disk" / "deep" / "down"
    disk.mkdir(parents=True)
    (tmp_path / "runs").symlink_to(disk)
    job = Job.read(make_job())
    job.run()
    copy = Job.read(disk / "job" / "job.yaml")
    assert copy.plan.reader.files() == job.plan.reader.files()


def test_a_wrong_override_is_told_like_a_wrong_line_and_named(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_job()

    def said(*sets: str) -> str:
        assert main(["check", str(path), *(word for text in sets for word in ("--set", text))]) == 2
        return capsys.readouterr().err.removeprefix(f"hardneg: {path}")

    line = line_with(path.read_text(), "safe:")
    margn = said("deepen=1", "filters.safe.margn=0.1")
    assert margn.startswith(f":{line}: filters.safe.margn: unknown key `margn`: did you mean `margin`?")
    assert margn.rstrip().endswith("(from --set filters.safe.margn)")
    assert "unknown key `filter`: did you mean `filters`?" in said("filter.safe.margin=1")
    assert said("eci.scorer=tagret").rstrip().endswith("(from --set eci.scorer)")
    depth = said("select.per_query=1", "generators.semantic.depth=0", "deepen=2")
    assert depth == (
        f":{line_with(path.read_text(), 'semantic:') + 2}: generators.semantic.depth: must be at least 1, not 0 "
        "(from --set generators.semantic.depth)\n"
    )
    assert "--set wants KEY=VALUE" in said("filters.safe.margin")
    assert "--set filters.safe.margin:1: not valid YAML" in said("filters.safe.margin=[1")
    key = "sk-" + "a1B2" * 12
    assert key not in said(f"generators.semantic.encoder.api_key={key}")


@pytest.mark.parametrize("end", ["\n", "\n...\n", "\n# the end\n"])
@pytest.mark.parametrize("indent", ["", "  "])
def test_any_way_of_writing_a_job_can_be_copied_into_its_run(make_job: MakeJob, indent: str, end: str) -> None:
    path = make_job()
    lines = path.read_text().rstrip().splitlines()
    path.write_text("\n".join(indent + line for line in lines) + end)
    job = Job.read(path)
    copy = job.source.copy_in(job.output)
    wanted, _ = parse(path.read_bytes(), path)
    assert parse(copy, path)[0] == {**wanted, "relative_to": "../.."}


def test_a_mistake_of_the_file_is_not_laid_to_an_override(make_job: MakeJob) -> None:
    path = make_job(changes={"generators.lexical.depht": 3})
    with pytest.raises(JobError, match="unknown key `depht`") as found:
        Job.read(path, {"filters.safe.margin": 0.1, "eci.scorr": 1})
    of_the_file, of_the_override = sorted(str(found.value).splitlines(), key=lambda line: "--set" in line)
    assert "--set" not in of_the_file
    assert of_the_override.endswith("(from --set eci.scorr)")
