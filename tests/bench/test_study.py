"""A part of the study: the probe against sets that are really trained on."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.engines
def test_the_probe_orders_sets_as_training_does(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "bench.study", "small", "--cache", str(tmp_path)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"Spearman\D*(-?\d\.\d+)", done.stdout)
    assert found is not None, done.stdout
    # 12 sets: a correlation of 0.73 has a 95 % interval from about 0.26
    assert float(found.group(1)) > 0.26
