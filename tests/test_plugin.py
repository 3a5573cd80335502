"""A plug-in as users write it: a package of its own, installed, found by its entry points, held to the same contract."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardneg import kinds
from hardneg.cli import main
from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.testing import check_filter, check_generator

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
    assert "The last passages of the corpus" in capsys.readouterr().out
