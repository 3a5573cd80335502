"""A plug-in as users write it: a package of its own, installed, found by its entry points, held to the same contract."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import WORDS

from hardneg import kinds
from hardneg.cli import main
from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.job.run_folder import Job
from hardneg.testing import FaultServer, check_filter, check_generator

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plug-in, built and installed by pip into a folder of its own."""
    target = tmp_path_factory.mktemp("plugin")
    source = target / "source"
    shutil.copytree(PLUGIN, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--target", str(target / "site"), str(source)], check=True, capture_output=True)
    sys.path.insert(0, str(target / "site"))
    importlib.invalidate_caches()
    kinds.kinds.cache_clear()
    yield target / "site"
    sys.path.remove(str(target / "site"))
    kinds.kinds.cache_clear()
    kinds.load.cache_clear()


def test_it_is_found_and_keeps_the_contract(installed: Path, batch_of: Callable[..., Batch]) -> None:
    assert kinds.kinds("generators")["reversed"] == "hardneg_reversed:Reversed"
    generator = kinds.load("generators", "reversed")(depth=7)
    batch = batch_of()
    found = check_generator(generator, batch)
    verdicts = check_filter(kinds.load("filters", "too_long")(words=5), merge(batch, {"reversed": found}))
    assert 0 < verdicts.dropped.sum() < len(verdicts.dropped)


def test_a_job_uses_it(installed: Path, make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    plugged = {
        "generators.mine": {"kind": "reversed", "depth": 3},
        "filters.short": {"kind": "too_long", "words": 5},
    }
    assert main(["run", str(make_job("job", plugged)), "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["generated"]["mine"] > 0
    assert '"too long": ' in printed
    assert main(["run", str(make_job("wrong", plugged | {"generators.mine.depth": 0}))]) == 2
    assert "generators.mine" in capsys.readouterr().err
    assert main(["kinds", "generators"]) == 0
    shown = capsys.readouterr().out
    assert "reversed" in shown
    assert "The last" in shown  # the table breaks its lines


def test_its_cosine_scorer_has_what_ours_has(installed: Path, make_job: Callable[..., Path]) -> None:
    """eci_sem, and with it the geometry of the report, by what the scorer can do and not by who made it."""
    ours = Job.read(make_job("ours")).run().report["sets"]
    theirs = Job.read(make_job("theirs", {"scorers.target": {"kind": "angle", "model": WORDS}})).run().report["sets"]
    for name, moments in ours.items():
        for moment in ("before", "after"):
            sem = theirs[name][moment]["sem"]
            assert sem["eci_sem"] == pytest.approx(moments[moment]["sem"]["eci_sem"], rel=1e-3)
            assert sem["eci_sem"] > 0


def test_its_generator_that_asks_a_model_has_an_estimate(
    installed: Path, make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer() as server:
        client = {"kind": "openai", "base_url": server.url, "model": "any", "prices": {"input": 1.0, "output": 2.0}}
        path = make_job("job", {"generators.retold": {"kind": "retold", "client": client}})
        assert main(["estimate", str(path), "--json"]) == 0
        [told] = json.loads(capsys.readouterr().out)["stages"]
        assert server.sent.total() == 0
        assert main(["run", str(path), "--json"]) == 0
        assert server.sent.total() == 3
    assert told["stage"] == "generate.retold"
    assert (told["requests"], told["completion_tokens"]) == (3, 3 * 40)
    assert told["cost"] == pytest.approx((told["prompt_tokens"] + 2 * 3 * 40) / 1e6)
    assert json.loads(capsys.readouterr().out)["generated"]["retold"] == 3


def test_its_budget_is_kept(installed: Path, make_job: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer() as server:
        client = {"kind": "openai", "base_url": server.url, "model": "any"}
        changes = {"generators.retold": {"kind": "retold", "client": client}, "budget": {"max_tokens": 10}}
        assert main(["run", str(make_job("job", changes))]) == 1
        assert server.sent.total() == 0
    assert "the budget is used up" in capsys.readouterr().err
